"""Base class of the tasks that read whole texts, once."""

from tfzoo.layers.keywords import named_parameters
from tfzoo.serving.signatures import padded_core
from tfzoo.tasks.task import Task


class EncoderTask(Task):
    """A task that reads whole texts, served as a SavedModel that takes raw strings.

    A subclass defines, besides what `Task` requires:
        signatures: Function of a `PaddedCore`, the tokenizer and options that returns
            the signatures.
        served_arguments(): Dict of the options that only the task may set.
        served_output(outputs): The output of the network that the signatures use.
    """

    def served_arguments(self):
        return {}

    def served_output(self, outputs):
        return outputs

    def served_options(self):
        arguments = self.served_arguments()
        names = named_parameters(self.signatures)[2:]
        return [*(n for n in names if n not in arguments), "jit_compile"]

    def served(self, *, jit_compile=False, **options):
        """The `ServedModel` of an export.

        Args:
            jit_compile: Whether XLA compiles the numeric core for serving.
            **options: Other options of the task's `signatures`.
        """
        model = self.in_float32()
        core = padded_core(
            lambda inputs: self.served_output(model(inputs, training=False)),
            self.tokenizer,
            max_sequence_length=self.max_sequence_length,
            vocabulary_size=self.backbone.vocabulary_size,
            num_segments=self.num_segments,
            mask_positions="mask_positions" in self.input,
            jit_compile=jit_compile,
        )
        arguments = self.served_arguments()
        return self.signatures(core, self.tokenizer, **arguments, **options)
