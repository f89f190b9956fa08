"""Reads raw text that is split into words, for tasks on words.

Shapes: B batch.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfzoo.data.hugging_face import refuse_splits_and_streams, require_columns
from tfzoo.errors import shown
from tfzoo.tasks.inputs import (
    TARGETS,
    array_of,
    column_names,
    column_of,
    is_missing,
    is_table,
    texts_of,
)
from tfzoo.tasks.raw_datasets import joined


def raw_sentences(x):
    """`x` as a list of lists of words, or None if it is not raw sentences.

    Args:
        x: A column of sentences: lists (tuples, arrays) of words, or strings, which are
            split at spaces; or a ragged tensor of words. A dict with `"text"`, or a
            table with that column, is read as that column. Anything else is not.

    Raises:
        ValueError: a sentence or a word is missing or not a string, or a dict has other
            keys.
    """
    refuse_splits_and_streams(x)
    require_columns(x, "text")
    if isinstance(x, Mapping):
        if "text" not in x:
            return None
        if others := sorted(map(str, set(x) - {"text"})):
            raise ValueError(f"The key of raw words must be 'text'. Received: {others}")
        x = x["text"]
    elif is_table(x):
        x = column_of(x, "text")
    elif len([name for name in column_names(x) if isinstance(name, str)]) > 1:
        return None  # no column is `text`
    if isinstance(x, tf.RaggedTensor) and x.dtype == tf.string:
        x = x.to_list()
    if not isinstance(x, list | tuple):
        array = None if isinstance(x, str | bytes) else array_of(x)
        if array is None or array.dtype.kind not in "OUST" or array.ndim == 0:
            return None
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        x = array.tolist()
    if not all(_is_sentence(s) or is_missing(s) for s in x):
        return None
    if x and not any(map(_is_sentence, x)):
        return None
    return [_words(sentence, row) for row, sentence in enumerate(x)]


def _is_sentence(x):
    if isinstance(x, str | bytes):
        return True
    if isinstance(x, np.ndarray):
        return x.ndim == 1 and x.dtype.kind in "OUST"
    return isinstance(x, list | tuple) and (
        not x or any(isinstance(word, str | bytes) for word in x)
    )


def _words(sentence, row):
    if is_missing(sentence):
        raise ValueError(
            f"Every text must be a string or a list of words. Received: {sentence!r} "
            f"in row {row}; remove such rows"
        )
    if isinstance(sentence, bytes):
        sentence = sentence.decode("utf-8", "replace")
    if isinstance(sentence, str):
        return sentence.split()
    return texts_of(sentence, f"the text of row {row}")


def raw_word_batches(x):
    """`x` as a dataset of ragged batches of words, or None if it is not raw words.

    Strings (B,) or (B, 1) are split at spaces; a dict with `text` is read as that
    column, with `label` as its targets.

    Raises:
        ValueError: its strings or labels have another shape.
    """
    if not isinstance(x, tf.data.Dataset):
        return None
    first = _first(x.element_spec)
    if isinstance(first, dict):
        if getattr(first.get("text"), "dtype", None) != tf.string:
            return None
        x = x.map(_columns)
        first = _first(x.element_spec)
    if getattr(first, "dtype", None) != tf.string:
        return None
    if isinstance(first, tf.TensorSpec) and (
        first.shape.rank == 1 or first.shape[1:] == [1]
    ):
        x = x.map(_split)
    parts = x.element_spec if isinstance(x.element_spec, tuple) else (x.element_spec,)
    for spec in parts[:2]:
        if not isinstance(spec, tf.RaggedTensorSpec) or spec.ragged_rank != 1:
            raise ValueError(
                "A tf.data.Dataset of words must contain ragged batches (B, None) of "
                "words and labels, as made by `ragged_batch`. "
                f"Received: {shown(spec)}"
            )
    return x


def without_targets(x, *_):
    """The inputs of a batch of a dataset, without columns other than the text."""
    return {"text": x["text"]} if isinstance(x, dict) and "text" in x else x


def _first(element):
    return element[0] if isinstance(element, tuple) else element


def _columns(x, *rest):
    return joined(x["text"], rest or [x[name] for name in TARGETS if name in x][:1])


def _split(text, *rest):
    text = text[:, 0] if text.shape.rank == 2 else text
    return joined(tf.strings.split(text), rest)
