"""A classifier's arguments out of a `config.json`, ours or of `transformers`.

What a public field says counts before our block's copy: other tools change the field.
"""

import logging
import re

from tfzoo.checkpoints.fields import read_field
from tfzoo.errors import CheckpointError
from tfzoo.tasks.stored_arguments import stored_task_arguments

logger = logging.getLogger("tfzoo")

LABEL_FIELDS = ("id2label", "label2id", "num_labels")
_PLACEHOLDER = "LABEL_"
PROBLEM_TYPES = {
    "classification": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}


def stored_classifier(config, path, class_name, head):
    """Constructor arguments of a classifier, as far as a `config.json` has them.

    Args:
        config: The content of the file.
        path: The file, for the errors.
        class_name: Of the task, in our block of the file.
        head: The `Head` that the architecture has for it.

    Raises:
        CheckpointError: a field has a value that makes no sense.
    """
    known = {
        "labels": list,
        "task": str,
        "text_pair": bool,
        "max_sequence_length": int,
        "classifier_dropout": float,
    }
    stored = stored_task_arguments(config, path, class_name, known)
    if stored.get("task", "classification") not in PROBLEM_TYPES:
        raise CheckpointError(
            f"Must be one of {sorted(PROBLEM_TYPES)}. Received: {stored['task']!r}.",
            path=path,
            tensor="tfzoo.task",
        )
    if head.class_name in (config.get("architectures") or []):
        _read_dropout(stored, config, path, head.dropout)
        labels = stored_labels(config, path, stored.get("labels"))
        stored["task"] = _task_of(config, path, stored.get("task"), labels)
        if stored["task"] == "regression":
            stored.pop("labels", None)
        else:
            stored["labels"] = labels
    return stored


def stored_token_classifier(config, path, class_name, head):
    """As `stored_classifier`, of a classifier of tokens."""
    known = {"labels": list, "max_sequence_length": int, "classifier_dropout": float}
    stored = stored_task_arguments(config, path, class_name, known)
    if head.class_name in (config.get("architectures") or []):
        _read_dropout(stored, config, path, head.dropout)
        stored["labels"] = stored_labels(config, path, stored.get("labels"))
    stored.setdefault("labels", None)  # which the task refuses, saying what they are
    return stored


def with_asked(stored, asked):
    """Arguments of a task: those of a directory, and before them those asked for.

    What a directory says of labels does not count for a regression that is asked for,
    nor that it is one where labels are.

    Args:
        stored: As `stored_classifier` gives them.
        asked: Arguments that the user gave.
    """
    stored = dict(stored)
    if asked.get("task") == "regression":
        stored.pop("labels", None)
    if asked.get("labels") is not None and stored.get("task") == "regression":
        stored.pop("task")
    return {**stored, **asked}


def _read_dropout(stored, config, path, field):
    """Sets `classifier_dropout` to that of the public field, where a format has one."""
    if field is not None:
        stored["classifier_dropout"] = read_field(config, path, field)


def dropout_field(field, backbone_dropout, dropout):
    """The dropout of a head as `transformers` has it; nothing where it has no field."""
    if field is None:
        return {}
    return {field.name: backbone_dropout if dropout is None else dropout}


def _task_of(config, path, ours, labels):
    """What `problem_type` says, or our block, or as `transformers` the labels."""
    problem = config.get("problem_type")
    if problem is None:
        return ours or ("regression" if len(labels) == 1 else "classification")
    for task, name in PROBLEM_TYPES.items():
        if problem == name:
            return task
    raise CheckpointError(
        f"Must be one of {sorted(PROBLEM_TYPES.values())}. Received: {problem!r}.",
        path=path,
        tensor="problem_type",
    )


def stored_labels(config, path, ours=None):
    """The labels in order, from whichever field of a `config.json` says them.

    Args:
        config: The content of the file.
        path: The file, for the errors.
        ours: Those of our block, where no field does.

    Raises:
        CheckpointError: a field has a value that makes no sense.
    """
    if config.get("id2label") is not None:
        labels = _by_id(config["id2label"], path)
        ids = config.get("label2id")
        other = isinstance(ids, dict) and [
            name for i, name in enumerate(labels) if ids.get(name, i) != i
        ]
        if other:
            logger.warning(
                "%s: label2id contradicts id2label, which counts: %s", path, other[0]
            )
        return labels
    if config.get("label2id") is not None:
        return _by_name(config["label2id"], path)
    if ours is not None:
        return ours
    count = config.get("num_labels")
    count = 2 if count is None else count
    if type(count) is not int or not 1 <= count < 1 << 24:
        raise CheckpointError(
            f"Must be a whole number from 1. Received: {count!r:.200}.",
            path=path,
            tensor="num_labels",
        )
    return [f"{_PLACEHOLDER}{i}" for i in range(count)]


def are_placeholders(labels):
    """Whether labels are those that `transformers` makes up: LABEL_0, LABEL_1, ..."""
    return all(name == f"{_PLACEHOLDER}{i}" for i, name in enumerate(labels))


def _by_id(labels, path):
    found = {}
    for key, name in labels.items() if isinstance(labels, dict) else ():
        if re.fullmatch(r"\d{1,8}", key, re.ASCII) and int(key) not in found:
            found[int(key)] = name
    if not found or [*range(len(found))] != sorted(found) or len(found) < len(labels):
        raise CheckpointError(
            "Must have the keys 0, 1, 2 and so on, and a name for each. "
            f"Received: {labels!r:.200}.",
            path=path,
            tensor="id2label",
        )
    for i, name in found.items():
        if not isinstance(name, str | int | float):
            raise CheckpointError(
                f"A name must be text. Received: {name!r:.80} for {i}.",
                path=path,
                tensor="id2label",
            )
    return [str(found[i]) for i in range(len(found))]


def _by_name(ids, path):
    pairs = [*ids.items()] if isinstance(ids, dict) else []
    found = {i: name for name, i in pairs if type(i) is int}
    if not found or [*range(len(pairs))] != sorted(found):
        raise CheckpointError(
            "Must have the values 0, 1, 2 and so on, one for each name. "
            f"Received: {ids!r:.200}.",
            path=path,
            tensor="label2id",
        )
    return [found[i] for i in range(len(found))]
