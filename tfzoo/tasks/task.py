"""What one trains, saves and serves.

Shapes: B batch, S sequence.
"""

import keras
import tensorflow as tf

from tfzoo.data.buckets import ordered_batches
from tfzoo.data.string_batches import dense_batch
from tfzoo.models import RobertaEncoder
from tfzoo.tasks.compiling import AutoCompile
from tfzoo.tasks.inputs import batched, is_raw_dataset, raw_texts
from tfzoo.tasks.presets import Preset
from tfzoo.training.host_memory import keep_freed_memory

BATCH_SIZE = 32
XLA_LENGTH_MULTIPLE = 32  # of padded lengths, each of which XLA compiles


class Task(AutoCompile, Preset, keras.Model):
    """A backbone, a tokenizer and a head: a `keras.Model` that takes raw text.

    `fit`, `evaluate` and `predict` take what Keras takes (prepared ids) and raw text:
    a list of strings, a dict of `text` and `text_pair`, or a batched
    `tf.data.Dataset` of either. Lists are tokenized up front and batched by length;
    a dataset is tokenized inside `tf.data`, in its own order and batches.

    A task defines, beside what `AutoCompile` and `Preset` ask for:
        training_data(x, y, sample_weight, *, batch_size, epochs, shuffle, seed,
            start_step): Raw text that is not a dataset -> `tf.data` of (inputs,
            targets, weights), `epochs` times all of it. A pure function: `seed` names
            the order and all that is random, and `start_step` leaves out that many
            batches at the beginning, exactly.
        map_strings(dataset, *, seed): The same for a batched dataset of raw text.

    Where its raw input is no text or pair of texts, also `raw_input` and `raw_batches`.

    Args:
        inputs: Of the functional graph.
        outputs: Of the functional graph.
        backbone: A model of `tfzoo.models`.
        tokenizer: Its ids must lie within the backbone's vocabulary.
        labels: Names of the classes in order, None where there are none.
        max_sequence_length: Longest input in tokens; longer ones are cut. None takes
            the backbone's.
    """

    def __init__(
        self,
        inputs,
        outputs,
        *,
        backbone,
        tokenizer,
        labels=None,
        max_sequence_length=None,
        **kwargs,
    ):
        limit = backbone.max_sequence_length
        max_sequence_length = max_sequence_length or limit
        if not 2 < max_sequence_length <= limit:
            raise ValueError(
                f"max_sequence_length must be 3 to {limit}, the backbone's positions. "
                f"Received: {max_sequence_length}"
            )
        if tokenizer.vocabulary_size > backbone.vocabulary_size:
            raise ValueError(
                "Every id of the tokenizer must lie within the backbone's vocabulary. "
                f"Received: tokenizer.vocabulary_size={tokenizer.vocabulary_size}, "
                f"backbone.vocabulary_size={backbone.vocabulary_size}"
            )
        if isinstance(backbone, RobertaEncoder):
            _check_padding(backbone, tokenizer)
        super().__init__(inputs, outputs, **kwargs)
        # Not tracked by Keras: the graph above holds its layers already, and only those
        # that the task uses (a pooler without a gradient would be warned about).
        object.__setattr__(self, "_backbone", backbone)
        self._input_names = tuple(inputs)
        self.tokenizer = tokenizer
        self.labels = None if labels is None else tuple(labels)
        self.max_sequence_length = max_sequence_length

    @property
    def backbone(self):
        """The model of `tfzoo.models` whose layers this task trains."""
        return self._backbone

    @property
    def num_segments(self):
        """How many segments the backbone tells apart; None: it takes no segments."""
        takes = "segment_ids" in self.backbone.input
        return self.backbone.num_segments if takes else None

    @property
    def length_multiple(self):
        """What lengths are rounded up to: 1, unless XLA compiles every one."""
        return XLA_LENGTH_MULTIPLE if self.jit_compiled else 1

    def call(self, inputs, training=None, mask=None):
        # Tokenizers give `segment_ids` to all, and not every backbone has segments.
        if isinstance(inputs, dict):
            inputs = {
                name: inputs[name] for name in self._input_names if name in inputs
            }
        return super().call(inputs, training=training, mask=mask)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "backbone": serialize(self.backbone),
            "tokenizer": serialize(self.tokenizer),
            "name": self.name,
            **self.task_arguments(),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for part in ("backbone", "tokenizer"):
            config[part] = keras.saving.deserialize_keras_object(config[part])
        return cls(**config)

    @staticmethod
    def raw_input(x):
        """`x` in a form that `training_data` takes, None if it is not raw."""
        return raw_texts(x)

    @staticmethod
    def raw_batches(x):
        """`x` if it is a batched dataset of raw input, None if it is anything else."""
        return batched(x) if is_raw_dataset(x) else None

    def evaluation_data(self, x, y=None, sample_weight=None, *, batch_size=BATCH_SIZE):
        """Batches of raw text for `evaluate`: all texts once, in a fixed order."""
        return self.training_data(
            x, y, sample_weight, batch_size=batch_size, shuffle=False
        )

    def encode_strings(self, text, **options):
        """Strings (B,), or a dict of them -> padded ids (B, S), as a graph does it.

        Args:
            text: String (B,), or a dict of `text` and `text_pair`.
            **options: As of the tokenizer's `graph.encode`.
        """
        text = text if isinstance(text, dict) else {"text": text}
        encoded = self.tokenizer.graph.encode(
            text["text"],
            text.get("text_pair"),
            max_length=self.max_sequence_length,
            **options,
        )
        return dense_batch(encoded, self.tokenizer.pad_id, self.length_multiple)

    def outputs_of_rows(self, encoded, *, batch_size=BATCH_SIZE):
        """What the model answers to every row, without the padding of its batch.

        Args:
            encoded: `EncodedBatch` of N rows.
            batch_size: Rows per batch; those of like length come together.

        Returns:
            List of N float32 arrays (tokens of the row, ...).
        """
        batches, order = ordered_batches(
            encoded,
            batch_size=batch_size,
            pad_id=self.tokenizer.pad_id,
            multiple=self.length_multiple,
        )
        rows = []
        for inputs in batches:
            lengths = inputs["padding_mask"].numpy().sum(axis=1)
            outputs = self.predict_on_batch(inputs)
            rows += [row[:n] for row, n in zip(outputs, lengths, strict=True)]
        return [rows[i] for i in order]

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        *,
        validation_data=None,
        shuffle=True,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        seed=0,
        **kwargs,
    ):
        """Trains, on raw text or prepared ids; as `keras.Model.fit` otherwise.

        Args:
            x: Raw text, or the inputs as prepared ids, or a dataset of either.
            y: Targets; None with a dataset.
            batch_size: Examples per batch, 32 by default; None with a dataset.
            epochs: Number of the last epoch.
            verbose: As in Keras.
            callbacks: As in Keras.
            validation_data: A tuple (x, y) or (x, y, sample_weight), or a dataset.
            shuffle: Whether the order changes from epoch to epoch.
            sample_weight: (number of examples,) or None.
            initial_epoch: Number of epochs that are done already.
            steps_per_epoch: Batches per epoch, needed with an endless dataset.
            seed: Of the order of raw texts and of what is masked in them.
            **kwargs: As in Keras.

        Returns:
            `keras.callbacks.History`.
        """
        if not self.compiled:
            self.compile()
        keep_freed_memory()
        if self.raw_input(x) is not None:
            x = self.training_data(
                x,
                y,
                sample_weight,
                batch_size=batch_size or BATCH_SIZE,
                epochs=epochs,
                shuffle=shuffle,
                seed=seed,
            )
            steps_per_epoch = steps_per_epoch or int(x.cardinality()) // epochs
            x = x.skip(initial_epoch * steps_per_epoch)
            y = sample_weight = None
        elif (raw := self.raw_batches(x)) is not None:
            x = self.map_strings(raw, seed=seed)
        if validation_data is not None:
            validation_data = self._validation(validation_data, batch_size)
        self.plan_steps(x, batch_size or BATCH_SIZE, epochs, steps_per_epoch)
        return super().fit(
            x,
            y,
            batch_size=None if isinstance(x, tf.data.Dataset) else batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_data=validation_data,
            shuffle=shuffle and not isinstance(x, tf.data.Dataset),
            sample_weight=sample_weight,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            **kwargs,
        )

    def _validation(self, data, batch_size):
        if (raw := self.raw_batches(data)) is not None:
            return self.map_strings(raw)
        if isinstance(data, tuple) and data and self.raw_input(data[0]) is not None:
            return self.evaluation_data(*data, batch_size=batch_size or BATCH_SIZE)
        return data

    def evaluate(
        self, x=None, y=None, batch_size=None, *, sample_weight=None, **kwargs
    ):
        """Loss and metrics on raw text or prepared ids; as in Keras otherwise."""
        if not self.compiled:
            self.compile()
        if self.raw_input(x) is not None:
            x = self.evaluation_data(
                x, y, sample_weight, batch_size=batch_size or BATCH_SIZE
            )
            y = sample_weight = batch_size = None
        elif (raw := self.raw_batches(x)) is not None:
            x = self.map_strings(raw)
        return super().evaluate(
            x, y, batch_size=batch_size, sample_weight=sample_weight, **kwargs
        )


def _check_padding(backbone, tokenizer):
    if backbone.padding_id != tokenizer.required_id("pad"):
        raise ValueError(
            "Positions count from the padding's id, so that it must be the "
            f"tokenizer's. Received: backbone.padding_id={backbone.padding_id}, "
            f"tokenizer.pad_id={tokenizer.pad_id}"
        )
