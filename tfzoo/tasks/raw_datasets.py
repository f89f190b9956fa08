"""Raw text as a `tf.data.Dataset`.

Shapes: B batch.
"""

import tensorflow as tf

from tfzoo.errors import shown
from tfzoo.tasks.inputs import TARGETS


def is_raw_dataset(x):
    """Whether `x` is a `tf.data.Dataset` whose first component is one or two texts."""
    if not isinstance(x, tf.data.Dataset):
        return False
    first = _first(x.element_spec)
    if isinstance(first, dict):
        first = first.get("text")
    columns = first if isinstance(first, tuple) and len(first) == 2 else (first,)
    return all(isinstance(c, tf.TensorSpec) and c.dtype == tf.string for c in columns)


def refuse_targets(dataset, reason, *, single=False):
    """Raises `ValueError` if raw batches contain more than texts.

    Args:
        dataset: A result of `batched`.
        reason: Why there are no targets.
        single: Whether pairs of texts are rejected, too.
    """
    if isinstance(dataset.element_spec, tuple | dict if single else tuple):
        raise ValueError(
            f"{reason}, so batches must contain only texts. "
            f"Received: {shown(dataset.element_spec)}"
        )


def _first(element):
    return element[0] if isinstance(element, tuple) else element


def batched(dataset):
    """A raw dataset as batches of (text, ...) or ({"text", "text_pair"}, ...).

    Pairs of texts may be tuples. A row of a table, a dict with `text` and `label`,
    becomes (text, label).

    Raises:
        ValueError: its elements are not batches.
    """
    first = _first(dataset.element_spec)
    if isinstance(first, tuple):
        dataset = dataset.map(_named_pair)
        first = _first(dataset.element_spec)
    spec = first["text"] if isinstance(first, dict) else first
    pairs = spec.shape.rank == 2 and spec.shape[1] == 2
    if not (spec.shape.rank == 1 or pairs or spec.shape[1:] == [1]):
        raise ValueError(
            "A tf.data.Dataset of text must be batched: elements of shape (B,). "
            f"Received: shape {spec.shape}"
        )
    whole = spec.shape.rank == 1 and not isinstance(first, dict)
    return dataset if whole else dataset.map(_columns)


def _named_pair(pair, *rest):
    return joined({"text": pair[0], "text_pair": pair[1]}, rest)


def _columns(x, *rest):
    if not isinstance(x, dict):
        if x.shape[1] == 1:
            return joined(x[:, 0], rest)
        return joined({"text": x[:, 0], "text_pair": x[:, 1]}, rest)
    targets = [x[name] for name in TARGETS if name in x][:1]
    columns = {name: x[name] for name in ("text", "text_pair") if name in x}
    columns = {n: v[:, 0] if v.shape.rank == 2 else v for n, v in columns.items()}
    text = columns if "text_pair" in columns else columns["text"]
    return joined(text, rest or targets)


def joined(x, rest):
    return (x, *rest) if rest else x
