"""A small GPT, shared by the tests."""

import numpy as np
import pytest

from helpers import SMALL, random_weights
from tfzoo.families import GPTDecoder


@pytest.fixture(scope="session")
def gpt():
    """A decoder whose weights are not all tiny."""
    decoder = GPTDecoder(**SMALL)
    return random_weights(decoder, 0.2)


@pytest.fixture(scope="session")
def gpt_inputs():
    """Function that makes inputs for it, without padding."""

    def make(length=9, batch=3, seed=0):
        rng = np.random.default_rng(seed)
        return {
            "token_ids": rng.integers(0, 50, (batch, length)).astype(np.int32),
            "padding_mask": np.ones((batch, length), np.int32),
        }

    return make
