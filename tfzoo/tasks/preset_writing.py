"""`save_to_preset`: tasks as directories in Hugging Face's format."""

import numpy as np

from tfzoo.checkpoints.hub import PushToHub
from tfzoo.checkpoints.preset_files import model_card, write_preset
from tfzoo.checkpoints.weights import dtype_fields, save_weights
from tfzoo.errors import printable
from tfzoo.layers.keywords import known_keywords
from tfzoo.models.frozen import frozen_config, weight_variables
from tfzoo.models.lora import adapted, merged_variables
from tfzoo.weight_files import num_bytes_of


class PresetWriting(PushToHub):
    """Mixin: `save_to_preset`, which writes the directory of a task.

    A task may override `save_more`, `token_fields` and `label_fields`, and the
    `stored_model` of `PresetReading`.
    """

    @known_keywords()
    def save_to_preset(
        self,
        directory,
        *,
        training_data=None,
        metrics=None,
        dtype=None,
        max_shard_size=None,
    ):
        """Writes a directory that `from_preset` and `transformers` can open.

        Adapters are merged into the weights there; see also `save_adapter`.

        Args:
            directory: Must not exist yet.
            training_data: Description for the model card, one line.
            metrics: Dict of name -> value for the model card.
            dtype: Data type of the weights in the file: `"float32"`, `"float16"` or
                `"bfloat16"`. Defaults to that of the variables.
            max_shard_size: Maximum bytes of weights per file; None for a single file.
        """
        family = self.backbone.family
        weights = merged_variables(self.stored_model())
        config = family.to_config(
            self.backbone.get_config(),
            self.architecture,
            self._config_fields() | dtype_fields(weights, dtype),
        )
        # Without a head, the file is that of a backbone, whose names have no prefix.
        present = None if self.stored_model() is self else ()
        names = {
            **family.backbone_names(self.backbone, present),
            **self._head_names(),
        }
        tokenizer = self.tokenizer
        facts = {f.name: config[f.name] for f in family.fields.values()}
        if self.labels:
            facts["labels"] = ", ".join(printable(name, 80) for name in self.labels)
        facts["training data"] = training_data or "not stated"
        card = model_card(
            type(self).__name__,
            model_type=family.model_type,
            facts=facts,
            tokenizer=tokenizer.description,
            metrics=metrics,
        )

        def write_rest(beside):
            save_weights(
                beside,
                weights,
                names,
                dtype=dtype,
                max_shard_size=max_shard_size,
            )
            tokenizer.save_to_preset(
                beside, max_sequence_length=self.max_sequence_length
            )
            self.save_more(beside)

        size = num_bytes_of(weights, dtype)
        write_preset(directory, config, card, write_rest, size=size)

    def task_arguments(self):
        """Its constructor arguments except backbone and tokenizer, as JSON values."""
        values = {name: getattr(self, name) for name in self.argument_types}
        return {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}

    @property
    def architecture(self):
        """Name of its class in `transformers`."""
        family = self.backbone.family
        if self.stored_model() is not self:
            return family.class_name
        return family.heads[self.capability].class_name

    def save_more(self, directory):
        """Writes the files that only this task has; none by default."""

    def _config_fields(self):
        arguments = self.task_arguments()
        return {
            **self.token_fields(),
            **self.label_fields(),
            # Labels and kind are in public fields, which other tools may change.
            "tfzoo": {
                "class_name": self.capability,
                **frozen_config(self),
                **{n: v for n, v in arguments.items() if n not in self.head_arguments},
            },
        }

    def token_fields(self):
        """Fields of the special tokens for `transformers`."""
        roles = {"pad_token_id": "pad", **self.backbone.family.token_fields}
        return {f: getattr(self.tokenizer, f"{role}_id") for f, role in roles.items()}

    def label_fields(self):
        """Fields of the labels for `transformers`; none by default."""
        return {}

    def in_float32(self):
        """This task, or an equal one without adapters that computes in float32."""
        if self.backbone.dtype_name == "float32" and not adapted(self):
            return self
        backbone = type(self.backbone).from_config(
            {**self.backbone.get_config(), "dtype": "float32"}
        )
        copy = type(self)(backbone, self.tokenizer, **self.task_arguments())
        ours = {v.path: v for v in merged_variables(self)}
        for variable in weight_variables(copy):
            variable.assign(np.asarray(ours[variable.path]))
        return copy
