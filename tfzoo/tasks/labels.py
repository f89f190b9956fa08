"""The class names of a task, in memory and in a `config.json`."""

import logging
import re
from collections.abc import Mapping, Sequence, Set

import numpy as np

from tfzoo.errors import CheckpointError, printable, shown
from tfzoo.tasks.inputs import array_of, values_of

logger = logging.getLogger("tfzoo")

FIELDS = ("id2label", "label2id", "num_labels")  # of a `config.json`
_PLACEHOLDER = "LABEL_"
_MOST_UNNAMED = 100_000  # labels; `id2label` may name more


class Labels(tuple):
    """The class names of a task in order, a tuple of str.

    A task has exactly one. Its output layer, targets, metrics, answers, signatures and
    files take the names and their number from it.

    Args:
        names: A list, tuple or array.
        least: Minimum number of names.

    Raises:
        ValueError: the names are unordered, too few, not strings or not distinct.
    """

    def __new__(cls, names, least=1):
        ordered = names is None or isinstance(names, Sequence)
        ordered = ordered or array_of(names) is not None
        if isinstance(names, str | bytes | Mapping | Set) or not ordered:
            raise ValueError(
                "labels must be a list or tuple, whose order is that of the classes. "
                f"Received: {type(names).__name__} {shown(names)}"
            )
        found = () if names is None else tuple(values_of(names, "labels"))
        if len(found) < least or len(set(map(str, found))) < len(found):
            raise ValueError(
                f"labels must be at least {least} distinct names. "
                f"Received: {found[:20]!r}"
            )
        wrong = [name for name in found if not is_text(name)]
        if wrong:
            raise ValueError(
                f"labels must be strings of valid Unicode. Received: {shown(wrong[0])}"
            )
        return super().__new__(cls, map(str, found))

    def __init__(self, names, least=1):
        self._index = {label: i for i, label in enumerate(self)}
        # Labels "1" to "5" and the number 1: the name, or the second label?
        self._ambiguous = next(
            (
                label
                for label, i in self._index.items()
                if re.fullmatch(r"\s*[+-]?\d+(\.0*)?\s*", label) and float(label) != i
            ),
            None,
        )

    def index_of(self, label, row=0):
        """The index of a label given by name or index.

        Args:
            label: A name (str or bytes) or an index (an integer of any type).
            row: Row of the label in the data, for the error message.

        Raises:
            ValueError: there is no such label, or it is an index and the names are
                numbers themselves.
        """
        if isinstance(label, bytes):
            label = label.decode("utf-8", "replace")
        if isinstance(label, str):
            index = self._index.get(label)
        else:
            index = self._of_number(label, row)
        if index is None:
            raise ValueError(
                f"A target must be one of the labels {list(self)[:20]} or its index. "
                f"Received: {shown(label)} in row {row}"
            )
        return index

    def _of_number(self, label, row):
        if isinstance(label, list | tuple | np.ndarray) and np.size(label) == 1:
            label = np.asarray(label).item()  # of (N, 1)
        if isinstance(label, Sequence | np.ndarray):
            raise ValueError(no_single_label(list(label), row))
        if isinstance(label, bool | np.bool_):
            raise ValueError(
                "A target must be a label or its index; convert booleans with "
                f"y.astype(int). Received: {label} in row {row}"
            )
        if not isinstance(label, int | float | np.number) or label != label // 1:
            return None
        if not 0 <= label < len(self):
            return None
        if self._ambiguous is not None:
            raise ValueError(
                f"If labels are numbers, such as {self._ambiguous!r}, targets must be "
                "their names, for example str(label), because an index would mean "
                f"another label. Received: {shown(label)} in row {row}"
            )
        return int(label)


def is_text(value):
    """Whether a value is a str that UTF-8 can encode; JSON may have others."""
    if not isinstance(value, str):
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def no_single_label(row, number=0):
    """Message for a target with several values where each text has one label."""
    return (
        "A classification target must be one label; convert one-hot rows with "
        "y.argmax(-1), or use task='multi_label' for several labels per text. "
        f"Received: {shown(row)} in row {number}"
    )


def label_fields(labels):
    """The fields of a `config.json` that hold the class names, a dict."""
    return {
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }


def placeholders(count):
    """The default names of `transformers`: LABEL_0, LABEL_1, ..."""
    return [f"{_PLACEHOLDER}{i}" for i in range(count)]


def are_placeholders(labels):
    """Whether labels are the default names of `transformers`."""
    return [*labels] == placeholders(len(labels))


def stored_labels(config, path, ours=None):
    """The labels in order, from whichever field of a `config.json` has them.

    Args:
        config: Content of the file.
        path: Path of the file, for error messages.
        ours: Labels in the `"tfzoo"` block, used if no public field has them.

    Raises:
        CheckpointError: a field has an invalid value.
    """
    if config.get("id2label") is not None:
        labels = _by_id(config["id2label"], path)
        ids = config.get("label2id")
        other = isinstance(ids, dict) and [
            name for i, name in enumerate(labels) if ids.get(name, i) != i
        ]
        if other:
            logger.warning(
                "%s: label2id contradicts id2label, which takes precedence: %s",
                path,
                printable(other[0], 80),
            )
        return labels
    if config.get("label2id") is not None:
        return _by_name(config["label2id"], path)
    if ours is not None:
        return ours
    count = config.get("num_labels")
    count = 2 if count is None else count
    if type(count) is not int or not 1 <= count <= _MOST_UNNAMED:
        raise CheckpointError(
            f"Must be an integer from 1 to {_MOST_UNNAMED}. Received: {shown(count)}.",
            path=path,
            tensor="num_labels",
        )
    return placeholders(count)


def _by_id(labels, path):
    found = {}
    for key, name in labels.items() if isinstance(labels, dict) else ():
        if re.fullmatch(r"\d{1,8}", key, re.ASCII) and int(key) not in found:
            found[int(key)] = name
    if not found or [*range(len(found))] != sorted(found) or len(found) < len(labels):
        raise CheckpointError(
            "Must have the keys 0, 1, 2 and so on, and a name for each. "
            f"Received: {shown(labels)}.",
            path=path,
            tensor="id2label",
        )
    for i, name in found.items():
        if not isinstance(name, int | float) and not is_text(name):
            raise CheckpointError(
                "A name must be a string of valid Unicode. "
                f"Received: {shown(name)} for {i}.",
                path=path,
                tensor="id2label",
            )
    return [str(found[i]) for i in range(len(found))]


def _by_name(ids, path):
    pairs = [*ids.items()] if isinstance(ids, dict) else []
    found = {i: name for name, i in pairs if type(i) is int and is_text(name)}
    if not found or [*range(len(pairs))] != sorted(found):
        raise CheckpointError(
            "Must have the values 0, 1, 2 and so on, one for each name. "
            f"Received: {shown(ids)}.",
            path=path,
            tensor="label2id",
        )
    return [found[i] for i in range(len(found))]
