"""The examples of a batch as messages show them."""

import numpy as np
import pytest

from tfzoo.training.faults import shown_examples


class Letters:
    """Tokenizer whose id n is the n-th letter; 0 is padding."""

    special_ids = (0,)

    def detokenize(self, ids):
        return "".join(chr(ord("a") + i) for i in ids)


@pytest.mark.parametrize(
    "inputs",
    [
        {"token_ids": [[1, 2, 0], [3, 0, 0]]},
        {"encoder_token_ids": [[1, 2, 0], [3, 0, 0]], "decoder_token_ids": [[9], [9]]},
    ],
)
def test_the_texts_are_those_of_the_model_or_its_encoder(inputs):
    inputs = {name: np.array(ids) for name, ids in inputs.items()}
    expected = "Its examples are rows 7, 5: 'bc', 'd', ..."
    assert shown_examples((inputs, None), Letters(), rows=[7, 5]) == expected
    assert shown_examples((inputs, None), None) is None
