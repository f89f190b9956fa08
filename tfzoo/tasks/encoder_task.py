"""What tasks on a bidirectional encoder share: which encoders, and serving."""

from tfzoo.errors import refuse_unknown
from tfzoo.layers.keywords import named_parameters
from tfzoo.serving import export_version
from tfzoo.tasks.task import Task

_OF_TASK = ("max_sequence_length", "vocabulary_size", "num_segments")


class EncoderTask(Task):
    """A task on any of the encoders, served as a SavedModel of raw strings.

    A task defines, beside what `Task` asks for:
        signatures: Function of `tfzoo.serving` that makes its signatures.
        served_arguments(): What this function takes of the task alone, a dict.
    """

    def served_arguments(self):
        return {}

    def export_version(self, base, **options):
        """Writes the next version of a SavedModel that takes raw strings.

        Args:
            base: Directory of the versions, such as `saved_models/NAME`.
            **options: `jit_compile`, whether XLA compiles the numeric core when it is
                served, and what else the task's `signatures` take.

        Returns:
            `pathlib.Path` of the new version.
        """
        known = [n for n in named_parameters(self.signatures)[2:] if n not in _OF_TASK]
        refuse_unknown(f"{type(self).__name__}.export_version", options, known)
        model = self.in_float32()
        served = self.signatures(
            lambda inputs: model(inputs, training=False),
            self.tokenizer,
            max_sequence_length=self.max_sequence_length,
            vocabulary_size=self.backbone.vocabulary_size,
            num_segments=self.num_segments,
            **{**self.served_arguments(), **options},
        )
        return export_version(base, served)
