"""A small vocabulary and backbone, shared by the tests of tasks."""

import numpy as np
import pytest

from cheap_tokenizers import WholeWords, plain_bytes
from helpers import random_weights
from tfzoo.families import BertEncoder, GPTDecoder
from tfzoo.tasks import CausalLM
from tfzoo.text import ByteBPETokenizer, WordPieceTokenizer

WORDS = "the a cat dog sat ran on under mat tree good bad very not was film".split()


@pytest.fixture(scope="session")
def tokenizer():
    letters = "abcdefghijklmnopqrstuvwxyz.,!?"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*letters, *(f"##{c}" for c in letters[:26])]
    return WordPieceTokenizer([*special, *pieces, *[w for w in WORDS if len(w) > 1]])


@pytest.fixture(scope="session")
def whole_words(tokenizer):
    return WholeWords(tokenizer.vocabulary)


@pytest.fixture(scope="session")
def make_encoder(tokenizer):
    """Function that makes a small encoder whose weights are not all tiny."""

    def make(**options):
        sizes = dict(
            vocabulary_size=tokenizer.vocabulary_size,
            num_layers=1,
            num_heads=2,
            hidden_dim=16,
            intermediate_dim=32,
            max_sequence_length=32,
        )
        encoder = BertEncoder(**{**sizes, **options})
        return random_weights(encoder, 0.2)

    return make


@pytest.fixture(scope="session")
def byte_tokenizer(texts):
    return ByteBPETokenizer.train(texts[0], vocabulary_size=280, progress=False)


@pytest.fixture(scope="session")
def make_gpt(byte_tokenizer):
    """Function that makes a small decoder whose weights are not all tiny."""

    def make(**options):
        sizes = dict(
            vocabulary_size=byte_tokenizer.vocabulary_size,
            num_layers=1,
            num_heads=2,
            hidden_dim=16,
            intermediate_dim=32,
            max_sequence_length=32,
        )
        decoder = GPTDecoder(**{**sizes, **options})
        return random_weights(decoder, 0.2)

    return make


@pytest.fixture(scope="session")
def byte_gpt(make_gpt):
    """Function that makes a causal language model whose tokenizer has a small graph."""
    return lambda: CausalLM(make_gpt(vocabulary_size=257), plain_bytes())


@pytest.fixture(scope="session")
def texts():
    """60 sentences of different lengths, and whether they contain `good`."""
    rng = np.random.default_rng(0)
    rows = [list(rng.choice(WORDS, rng.integers(1, 14))) for _ in range(60)]
    for i, row in enumerate(rows):
        row[:] = [w for w in row if w not in ("good", "bad")]
        row.insert(rng.integers(0, len(row) + 1), "good" if i % 2 else "bad")
    return [" ".join(row) for row in rows], [
        "yes" if i % 2 else "no" for i in range(60)
    ]


@pytest.fixture(scope="session")
def small_encoder(tokenizer):
    """Like `make_encoder`, without dropout, for fixtures of any scope."""

    def make():
        encoder = BertEncoder(
            tokenizer.vocabulary_size, 1, 2, 16, 32, dropout=0.0, max_sequence_length=32
        )
        return random_weights(encoder, 0.2)

    return make


@pytest.fixture
def unsaved():
    """Function of an encoder task that returns its exported functions without files.

    The SavedModel of a `TextClassifier` is loaded and called; `tests/serving` has more.
    """
    return lambda task, **options: task.served(**options).functions
