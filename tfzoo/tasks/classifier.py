"""What the tasks with labels share: one place that knows them, in files and outside."""

from tfzoo.checkpoints.fields import read_field
from tfzoo.errors import CheckpointError
from tfzoo.tasks.encoder_task import EncoderTask
from tfzoo.tasks.labels import label_fields, placeholders, stored_labels

PROBLEM_TYPES = {
    "classification": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}


class Classifier(EncoderTask):
    """A task whose outputs are classes with names, on any of the encoders.

    A task defines, beside what `EncoderTask` asks for:
        targets: What knows its `labels` and the number of its outputs.
        classifier_dropout: Of its head; None: as the backbone's.
    """

    @property
    def labels(self):
        """Names of the classes in order, a tuple; None for a regression."""
        return self.targets.labels

    @property
    def num_outputs(self):
        """Logits C of a text, or of a token."""
        return self.targets.num_outputs

    @classmethod
    def stored_arguments(cls, config, path):
        stored = super().stored_arguments(config, path)
        # Other tools change the public fields, so that these count before our block.
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
