import numpy as np
import pytest

from tfzoo.generation.compiled import CompiledGeneration
from tfzoo.generation.options import GenerationOptions
from tfzoo.models import GPTDecoder

V, CONTEXT = 53, 128


def random_decoder(seed=0, **sizes):
    """A decoder with weights large enough for its texts to vary."""
    arguments = dict(
        vocabulary_size=V,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=CONTEXT,
    )
    decoder = GPTDecoder(**{**arguments, **sizes})
    rng = np.random.default_rng(seed)
    for v in decoder.trainable_variables:
        v.assign(rng.normal(size=v.shape) * 0.3 + ("gamma" in v.path))
    return decoder


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

    def generate(compiled, prompts, *, end_ids=(), steps=1000, **options):
        options = GenerationOptions(**options)
        generation = compiled.start(prompts, options, list(end_ids))
        while not generation.done():
            generation.advance(steps)
        return generation.results()

    return generate


@pytest.fixture(scope="session")
def next_logits(decoder):
    """Function of ids to the logits (V,) after them, without a cache."""

    def next_logits(ids):
        ids = np.array([ids], np.int32)
        inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
        return np.asarray(decoder.logits(decoder(inputs)[:, -1]))[0]

    return next_logits
