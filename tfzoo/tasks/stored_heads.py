"""The trained head of a checkpoint: whose it is, and whether it fits a task."""

import logging
from typing import NamedTuple

from tfzoo.checkpoints.head_rows import RowsInOrder
from tfzoo.errors import CheckpointError
from tfzoo.families import BACKBONES
from tfzoo.tasks.labels import FIELDS, are_placeholders

logger = logging.getLogger("tfzoo")


class StoredHead(NamedTuple):
    """The head of a checkpoint, as a class of tasks sees it.

    Args:
        config: The fields of `config.json`. They name the task's class where the head
            is its own, and no task where it is not.
        names: The tensors of the head, a tuple; empty where there are none.
        outputs: Those of them with a row for each class.
        rows: How many rows they have; 0 where the head is not this task's.
        is_ours: Whether the head is one of this class of tasks.
        is_named: Whether the configuration says so.
    """

    config: dict
    names: tuple
    outputs: tuple
    rows: int
    is_ours: bool
    is_named: bool


def stored_head(task_class, found):
    """The `StoredHead` of a checkpoint for a task with labels.

    Whose it is stands in `architectures`, which `transformers` keeps true when it
    writes our directories anew; else in our block; else the tensors tell.

    Args:
        task_class: The class of the task.
        found: The `Checkpoint`.

    Raises:
        CheckpointError: the head is this task's, and a part of it is missing.
    """
    config, tensors = dict(found.config), found.tensors
    backbone_class = BACKBONES[config["model_type"]]
    own, needed, outputs = _head_tensors(task_class, backbone_class, tensors)
    names = tuple(sorted(own & tensors.names))
    whole = needed <= tensors.names
    heads = backbone_class.family.heads
    named = _named_class(config, heads)
    is_named = named == task_class.capability
    if is_named and names and not whole:
        raise CheckpointError(
            f"A head must be whole. Received: {', '.join(names)} without "
            f"{', '.join(sorted(needed - tensors.names))}.",
            path=tensors.path,
        )
    is_ours = whole and (is_named or named is None)
    rows = tensors.shape(outputs[0])[0] if is_ours else 0
    config["architectures"] = []
    if is_ours or is_named:
        config["architectures"] = [heads[task_class.capability].class_name]
    if is_ours and all(config.get(name) is None for name in FIELDS):
        config["num_labels"] = rows
    if not is_named:
        config.pop("tfzoo", None)
    return StoredHead(config, names, outputs, rows, is_ours, is_named)


def _head_tensors(task_class, backbone_class, tensors):
    """Names of the tensors of a head, of those and what it reads, of its outputs."""
    family, head = backbone_class.family, task_class.heads[0]
    stored = family.heads[task_class.capability].names
    places = {path: tensor.name for path, tensor in stored.items()}
    last = f"{head}/output" if f"{head}/output/kernel" in places else head
    needed = own = {*places.values()}
    if "pooler/kernel" in family.names and task_class.wants_pooler(backbone_class):
        stored = family.backbone_names(0, tensors.names)
        needed = own | {stored[f"pooler/{part}"].name for part in ("kernel", "bias")}
    return own, needed, (places[f"{last}/kernel"], places[f"{last}/bias"])


def _named_class(config, heads):
    """Name of the class of tasks that a configuration names, None if it names none."""
    classes = {head.class_name: task for task, head in heads.items()}
    for name in config.get("architectures") or []:
        if name in classes:
            return classes[name]
    block = config.get("tfzoo")
    named = block.get("class_name") if isinstance(block, dict) else None
    return named if isinstance(named, str) else None


def fitted(head, found, task, stored, asked):
    """The tensors of a checkpoint for a task, and whether its head is read.

    Where the task has the labels of the directory in another order, the rows of the
    head follow their names. Labels without names of their own (LABEL_0, or none) take
    those that were asked for.

    Args:
        head: The `StoredHead`.
        found: The `Checkpoint`.
        task: The task, built.
        stored: Its arguments as the directory has them.
        asked: Those that the user gave.

    Raises:
        CheckpointError: a trained head does not fit, and nobody asked for another.
    """
    there, wanted = stored.get("labels"), task.labels
    count = 1 if wanted is None else len(wanted)
    asks = asked.keys() & {"labels", "task"}
    if not head.is_ours:
        if head.is_named and not asks:
            raise CheckpointError(
                "config.json names this task, and the weights have no head of it.",
                path=found.path,
                tensor="architectures",
                fix="Give labels=[...], and a new head begins at random.",
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
            f"The head must have a row for each label. Received: {head.rows} rows, and "
            f"{count} in config.json{'' if there is None else f', {_short(there)}'}.",
            path=found.path,
            tensor="id2label" if there else "problem_type",
            fix="Correct the file, or give labels=[...] in the order of the rows.",
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
        "%s: the trained head (%s) %s and is left out; the new one is random. "
        "In the file: %s. Asked for: %s.",
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
    return repr([*labels])[:200]
