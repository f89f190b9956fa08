"""Byte-level BPE with the library `tokenizers`: in Rust, multithreaded."""

import functools
import typing

import numpy as np
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

from tfzoo.text.rust_engine import RustEngine, flat_ids, ids_in_chunks


class TokenizedTexts(typing.NamedTuple):
    """N texts without special tokens, concatenated.

    Attributes:
        token_ids: int32 (T,), with T tokens of all texts.
        row_splits: int64 (N + 1,), the indices at which the texts start and end.
    """

    token_ids: np.ndarray
    row_splits: np.ndarray

    @property
    def lengths(self):
        """int64 (N,) number of tokens of each text."""
        return np.diff(self.row_splits)


class ByteBPERust(RustEngine):
    """The engine that a `ByteBPETokenizer` uses in Python."""

    def __init__(self, tokenizer):
        super().__init__(tokenizer)
        self._plain = rust_tokenizer(tokenizer)

    def tokenize(self, texts, *, end_token):
        """Yields the ids of every text of an iterable."""
        rust = self._with_end if end_token else self._plain
        for chunk in ids_in_chunks(rust, texts):
            yield from chunk

    def tokenize_batch(self, texts, *, end_token):
        """The `TokenizedTexts` of an iterable of texts."""
        rust = self._with_end if end_token else self._plain
        return TokenizedTexts(*flat_ids(rust, texts))

    @functools.cached_property
    def _with_end(self):
        self._tokenizer.required_id("end")
        rust = rust_tokenizer(self._tokenizer)
        rust.add_special_tokens([self._tokenizer.end_token])
        return rust

    @functools.cached_property
    def _with_mask(self):
        self._tokenizer.required_id("mask")
        rust = rust_tokenizer(self._tokenizer)
        lstrip = self._tokenizer.mask_lstrip
        rust.add_special_tokens([AddedToken(self._tokenizer.mask_token, lstrip=lstrip)])
        return rust

    @functools.cached_property
    def _with_places(self):
        """An engine whose offsets exclude the space before a token."""
        rust = rust_tokenizer(self._tokenizer)
        rust.post_processor = processors.ByteLevel(
            add_prefix_space=self._tokenizer.add_prefix_space, trim_offsets=True
        )
        return rust


def rust_tokenizer(tokenizer):
    """The `tokenizers.Tokenizer` of a `ByteBPETokenizer`, without special tokens."""
    result = Tokenizer(bpe_model(tokenizer))
    result.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=tokenizer.add_prefix_space
    )
    return result


def bpe_model(tokenizer):
    """The `tokenizers.models.BPE` of a `ByteBPETokenizer`."""
    ids = {token: i for i, token in enumerate(tokenizer.vocabulary) if token}
    return models.BPE(ids, list(tokenizer.merges))
