"""A small text, its tokenizer, and a tokenizer whose text spells its ids."""

import pydoc_data.topics

import numpy as np
import pytest

from tfzoo.text import Layout, WordPieceTokenizer


@pytest.fixture(scope="session")
def documents():
    """Lists of lines: the first 15 topics of Python's manual."""
    topics = list(pydoc_data.topics.topics.values())[:15]
    return [[s for s in text.split("\n") if s.strip()] for text in topics]


@pytest.fixture(scope="session")
def tokenizer(documents):
    lines = [line for lines in documents for line in lines]
    return WordPieceTokenizer.train(lines, vocabulary_size=1500, progress=False)


@pytest.fixture(scope="session")
def text_file(documents, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "topics.txt"
    path.write_text("\n\n".join("\n".join(lines) for lines in documents))
    return path


class NumberTokenizer:
    """A word is a number, its id, so that tokens show their position in the text."""

    pad_id, unknown_id, cls_id, sep_id, mask_id = range(5)
    layout_ids = Layout(cls_id, sep_id, between=(sep_id,))

    def __init__(self, vocabulary_size=1000):
        self.vocabulary_size = vocabulary_size
        self.continues = np.zeros(vocabulary_size, bool)

    def tokenize(self, texts):
        return [[int(word) for word in text.split()] for text in texts]

    def required_id(self, name):
        return getattr(self, f"{name}_id")

    def get_config(self):
        return {"vocabulary_size": self.vocabulary_size}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@pytest.fixture
def number_tokenizer():
    return NumberTokenizer


@pytest.fixture
def number_text(tmp_path):
    """Writes documents of sentences of given lengths, with consecutive ids from 10.

    A gap of one id separates documents; within a document, ids have no gap.
    """

    def write(documents, name="numbers.txt"):
        token, parts = 10, []
        for lengths in documents:
            lines = []
            for length in lengths:
                lines.append(" ".join(map(str, range(token, token + length))))
                token += length
            parts.append("\n".join(lines))
            token += 1
        path = tmp_path / name
        path.write_text("\n\n".join(parts))
        return path

    return write


@pytest.fixture
def flips():
    """Flips one bit of a directory's files at a time; yields the affected file."""

    def flip(directory, count, seed=0):
        random = np.random.default_rng(seed)
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        for _ in range(count):
            path = files[random.integers(len(files))]
            intact = path.read_bytes()
            changed = bytearray(intact)
            changed[random.integers(len(intact))] ^= 1 << int(random.integers(8))
            path.write_bytes(changed)
            yield path
            path.write_bytes(intact)

    return flip
