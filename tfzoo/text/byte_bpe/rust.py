"""Byte-level BPE with the library `tokenizers`: in Rust, multithreaded."""

import functools
import typing

import numpy as np
from tokenizers import AddedToken, Tokenizer, models, processors

from tfzoo.text.byte_bpe import declaration
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

    def encode_words(self, words):
        """The ids of words, written in characters of `byte_alphabet`: list of lists."""
        rust = Tokenizer(self._plain.model)
        return [encoding.ids for encoding in rust.encode_batch_fast(words)]

    def words(self, text):
        """The words of a text, written in characters of `byte_alphabet`."""
        words = self._plain.pre_tokenizer.pre_tokenize_str(text)
        return [word for word, _ in words]

    @functools.cached_property
    def _with_end(self):
        self._tokenizer.required_id("end")
        return rust_tokenizer(self._tokenizer, AddedToken(self._tokenizer.end_token))

    @functools.cached_property
    def _with_mask(self):
        self._tokenizer.required_id("mask")
        lstrip = self._tokenizer.mask_lstrip
        token = AddedToken(self._tokenizer.mask_token, lstrip=lstrip)
        return rust_tokenizer(self._tokenizer, token)

    @functools.cached_property
    def _with_places(self):
        """An engine whose offsets exclude the space before a token."""
        rust = rust_tokenizer(self._tokenizer)
        rust.post_processor = processors.ByteLevel(
            add_prefix_space=self._tokenizer.add_prefix_space, trim_offsets=True
        )
        return rust


def rust_tokenizer(tokenizer, recognized=None):
    """The `tokenizers.Tokenizer` of a `ByteBPETokenizer`.

    Args:
        tokenizer: A `ByteBPETokenizer`.
        recognized: The special token that is recognized in texts, an `AddedToken` of
            `tokenizers`. None makes all of them plain text.
    """
    result = declaration.rust_without_model(
        tokenizer.normalizer,
        tokenizer.split,
        add_prefix_space=tokenizer.add_prefix_space,
    )
    ids = {token: i for i, token in enumerate(tokenizer.vocabulary) if token}
    result.model = models.BPE(
        ids,
        list(tokenizer.merges),
        end_of_word_suffix=tokenizer.end_of_word_suffix,
        ignore_merges=tokenizer.ignore_merges,
    )
    if tokenizer.added_tokens:
        result.add_tokens(
            [AddedToken(**token._asdict()) for token in tokenizer.added_tokens]
        )
    if recognized is not None:
        result.add_special_tokens([recognized])
    elif tokenizer.added_tokens:
        # Text that a special token takes up is not searched for other tokens.
        result.add_special_tokens(list(tokenizer.special_tokens))
        result.encode_special_tokens = True
    return result
