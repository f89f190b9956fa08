"""Byte-level BPE by `tokenizers`: in Rust, with threads, for use from Python."""

import typing

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

from tfzoo.text.rust_engine import flat_ids, ids_in_chunks


class EncodedTexts(typing.NamedTuple):
    """N texts, one after the other.

    Attributes:
        token_ids: int32 (T,), T tokens of all texts.
        row_splits: int64 (N + 1,) where the texts begin and end.
    """

    token_ids: np.ndarray
    row_splits: np.ndarray

    @property
    def lengths(self):
        """int64 (N,) tokens of every text."""
        return np.diff(self.row_splits)


class ByteBPERust:
    """The engine that a `ByteBPETokenizer` uses in Python.

    Args:
        tokenizer: A `ByteBPETokenizer`.
    """

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer
        self._plain = rust_tokenizer(tokenizer)
        self._with_end = None

    def tokenize(self, texts, *, end_token):
        """Yields the ids of every text of an iterable."""
        for chunk in ids_in_chunks(self._rust(end_token), texts):
            yield from chunk

    def encode_batch(self, texts, *, end_token):
        """The `EncodedTexts` of an iterable of texts."""
        return EncodedTexts(*flat_ids(self._rust(end_token), texts))

    def _rust(self, end_token):
        if not end_token:
            return self._plain
        if self._with_end is None:
            self._tokenizer.required_id("end")
            self._with_end = rust_tokenizer(self._tokenizer)
            self._with_end.add_special_tokens([self._tokenizer.end_token])
        return self._with_end


def rust_tokenizer(tokenizer):
    """The `tokenizers.Tokenizer` of a `ByteBPETokenizer`, without special tokens."""
    result = Tokenizer(bpe_model(tokenizer))
    result.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return result


def bpe_model(tokenizer):
    """The `tokenizers.models.BPE` of a `ByteBPETokenizer`."""
    ids = {token: i for i, token in enumerate(tokenizer.vocabulary) if token}
    return models.BPE(ids, list(tokenizer.merges))
