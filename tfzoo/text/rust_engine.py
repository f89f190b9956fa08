"""What the tokenizers do with `tokenizers`, the engine in Rust: texts in, ids out."""

import itertools
import re

import numpy as np

# Bound the memory for what the engine knows of each token, and how long Ctrl+C waits.
_TEXTS_AT_ONCE, _CHARACTERS_AT_ONCE = 4096, 1 << 21
_SURROGATE = re.compile("[\ud800-\udfff]")


def as_text(text):
    """A text without lone surrogates, which UTF-8 does not have, from str or bytes."""
    if isinstance(text, bytes):
        return text.decode("utf-8", "replace")
    if not isinstance(text, str):
        raise ValueError(f"A text must be str or bytes. Received: {text!r:.80}")
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def ids_in_chunks(rust, texts):
    """Yields lists of the ids of some thousand texts.

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
    """The next texts of an iterator; one that is too long comes last."""
    chunk, num_characters = [], 0
    for text in itertools.islice(texts, _TEXTS_AT_ONCE):
        chunk.append(text)
        num_characters += len(text)
        if num_characters >= _CHARACTERS_AT_ONCE:
            break
    return chunk


def flat_ids(rust, texts):
    """The ids of all texts, int32 (T,), and where texts begin and end, int64 (N + 1,).

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
    """As `flat_ids`, of one or two iterables of as many texts: a list."""
    columns = [flat_ids(rust, texts) for texts in columns]
    num_texts = [len(row_splits) - 1 for _, row_splits in columns]
    if len(set(num_texts)) > 1:
        raise ValueError(
            "There must be as many second texts as first ones. Received: "
            f"{num_texts[0]} texts, {num_texts[1]} text_pairs"
        )
    return columns


def places_of(rust, text):
    """The tokens of a text: list of (id, (start, end) in characters, word's number)."""
    encoding = rust.encode(as_text(text))
    return list(zip(encoding.ids, encoding.offsets, encoding.word_ids, strict=True))
