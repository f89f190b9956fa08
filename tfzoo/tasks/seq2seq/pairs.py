"""Raw pairs of a source and a target in any container.

Shapes: N pairs, B batch.
"""

from collections.abc import Mapping

import tensorflow as tf

from tfzoo.data.hugging_face import require_columns
from tfzoo.errors import shown
from tfzoo.tasks.inputs import (
    Texts,
    column_of,
    is_table,
    names_in,
    raw_texts,
    texts_of,
)
from tfzoo.tasks.raw_datasets import batched, is_raw_dataset, joined

SOURCE, TARGET = "source", "target"


def raw_pairs(x):
    """`x` as `Texts` of sources and, unless they are given apart, targets; or None.

    Args:
        x: A dict or a table with the columns `source` and `target`; pairs or a column
            of texts, as in `raw_texts`. Anything else is not raw.

    Raises:
        ValueError: it is raw text, but a text is missing or the columns differ in
            length.
    """
    if isinstance(x, Texts) or not _has_sources(x):
        return raw_texts(x)
    require_columns(x, SOURCE)
    is_mapping = isinstance(x, Mapping)
    known = [*x] if is_mapping else names_in(x)
    if is_mapping and {*known} - {SOURCE, TARGET}:
        raise ValueError(
            f"The keys of raw pairs must be '{SOURCE}' and '{TARGET}'. "
            f"Received: {shown([*known])}"
        )
    sources = texts_of(column_of(x, SOURCE), SOURCE)
    if TARGET not in known:
        return Texts(sources)
    return Texts(sources, texts_of(column_of(x, TARGET), TARGET))


def _has_sources(x):
    if isinstance(x, Mapping):
        return SOURCE in x
    return is_table(x, SOURCE)


def targets_of_pairs(x, y):
    """The targets of raw pairs, a list with a text for each source.

    Args:
        x: The result of `raw_pairs`.
        y: The targets if `x` has none, in any container.

    Raises:
        ValueError: there are no targets, or two for every source, or their number is
            another than that of the sources.
    """
    if y is not None and x.text_pairs is not None:
        raise ValueError(
            "Targets must be given once, in the pairs or as y. Received: both"
        )
    targets = x.text_pairs if y is None else texts_of(y, "y")
    if targets is None:
        raise ValueError(
            f"Every source needs a target: pass y, or a dict of '{SOURCE}' and "
            f"'{TARGET}'. Received: only sources"
        )
    if len(targets) != len(x.texts):
        raise ValueError(
            "There must be as many targets as sources. Received: "
            f"{len(x.texts)} sources, {len(targets)} targets"
        )
    return targets


def raw_pair_batches(x):
    """A dataset as batches of ((source, target), ...), or None if it is not raw.

    Args:
        x: `tf.data.Dataset` of {"source", "target"}, (source, target) or pairs as in
            `raw_texts`, each possibly followed by weights; strings (B,).

    Raises:
        ValueError: its elements are not batches of pairs.
    """
    if not isinstance(x, tf.data.Dataset):
        return None
    first = x.element_spec[0] if isinstance(x.element_spec, tuple) else x.element_spec
    if isinstance(first, dict) and SOURCE in first:
        if TARGET not in first:
            raise ValueError(
                f"Batches of pairs must have a '{TARGET}'. Received: {shown(first)}"
            )
        x = x.map(_renamed)
    if not is_raw_dataset(x):
        return None
    x = batched(x)
    spec = x.element_spec
    if not isinstance(spec, dict) and not (
        isinstance(spec, tuple)
        and (isinstance(spec[0], dict) or spec[1].dtype == tf.string)
    ):
        raise ValueError(
            "Batches of sources must have targets: (source, target). Received: "
            f"{shown(spec)}"
        )
    return x.map(_paired)


def _renamed(pairs, *rest):
    return joined({"text": pairs[SOURCE], "text_pair": pairs[TARGET]}, rest)


def _paired(x, *rest):
    if isinstance(x, dict):
        return (x["text"], x["text_pair"]), *rest
    target, *weights = rest
    return (x, target), *weights
