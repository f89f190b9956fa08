"""Checkpoints of the TF Model Garden compute the same here.

Its own code wrote the files (make_model_garden.py).
"""

import pathlib
import zipfile

import numpy as np
import pytest

from tfzoo.families import BertEncoder
from tfzoo.tasks import BertPretrainer
from tfzoo.text import WordPieceTokenizer

ARCHIVE = pathlib.Path(__file__).with_name("model_garden.zip")


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model_garden")
    zipfile.ZipFile(ARCHIVE).extractall(directory)
    return directory


def inputs_of(saved):
    return {
        "token_ids": saved["input_word_ids"],
        "segment_ids": saved["input_type_ids"],
        "padding_mask": saved["input_mask"],
    }


def assert_close(ours, theirs):
    assert np.abs(theirs).max() > 0.3
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["encoder", "model"])
@pytest.mark.parametrize("layout", ["a", "c"])
def test_an_encoder_computes_the_same(layout, kind, directories):
    directory = directories / f"{layout}_{kind}"
    saved = np.load(directory / "io.npz")
    encoder = BertEncoder.from_preset(directory)
    assert encoder.activation == "gelu_tanh"
    outputs = encoder(inputs_of(saved))
    kept = saved["input_mask"] > 0
    assert_close(outputs["sequence_output"][kept], saved["sequence_output"][kept])
    assert_close(outputs["pooled_output"], saved["pooled_output"])


@pytest.mark.parametrize("layout", ["a", "c"])
def test_a_pretrainer_computes_the_same(layout, directories, caplog):
    directory = directories / f"{layout}_pretrainer"
    saved = np.load(directory / "io.npz")
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    tokenizer = WordPieceTokenizer([*special, *"abcdefghijklmnopqrstuvwxy"])
    task = BertPretrainer.from_preset(directory, tokenizer=tokenizer)
    assert "New" not in caplog.text
    positions = {"mask_positions": saved["masked_lm_positions"]}
    words, next_sentence = task({**inputs_of(saved), **positions}).values()
    assert_close(words, saved["mlm_logits"])
    assert_close(next_sentence, saved["next_sentence"])
