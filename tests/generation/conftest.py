import numpy as np
import pytest
import tensorflow as tf

from helpers import random_weights
from tfzoo.families import GPTDecoder
from tfzoo.generation.compiled import CompiledGeneration
from tfzoo.generation.options import GenerationOptions

V, CONTEXT = 53, 128


def random_decoder(seed=0, **sizes):
    """A decoder with weights large enough for its texts to vary.

    It has one layer; `tests/families` generates with two.
    """
    arguments = dict(
        vocabulary_size=V,
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=CONTEXT,
    )
    decoder = GPTDecoder(**{**arguments, **sizes})
    return random_weights(decoder, seed=seed)


@pytest.fixture(scope="session")
def decoder():
    return random_decoder()


@pytest.fixture(scope="session")
def make_decoder():
    return random_decoder


@pytest.fixture(scope="session")
def prompts():
    """Of different lengths, one of a full block."""
    rng = np.random.default_rng(1)
    return [rng.integers(0, V, n).tolist() for n in (5, 9, 32, 1, 17)]


@pytest.fixture(scope="session")
def compiled(decoder):
    """In graph mode, where small models compile fastest; its functions are shared."""
    return CompiledGeneration(decoder, jit_compile=False)


@pytest.fixture(scope="session")
def generate():
    """Function of a `CompiledGeneration`, prompts and options to results."""

    def generate(compiled, prompts, *, end_ids=(), steps=1000, memory=(), **options):
        options = GenerationOptions(**options)
        generation = compiled.start(prompts, options, list(end_ids), memory)
        while not generation.done():
            generation.advance(steps)
        return generation.results()

    return generate


@pytest.fixture(scope="session")
def hidden_states(decoder):
    """Function of rows of ids, equally long, to hidden states (B, S, D), uncached."""

    @tf.function(autograph=False)
    def padded(ids, mask):
        return decoder({"token_ids": ids, "padding_mask": mask})

    def hidden_states(rows):
        rows = np.array(rows, np.int32)
        count, length = rows.shape
        ids = np.zeros((count, CONTEXT), np.int32)
        ids[:, :length] = rows
        return padded(
            ids, np.tile(np.arange(CONTEXT) < length, (count, 1)).astype("i4")
        )[:, :length].numpy()

    return hidden_states


@pytest.fixture(scope="session")
def next_logits(decoder, hidden_states):
    """Function of ids to the logits (V,) after them, without a cache."""
    table = np.asarray(decoder.token_embedding.embeddings)
    return lambda ids: hidden_states([ids])[0, -1] @ table.T


class Bigrams:
    """A decoder of four tokens, given their probabilities after the last token."""

    vocabulary_size, max_sequence_length = 4, 8

    def __init__(self, probabilities):
        self.logarithms = tf.math.log(probabilities)

    def state(self, rows, columns=0):
        return [tf.zeros([rows, 1, columns, 1])]

    def step(self, token_ids, positions, state, mask):
        return tf.gather(self.logarithms, token_ids), self.state(*token_ids.shape)

    def logits(self, hidden):
        return hidden


@pytest.fixture(scope="session")
def bigrams():
    return Bigrams
