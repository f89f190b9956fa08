"""What the tasks with labels share: one place that knows them, in files and outside."""

from tfzoo.checkpoints.fields import read_field
from tfzoo.tasks.encoder_task import EncoderTask
from tfzoo.tasks.labels import label_fields, placeholders, stored_labels


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
