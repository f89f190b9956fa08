"""Texts to ids with the engine in Rust, the library `tokenizers`."""

import itertools
import re
import typing

import numpy as np

from tfzoo.text.segments import join, pack

# Limit the engine's memory per token, and how long Ctrl+C has to wait.
_TEXTS_AT_ONCE, _CHARACTERS_AT_ONCE = 4096, 1 << 21
_SURROGATE = re.compile("[\ud800-\udfff]")


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


def as_text(text):
    """The str of a text (str or bytes), with U+FFFD for lone surrogates.

    UTF-8 cannot encode surrogates.
    """
    if isinstance(text, bytes):
        return text.decode("utf-8", "replace")
    if not isinstance(text, str):
        raise ValueError(f"A text must be str or bytes. Received: {text!r:.80}")
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def ids_in_chunks(rust, texts):
    """Yields lists of the ids of a few thousand texts.

    Args:
        rust: A `tokenizers.Tokenizer`.
        texts: Iterable of texts.
    """
    if isinstance(texts, str | bytes):
        raise ValueError(f"texts must be an iterable of texts. Received: {texts!r:.80}")
    texts = map(as_text, texts)
    while chunk := _some_of(texts):
        yield [encoding.ids for encoding in rust.encode_batch_fast(chunk)]


def _some_of(texts):
    """The next texts of an iterator, up to a limit of texts and of characters."""
    chunk, num_characters = [], 0
    for text in itertools.islice(texts, _TEXTS_AT_ONCE):
        chunk.append(text)
        num_characters += len(text)
        if num_characters >= _CHARACTERS_AT_ONCE:
            break
    return chunk


def flat_ids(rust, texts):
    """The ids of all texts, int32 (T,), and their row splits, int64 (N + 1,).

    Args:
        rust: A `tokenizers.Tokenizer`.
        texts: Iterable of N texts.
    """
    values, lengths = [np.zeros(0, np.int32)], [0]
    for chunk in ids_in_chunks(rust, texts):
        values.append(np.fromiter(itertools.chain.from_iterable(chunk), np.int32))
        lengths.extend(map(len, chunk))
    return np.concatenate(values), np.cumsum(lengths)


def flat_columns(rust, columns):
    """List of the `flat_ids` of one or two iterables with equally many texts."""
    columns = [flat_ids(rust, texts) for texts in columns]
    num_texts = [len(row_splits) - 1 for _, row_splits in columns]
    if len(set(num_texts)) > 1:
        raise ValueError(
            "texts and text_pairs must have the same number of elements. Received: "
            f"{num_texts[0]} texts, {num_texts[1]} text_pairs"
        )
    return columns


def places_of(rust, text):
    """The tokens of a text: list of (id, (start, end) in characters, word number)."""
    encoding = rust.encode(as_text(text))
    return list(zip(encoding.ids, encoding.offsets, encoding.word_ids, strict=True))


class RustEngine:
    """Base of the engines that tokenizers use in Python.

    Subclasses define, each a `tokenizers.Tokenizer`:

        _plain: Recognizes no special tokens.
        _with_mask: Recognizes the mask token.
        _with_end: Recognizes the end token, if there may be one.
        _with_special: Recognizes all special tokens.
        _with_places: Gives the offsets of `places_of`; `_plain` by default.

    Args:
        tokenizer: The tokenizer with the vocabulary and the options.
    """

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer

    @property
    def _with_places(self):
        return self._plain

    def tokenize(self, texts, *, end_token=False, special_tokens=False):
        """Yields the ids of every text of an iterable."""
        rust = self._with_end if end_token else self._plain
        rust = self._with_special if special_tokens else rust
        for chunk in ids_in_chunks(rust, texts):
            yield from chunk

    def tokenize_batch(self, texts, *, end_token=False):
        """The `TokenizedTexts` of an iterable of texts."""
        rust = self._with_end if end_token else self._plain
        return TokenizedTexts(*flat_ids(rust, texts))

    def encode(self, texts, max_length):
        """The `Encoding` of one or two texts."""
        layout = self._tokenizer.layout_ids
        texts = [places_of(self._with_places, text) for text in texts]
        return join(texts, layout, max_length)

    def encode_batch(self, columns, max_length, *, mask_token):
        """The `EncodedBatch` of one or two iterables of texts."""
        layout = self._tokenizer.layout_ids
        columns = flat_columns(self._with_mask if mask_token else self._plain, columns)
        return pack(*columns, layout=layout, max_length=max_length)
