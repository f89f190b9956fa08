"""`export` and `export_version`, which mean the same for every task."""

from tfzoo.errors import refuse_unknown
from tfzoo.serving import export_saved_model, export_version


class Exporting:
    """Mixin: `export` and `export_version`, from raw strings to answers.

    A task defines:
        served_options(): Names of the options of an export.
        served(**options): The `ServedModel`.
    """

    def export(self, filepath, format="tf_saved_model", **options):
        """Writes a SavedModel that takes raw strings; other formats as in Keras.

        It is the model that `export_version` writes, without a version and without TF
        Serving's configuration next to it.

        Args:
            filepath: Directory of the SavedModel, missing or empty.
            format: `"tf_saved_model"`; or another format of Keras, such as `"onnx"`,
                which then gets the network alone, from ids to logits.
            **options: For a SavedModel, as in `export_version`. For other formats,
                those of `keras.Model.export`.

        Raises:
            OutputError: `filepath` already exists or cannot be written.
            TypeError: the task has no such option.
        """
        if format == "tf_saved_model":
            export_saved_model(filepath, self._served("export", options))
        else:
            super().export(filepath, format, **options)

    def export_version(self, base, **options):
        """Writes the next version of a SavedModel that takes raw strings.

        Args:
            base: Directory of the versions, such as `saved_models/NAME`.
            **options: `jit_compile`, whether XLA compiles the numeric core for serving,
                and the options of the task, which its function `..._signatures`
                documents: `top_k` for masked words; for a GPT `max_new_tokens`, the
                maximum that can be requested, and together with `temperature`, `top_k`,
                `top_p`, `repetition_penalty`, `seed`, `num_beams`, `length_penalty`,
                `early_stopping` and `penalty_alpha` what `serving_default` does.

        Returns:
            `pathlib.Path` of the new version.

        Raises:
            OutputError: `base` cannot be written or contains something else.
            TypeError: the task has no such option.
        """
        return export_version(base, self._served("export_version", options))

    def _served(self, method, options):
        name = f"{type(self).__name__}.{method}"
        refuse_unknown(name, options, self.served_options())
        return self.served(**options)
