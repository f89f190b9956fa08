"""The pairs of one epoch on disk, with random access, and their rows of ids.

Letters: B rows, S max_sequence_length.
"""

import itertools
import pathlib
import tempfile

import numpy as np

from tfzoo.data.flat_files import FlatFile, FlatWriter
from tfzoo.data.sentence_pairs import Pair, sentence_pairs

_ROW = np.dtype(
    [
        ("a_start", "<u8"),
        ("a_length", "<u4"),
        ("b_start", "<u8"),
        ("b_length", "<u4"),
        ("is_random", "u1"),
    ]
)
_ROWS_AT_ONCE = 1 << 12


def write_pairs(path, corpus, **arguments):
    """Writes `sentence_pairs(corpus, **arguments)` to a file; returns their number."""
    pairs = sentence_pairs(corpus, **arguments)
    count = 0
    with FlatWriter(path) as file:
        while rows := list(itertools.islice(pairs, _ROWS_AT_ONCE)):
            file.write(np.array(rows, _ROW).tobytes())
            count += len(rows)
    return count


class PairTable:
    """Random access to the pairs in a file written by `write_pairs`."""

    def __init__(self, path):
        self._rows = FlatFile(path, _ROW)

    @classmethod
    def temporary(cls, corpus, **arguments):
        """A table in a deleted file, whose disk space is freed with the table."""
        with tempfile.TemporaryDirectory(dir=corpus.directory.parent) as directory:
            path = pathlib.Path(directory) / "pairs.bin"
            write_pairs(path, corpus, **arguments)
            return cls(path)

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, i):
        return Pair(*self._rows.read(i, i + 1)[0].item())


def rows_of_pairs(corpus, pairs, tokenizer, max_sequence_length):
    """Padded rows [CLS] a [SEP] b [SEP], or [CLS] a [SEP].

    This is the format of BERT's records, whatever the tokenizer's layout.

    Args:
        corpus: The `Corpus` that the pairs refer to.
        pairs: B `Pair`s.
        tokenizer: Provides `cls_id`, `sep_id` and `pad_id`.
        max_sequence_length: S.

    Returns:
        token_ids, segment_ids, padding_mask, int32 (B, S); is_random, int32 (B,).
    """
    shape = (len(pairs), max_sequence_length)
    token_ids = np.full(shape, tokenizer.pad_id, np.int32)
    segment_ids = np.zeros(shape, np.int32)
    padding_mask = np.zeros(shape, np.int32)
    is_random = np.zeros(len(pairs), np.int32)
    for row, pair in enumerate(pairs):
        a_start, a_length, b_start, b_length, is_random[row] = pair
        token_ids[row, 0] = tokenizer.cls_id
        token_ids[row, 1 : 1 + a_length] = corpus.tokens(a_start, a_start + a_length)
        end = 2 + a_length
        token_ids[row, end - 1] = tokenizer.sep_id
        if b_length:
            begin, end = end, end + b_length + 1
            tokens = corpus.tokens(b_start, b_start + b_length)
            token_ids[row, begin : end - 1] = tokens
            token_ids[row, end - 1] = tokenizer.sep_id
            segment_ids[row, begin:end] = 1
        padding_mask[row, :end] = 1
    return token_ids, segment_ids, padding_mask, is_random
