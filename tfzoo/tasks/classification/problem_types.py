"""Whether a classifier learns a class, labels or a number, in a `config.json`."""

from tfzoo.errors import CheckpointError

PROBLEM_TYPES = {
    "classification": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}


def check_task(task, path):
    """Raises `CheckpointError` where our block of a file says what is no such task."""
    if task is not None and task not in PROBLEM_TYPES:
        raise CheckpointError(
            f"Must be one of {sorted(PROBLEM_TYPES)}. Received: {task!r}.",
            path=path,
            tensor="tfzoo.task",
        )


def stored_task(config, path, ours, labels):
    """What `problem_type` says, or our block, or as in `transformers` the labels.

    Args:
        config: The content of the file.
        path: The file, for the error.
        ours: That of our block, or None.
        labels: The names of the classes.

    Returns:
        A key of `PROBLEM_TYPES`.

    Raises:
        CheckpointError: the field says something else.
    """
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
