"""The trained head of a checkpoint: its task, and whether it fits another."""

import logging
from typing import NamedTuple

from tfzoo.checkpoints.head_rows import RowsInOrder
from tfzoo.errors import CheckpointError, shown
from tfzoo.families import class_of
from tfzoo.tasks.labels import FIELDS, are_placeholders

logger = logging.getLogger("tfzoo")


class StoredHead(NamedTuple):
    """The head of a checkpoint, from the perspective of a class of tasks.

    Args:
        config: The fields of `config.json`. They name the task's class if the head is
            its own, otherwise no task.
        names: Names of the tensors of the head, a tuple; empty without a head.
        outputs: Names of those tensors with a row for each class.
        rows: Number of these rows; 0 if the head is not of this task.
        is_ours: Whether the head belongs to this class of tasks.
        is_named: Whether the configuration names this class of tasks.
    """

    config: dict
    names: tuple
    outputs: tuple
    rows: int
    is_ours: bool
    is_named: bool


def stored_head(task_class, found):
    """The `StoredHead` of a checkpoint for a task with labels.

    The task of the head is named in `architectures`, which `transformers` updates when
    it rewrites our directories; otherwise in our block; otherwise the tensors decide.

    Args:
        task_class: The class of the task.
        found: The `Checkpoint`.

    Raises:
        CheckpointError: the head is of this task, but some tensors are missing.
    """
    config, tensors = dict(found.config), found.tensors
    backbone_class = class_of(config, found.path, task_class.backbones())
    own, needed, outputs = _head_tensors(task_class, backbone_class, tensors)
    names = tuple(sorted(own & tensors.names))
    whole = needed <= tensors.names
    heads = backbone_class.family.heads
    named = _named_class(config, heads)
    is_named = named == task_class.capability
    if is_named and names and not whole:
        raise CheckpointError(
            f"A head must be complete. Received: {', '.join(names)} without "
            f"{', '.join(sorted(needed - tensors.names))}.",
            path=tensors.path,
        )
    is_ours = whole and (is_named or named is None)
    rows = next(iter(tensors.shape(outputs[0])), 0) if is_ours else 0
    config["architectures"] = []
    if is_ours or is_named:
        config["architectures"] = [heads[task_class.capability].class_name]
    if is_ours and all(config.get(name) is None for name in FIELDS):
        config["num_labels"] = rows
    if not is_named:
        config.pop("tfzoo", None)
    return StoredHead(config, names, outputs, rows, is_ours, is_named)


def _head_tensors(task_class, backbone_class, tensors):
    """Names of the tensors of a head, of those plus its inputs, and of its outputs."""
    family, head = backbone_class.family, task_class.heads[0]
    stored = family.heads[task_class.capability].names
    places = {path: tensor.name for path, tensor in stored.items()}
    last = f"{head}/output" if f"{head}/output/kernel" in places else head
    needed = own = {*places.values()}
    if "pooler/kernel" in family.names and task_class.wants_pooler(backbone_class):
        stored = family.backbone_names(None, tensors.names)
        needed = own | {stored[f"pooler/{part}"].name for part in ("kernel", "bias")}
    return own, needed, (places[f"{last}/kernel"], places[f"{last}/bias"])


def _named_class(config, heads):
    """Name of the class of tasks in a configuration, or None."""
    classes = {head.class_name: task for task, head in heads.items()}
    for name in config.get("architectures") or []:
        if name in classes:
            return classes[name]
    block = config.get("tfzoo")
    named = block.get("class_name") if isinstance(block, dict) else None
    return named if isinstance(named, str) else None


def fitted(head, found, task, stored, asked):
    """The tensors of a checkpoint for a task, and whether to read its head.

    If the task has the labels of the directory in another order, the rows of the head
    are reordered by name. Unnamed labels (LABEL_0, or none) are given the requested
    names.

    Args:
        head: The `StoredHead`.
        found: The `Checkpoint`.
        task: The task, already built.
        stored: Its arguments in the directory.
        asked: The user's arguments.

    Raises:
        CheckpointError: a trained head does not fit, and no other was requested.
    """
    there, wanted = stored.get("labels"), task.labels
    count = 1 if wanted is None else len(wanted)
    asks = asked.keys() & {"labels", "task"}
    if not head.is_ours:
        if head.is_named and not asks:
            raise CheckpointError(
                "config.json names this task, but the weights lack its head.",
                path=found.path,
                tensor="architectures",
                fix="Pass labels=[...] for a new head with random weights.",
            )
        if head.names:
            _warn(found, head, stored, task, "belongs to another task")
        return found.tensors, False
    problem = asked.get("task")
    same_task = problem in (None, stored.get("task")) or not _says_task(head.config)
    nameless = there is None or len(there) != head.rows or are_placeholders(there)
    if same_task and count == head.rows:
        if nameless or wanted is None or [*wanted] == [*there]:
            return found.tensors, True
        if {*wanted} == {*there}:
            order = [[*there].index(name) for name in wanted]
            return RowsInOrder(found.tensors, head.outputs, order), True
    if not asks:
        raise CheckpointError(
            f"The head must have a row for each label. Received: {head.rows} rows, but "
            f"{count} in config.json{'' if there is None else f', {_short(there)}'}.",
            path=found.path,
            tensor="id2label" if there else "problem_type",
            fix="Correct the file, or pass labels=[...] in the order of the rows.",
        )
    _warn(found, head, stored, task, "does not fit")
    return found.tensors, False


def _says_task(config):
    block = config.get("tfzoo")
    return config.get("problem_type") is not None or (
        isinstance(block, dict) and block.get("task") is not None
    )


def _warn(found, head, stored, task, why):
    logger.warning(
        "%s: the trained head (%s) %s and is not used; the new one is random. "
        "In the file: %s. Requested: %s.",
        found.tensors.path,
        ", ".join(head.names),
        why,
        _described(stored.get("labels"), stored.get("task")),
        _described(task.labels, getattr(task, "task", None)),
    )


def _described(labels, kind):
    names = "no labels" if labels is None else f"labels {_short(labels)}"
    return f"{names} of {kind}" if kind else names


def _short(labels):
    return shown([*labels])
