"""Base class of the tasks on a bidirectional encoder."""

from tfzoo.errors import refuse_unknown
from tfzoo.layers.keywords import named_parameters
from tfzoo.serving import export_version
from tfzoo.serving.signatures import padded_core
from tfzoo.tasks.task import Task


class EncoderTask(Task):
    """A task on any of the encoders, served as a SavedModel that takes raw strings.

    A subclass defines, besides what `Task` requires:
        signatures: Function of a `PaddedCore`, the tokenizer and options that returns
            the signatures.
        served_arguments(): Dict of the options that only the task may set.
    """

    def served_arguments(self):
        return {}

    def export_version(self, base, *, jit_compile=False, **options):
        """Writes the next version of a SavedModel that takes raw strings.

        Args:
            base: Directory of the versions, such as `saved_models/NAME`.
            jit_compile: Whether XLA compiles the numeric core for serving.
            **options: Other options of the task's `signatures`.

        Returns:
            `pathlib.Path` of the new version.
        """
        arguments = self.served_arguments()
        known = [n for n in named_parameters(self.signatures)[2:] if n not in arguments]
        known += ["jit_compile"]
        refuse_unknown(f"{type(self).__name__}.export_version", options, known)
        model = self.in_float32()
        core = padded_core(
            lambda inputs: model(inputs, training=False),
            self.tokenizer,
            max_sequence_length=self.max_sequence_length,
            vocabulary_size=self.backbone.vocabulary_size,
            num_segments=self.num_segments,
            mask_positions="mask_positions" in self.input,
            jit_compile=jit_compile,
        )
        served = self.signatures(core, self.tokenizer, **arguments, **options)
        return export_version(base, served)
