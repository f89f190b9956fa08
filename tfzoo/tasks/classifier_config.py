"""A classifier's arguments out of a `config.json`, ours or of `transformers`."""

from tfzoo.checkpoints.fields import read_field
from tfzoo.errors import CheckpointError
from tfzoo.tasks.presets import stored_task_arguments

PROBLEM_TYPES = {
    "classification": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}


def stored_classifier(config, path, class_name, checkpoint):
    """Constructor arguments of a classifier, as far as a `config.json` has them.

    Args:
        config: The content of the file.
        path: The file, for the errors.
        class_name: Of the task, in our block of the file.
        checkpoint: Module of `tfzoo.checkpoints` for the architecture.

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
    if checkpoint.ARCHITECTURES[class_name] in (config.get("architectures") or []):
        dropout = read_field(config, path, checkpoint.CLASSIFIER_DROPOUT)
        stored.setdefault("classifier_dropout", dropout)
        stored.setdefault("task", _task_of(config, path))
        if stored["task"] != "regression":
            stored.setdefault("labels", stored_labels(config, path))
    return stored


def stored_token_classifier(config, path, class_name, checkpoint):
    """As `stored_classifier`, of a classifier of tokens."""
    known = {"labels": list, "max_sequence_length": int, "classifier_dropout": float}
    stored = stored_task_arguments(config, path, class_name, known)
    if checkpoint.ARCHITECTURES[class_name] in (config.get("architectures") or []):
        stored.setdefault("labels", stored_labels(config, path))
        if checkpoint.TOKEN_DROPOUT is not None:
            dropout = read_field(config, path, checkpoint.TOKEN_DROPOUT)
            stored.setdefault("classifier_dropout", dropout)
    return stored


def dropout_field(field, backbone_dropout, dropout):
    """The dropout of a head as `transformers` has it; nothing where it has no field."""
    if field is None:
        return {}
    return {field.name: backbone_dropout if dropout is None else dropout}


def _task_of(config, path):
    problem = config.get("problem_type") or PROBLEM_TYPES["classification"]
    for task, name in PROBLEM_TYPES.items():
        if problem == name:
            return task
    raise CheckpointError(
        f"Must be one of {sorted(PROBLEM_TYPES.values())}. Received: {problem!r}.",
        path=path,
        tensor="problem_type",
    )


def stored_labels(config, path):
    """The labels in order, as `transformers` writes them."""
    labels = config.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})
    wanted = [str(i) for i in range(len(labels))] if isinstance(labels, dict) else ()
    if not isinstance(labels, dict) or sorted(labels) != sorted(wanted):
        raise CheckpointError(
            "Must have the keys 0, 1, 2 and so on.", path=path, tensor="id2label"
        )
    return [str(labels[i]) for i in wanted]
