"""Base class of the tasks with labels."""

from tfzoo.checkpoints.fields import read_field
from tfzoo.errors import CheckpointError, shown
from tfzoo.tasks.encoder_task import EncoderTask
from tfzoo.tasks.labels import label_fields, placeholders, stored_labels

PROBLEM_TYPES = {
    "classification": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}


class Classifier(EncoderTask):
    """Base of the tasks whose outputs are named classes.

    A subclass defines, besides what `EncoderTask` requires:
        targets: Object with `labels` and `num_outputs`.
        classifier_dropout: Dropout of its head. None for that of the backbone.
    """

    trains_head = True

    @property
    def labels(self):
        """Class names in order, a tuple; None for regression."""
        return self.targets.labels

    @property
    def num_outputs(self):
        """Number C of logits of a text, or of a token."""
        return self.targets.num_outputs

    @classmethod
    def stored_arguments(cls, config, path):
        stored = super().stored_arguments(config, path)
        # The public fields take precedence over our block, as other tools edit them.
        if cls.is_named_in(config):
            if (field := cls.head_in(config).dropout) is not None:
                stored["classifier_dropout"] = read_field(config, path, field)
            stored["labels"] = stored_labels(config, path, stored.get("labels"))
        stored.setdefault("labels", None)
        return stored

    def label_fields(self):
        fields = label_fields(self.labels or placeholders(1))
        if (field := self.backbone.family.heads[self.capability].dropout) is not None:
            dropout = self.classifier_dropout
            fields[field.name] = self.backbone.dropout if dropout is None else dropout
        return fields


def check_task(task, path):
    """Raises `CheckpointError` if the `"tfzoo"` block of a file has an unknown task."""
    if task is not None and task not in PROBLEM_TYPES:
        raise CheckpointError(
            f"Must be one of {sorted(PROBLEM_TYPES)}. Received: {shown(task)}.",
            path=path,
            tensor="tfzoo.task",
        )


def stored_task(config, path, ours, labels):
    """The task of a file: from `problem_type`, else our block, else the labels.

    Args:
        config: Content of the file.
        path: Path of the file, for error messages.
        ours: Task in the `"tfzoo"` block, or None.
        labels: Class names. A single one means regression, as in `transformers`.

    Returns:
        A key of `PROBLEM_TYPES`.

    Raises:
        CheckpointError: `problem_type` has an unknown value.
    """
    problem = config.get("problem_type")
    if problem is None:
        return ours or ("regression" if len(labels) == 1 else "classification")
    for task, name in PROBLEM_TYPES.items():
        if problem == name:
            return task
    raise CheckpointError(
        f"Must be one of {sorted(PROBLEM_TYPES.values())}. Received: {shown(problem)}.",
        path=path,
        tensor="problem_type",
    )
