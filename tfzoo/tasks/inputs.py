"""Telling raw text from prepared ids in what a user hands to `fit`."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Texts(NamedTuple):
    """Raw texts and, for pair tasks, their second texts."""

    texts: list
    text_pairs: list | None = None


def raw_texts(x):
    """`x` as `Texts`, or None if it is not raw text.

    Args:
        x: Raw text is a list (tuple, array) of strings, a dict with `"text"` and
            perhaps `"text_pair"`, or a tuple of two lists. Anything else is not.
    """
    if isinstance(x, Texts):
        return x
    if isinstance(x, dict) and "text" in x:
        unknown = sorted(set(x) - {"text", "text_pair"})
        if unknown:
            raise ValueError(
                f"Raw text has the keys 'text' and 'text_pair'. Received: {unknown}"
            )
        pairs = x.get("text_pair")
        return _same_length(list(x["text"]), None if pairs is None else list(pairs))
    if isinstance(x, tuple) and len(x) == 2 and all(_is_strings(part) for part in x):
        return _same_length(list(x[0]), list(x[1]))
    return Texts(list(x)) if _is_strings(x) else None


def _same_length(texts, text_pairs):
    if text_pairs is not None and len(texts) != len(text_pairs):
        raise ValueError(
            "text and text_pair must be of one length. "
            f"Received: {len(texts)} and {len(text_pairs)}"
        )
    return Texts(texts, text_pairs)


def _is_strings(x):
    if isinstance(x, np.ndarray):
        return x.ndim == 1 and x.dtype.kind in "OUS"
    return isinstance(x, list | tuple) and all(isinstance(t, str | bytes) for t in x)


def example_weights(sample_weight, count):
    """Weights of so many examples, float32 (N,), 1 where none are given."""
    if sample_weight is None:
        return np.ones(count, np.float32)
    weights = np.asarray(sample_weight, np.float32)
    if weights.shape != (count,):
        raise ValueError(
            "sample_weight must be a number for each example. Received: shape "
            f"{weights.shape} for {count} examples"
        )
    return weights


def is_raw_dataset(x):
    """Whether `x` is a `tf.data.Dataset` whose first component is text."""
    if not isinstance(x, tf.data.Dataset):
        return False
    first = _first(x.element_spec)
    if isinstance(first, dict):
        first = first.get("text")
    return isinstance(first, tf.TensorSpec) and first.dtype == tf.string


def _first(element):
    return element[0] if isinstance(element, tuple) else element


def batched(dataset):
    """The raw dataset; ValueError if its elements are not batches."""
    first = _first(dataset.element_spec)
    first = first["text"] if isinstance(first, dict) else first
    if first.shape.rank != 1:
        raise ValueError(
            "A tf.data.Dataset of text must be batched: elements of shape (B,). "
            f"Received: shape {first.shape}"
        )
    return dataset


def raw_sentences(x):
    """`x` as a list of lists of words, or None if it is not that.

    Args:
        x: List (tuple) of sentences: lists of words, or strings, which are divided at
            spaces. Anything else is not.
    """
    if isinstance(x, np.ndarray) and _is_strings(x):
        x = list(x)
    if not isinstance(x, list | tuple):
        return None
    if not all(isinstance(s, str | bytes) or _is_strings(s) for s in x):
        return None
    return [_text(s).split() if isinstance(s, str | bytes) else list(s) for s in x]


def _text(text):
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def raw_word_batches(x):
    """`x` if it is a dataset of ragged batches of words, None if it is anything else.

    ValueError if its strings are not of the shape (B, None), or the labels are not.
    """
    if not isinstance(x, tf.data.Dataset):
        return None
    parts = x.element_spec if isinstance(x.element_spec, tuple) else (x.element_spec,)
    if getattr(parts[0], "dtype", None) != tf.string:
        return None
    for spec in parts[:2]:
        if not isinstance(spec, tf.RaggedTensorSpec) or spec.ragged_rank != 1:
            raise ValueError(
                "A tf.data.Dataset of words must hold ragged batches (B, None) of "
                "words and of their labels, as `ragged_batch` makes them. "
                f"Received: {spec}"
            )
    return x
