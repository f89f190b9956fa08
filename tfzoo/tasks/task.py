"""What one trains, saves and serves.

Shapes: B batch, S sequence.
"""

import keras
import numpy as np
import tensorflow as tf

from tfzoo.data.buckets import ordered_batches
from tfzoo.data.pipelines import is_whole, require_whole
from tfzoo.data.string_batches import dense_batch
from tfzoo.errors import shown
from tfzoo.layers.keywords import known_keywords
from tfzoo.models.frozen import frozen_config, with_frozen
from tfzoo.tasks.checks import checked_inputs
from tfzoo.tasks.compiling import AutoCompile
from tfzoo.tasks.feeding import Feeding, require_in_memory, require_share
from tfzoo.tasks.inputs import num_rows
from tfzoo.tasks.plan import BATCH_SIZE, Plan
from tfzoo.tasks.preset_reading import PresetReading
from tfzoo.tasks.preset_writing import PresetWriting
from tfzoo.tasks.refusals import Refusals, to_the_end
from tfzoo.training.finite_updates import FiniteUpdates
from tfzoo.training.host_memory import keep_freed_memory

IDS = tf.TensorSpec([None, None], tf.int32)
XLA_LENGTH_MULTIPLE = 32  # of padded lengths, each of which XLA compiles


class Task(
    AutoCompile, PresetReading, PresetWriting, Feeding, FiniteUpdates, keras.Model
):
    """A backbone, a tokenizer and a head: a `keras.Model` that takes raw text.

    `fit`, `evaluate` and `predict` take raw text in any container (see `raw_texts`),
    prepared ids, and batches of either: a `tf.data.Dataset`, a `PyDataset` or a
    generator. Text in memory is tokenized up front and batched by length; batches are
    tokenized inside `tf.data`, in their own order.

    A task defines, beside what `AutoCompile` and the two of presets ask for:
        batches_of(x, y, sample_weight, plan): Raw text that is not a dataset ->
            `tf.data` of (inputs, targets, weights) by a `Plan`.
        map_strings(dataset, *, seed): The same for a batched dataset of raw text.

    Where its raw input is no text or pair of texts, also `raw_input` and `raw_batches`.

    Args:
        backbone: A model of `tfzoo.models`.
        tokenizer: Its ids must lie within the backbone's vocabulary.
        outputs: Of the functional graph.
        inputs: Likewise; None: those of the backbone.
        max_sequence_length: Longest input in tokens; longer ones are cut. None takes
            the backbone's.
    """

    labels = None  # names of the classes in order, where there are any

    def __init__(
        self,
        backbone,
        tokenizer,
        outputs,
        *,
        inputs=None,
        max_sequence_length=None,
        **kwargs,
    ):
        limit = backbone.max_sequence_length
        if max_sequence_length is None:
            max_sequence_length = limit
        if not is_whole(max_sequence_length) or not 2 < max_sequence_length <= limit:
            raise ValueError(
                f"max_sequence_length must be 3 to {limit}, the backbone's positions, "
                f"and whole. Received: {shown(max_sequence_length)}"
            )
        if tokenizer.vocabulary_size > backbone.vocabulary_size:
            raise ValueError(
                "Every id of the tokenizer must lie within the backbone's vocabulary. "
                f"Received: tokenizer.vocabulary_size={tokenizer.vocabulary_size}, "
                f"backbone.vocabulary_size={backbone.vocabulary_size}"
            )
        if "padding_id" in backbone.family.fields:
            _check_padding(backbone, tokenizer)
        inputs = backbone.input if inputs is None else inputs
        super().__init__(inputs, outputs, **kwargs)
        # Not tracked by Keras: the graph above holds its layers already, and only those
        # that the task uses (a pooler without a gradient would be warned about).
        object.__setattr__(self, "_backbone", backbone)
        self._input_names = tuple(inputs)
        object.__setattr__(self, "refusals", Refusals())
        self.tokenizer = tokenizer
        self.max_sequence_length = int(max_sequence_length)

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

    @known_keywords("inputs", "training", "mask")
    def __call__(self, *args, **kwargs):
        return super().__call__(*args, **kwargs)

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
            **frozen_config(self),
            **self.task_arguments(),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for part in ("backbone", "tokenizer"):
            config[part] = keras.saving.deserialize_keras_object(config[part])
        return with_frozen(cls, config)

    @known_keywords(*Plan._fields)
    def training_data(self, x, y=None, sample_weight=None, **plan):
        """Batches of raw text for `fit`.

        Args:
            x: Raw text, as of `fit`, that is not a dataset.
            y: Its targets, likewise.
            sample_weight: As of `fit`.
            **plan: Attributes of a `Plan`.

        Returns:
            `tf.data.Dataset` of (inputs, targets, weights).
        """
        return self.batches_of(x, y, sample_weight, Plan(**plan))

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
            outputs = self.outputs_of(inputs)
            rows += [row[:n] for row, n in zip(outputs, lengths, strict=True)]
        return [rows[i] for i in order]

    @known_keywords()
    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        *,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
        seed=0,
    ):
        """Trains, on raw text or prepared ids; as `keras.Model.fit` otherwise.

        A second call goes on with the optimizer's moments; the learning rate of the
        automatic optimizer begins a new schedule, unless `initial_epoch` says that
        this one goes on.

        Args:
            x: Raw text or prepared ids, a dataset of batches of either, or a generator
                or `keras.utils.PyDataset` that gives such batches.
            y: Targets; None with batches, and with a table that holds them.
            batch_size: Examples per batch, 32 by default; None with batches.
            epochs: Number of the last epoch; 0 trains nothing.
            verbose: As in Keras.
            callbacks: As in Keras.
            validation_split: Share of the examples, the last ones, that is held out for
                validation, 0 to 1; not of batches.
            validation_data: A tuple (x, y) or (x, y, sample_weight), x alone where the
                task has no targets, or batches as of `x`.
            shuffle: Whether the order changes from epoch to epoch.
            class_weight: Dict of a label or its index -> the weight of its examples, 1
                for those that are not in it, or a weight for each label in order; of a
                classifier with one label a text.
            sample_weight: (number of examples,) finite numbers from 0, or None.
            initial_epoch: Number of epochs that are done already.
            steps_per_epoch: Batches per epoch, needed with endless data.
            validation_steps: Batches of a validation, needed with endless data.
            validation_batch_size: Examples per batch of the validation; None:
                `batch_size`.
            validation_freq: As in Keras.
            seed: Of the order of raw texts and of what is masked in them, from 0.

        Returns:
            `keras.callbacks.History`.

        Raises:
            ValueError: an argument, a text, an id, a target or a weight is none that
                the task takes; rows are counted from 0.
        """
        if not self.compiled:
            self.compile()
        keep_freed_memory()
        for name, value, least in (
            ("epochs", epochs, 0),
            ("initial_epoch", initial_epoch, 0),
            ("steps_per_epoch", steps_per_epoch, 1),
            ("batch_size", batch_size, 1),
            ("validation_batch_size", validation_batch_size, 1),
            ("validation_steps", validation_steps, 1),
        ):
            require_whole(name, value, least)
        if not is_whole(seed) or not 0 <= seed < 2**63:
            raise ValueError(
                "seed must be a whole number from 0, below 2**63. "
                f"Received: {shown(seed)}"
            )
        _check_frequency(validation_freq)
        require_share(validation_split)
        if validation_split and validation_data is not None:
            raise ValueError(
                "validation_split and validation_data exclude each other. Received: "
                f"validation_split={validation_split} and validation_data"
            )
        if validation_split:
            (x, y, sample_weight), validation_data = self.split(
                x, y, sample_weight, validation_split
            )
        with self.refusals.told(), to_the_end(steps_per_epoch):
            data = self.batches_to_fit(
                x,
                y,
                sample_weight,
                class_weight,
                batch_size=batch_size,
                first_epoch=initial_epoch,
                epochs=epochs,
                steps_per_epoch=steps_per_epoch,
                shuffle=shuffle,
                seed=seed,
            )
            if validation_data is not None:
                validation_data = self.batches_to_validate(
                    validation_data,
                    validation_batch_size or batch_size,
                    validation_steps,
                )
            planned = steps_per_epoch or data.steps_per_epoch
            if epochs > initial_epoch:
                self.plan_steps(planned, epochs, initial_epoch)
            _require_end(data.batches, planned, "steps_per_epoch")
            if validation_data is not None:
                _require_end(validation_data, validation_steps, "validation_steps")
            return super().fit(
                data.batches,
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                examples=data.examples,
                validation_data=validation_data,
                shuffle=False,  # the dataset's own order
                initial_epoch=initial_epoch,
                steps_per_epoch=planned if data.is_continuous else steps_per_epoch,
                validation_steps=validation_steps,
                validation_freq=validation_freq,
            )

    @known_keywords("verbose", "steps", "callbacks", "return_dict")
    def evaluate(
        self, x=None, y=None, batch_size=None, *, sample_weight=None, **kwargs
    ):
        """Loss and metrics on raw text or prepared ids; as in Keras otherwise.

        Args:
            x: As of `fit`.
            y: As of `fit`.
            batch_size: Examples per batch, 32 by default; None with batches.
            sample_weight: As of `fit`.
            **kwargs: As in Keras.
        """
        if kwargs.get("_use_cached_eval_dataset"):  # of a validation within `fit`
            return super().evaluate(**kwargs)
        if not self.compiled:
            self.compile()
        require_whole("batch_size", batch_size, 1)
        require_whole("steps", kwargs.get("steps"), 1)
        with self.refusals.told(), to_the_end(kwargs.get("steps")):
            data = self.batches_to_evaluate(x, y, sample_weight, batch_size=batch_size)
            _require_end(data, kwargs.get("steps"), "steps")
            return super().evaluate(data, **kwargs)

    @known_keywords("verbose", "steps", "callbacks")
    def predict(self, x, batch_size=None, **kwargs):
        """Outputs for prepared ids, or batches of them; as in Keras otherwise."""
        return self.predict_batches(x, batch_size, **kwargs)

    def predict_batches(self, x, batch_size=None, **kwargs):
        """Keras's `predict` of prepared ids, or of batches of any kind."""
        require_whole("batch_size", batch_size, 1)
        require_whole("steps", kwargs.get("steps"), 1)
        with self.refusals.told(), to_the_end(kwargs.get("steps")):
            batches = self.input_batches(x, batch_size)
            _require_end(batches, kwargs.get("steps"), "steps")
            return self.predict_prepared(batches, **kwargs)

    def predict_prepared(self, batches, **kwargs):
        """Keras's `predict` of batches that need no check.

        Of batches of different lengths the shorter rows end in NaN.
        """
        outputs = keras.Model.predict(self, batches, **kwargs)
        return tf.nest.map_structure(
            lambda x: (
                x.to_tensor(np.nan).numpy() if isinstance(x, tf.RaggedTensor) else x
            ),
            outputs,
        )

    def outputs_of(self, inputs):
        """The outputs of one batch, as an array (a nest of them).

        Traced once for all lengths and numbers of rows, in graph mode, where `predict`
        traces, and XLA compiles, for each.

        Args:
            inputs: Dict of int32 (B, S), and (B, M) for masked positions.
        """
        if "_inference" not in self.__dict__:
            object.__setattr__(self, "_inference", {})
        names = tuple(inputs)
        if names not in self._inference:
            self._inference[names] = tf.function(
                lambda inputs: self(inputs, training=False),
                input_signature=[dict.fromkeys(names, IDS)],
                autograph=False,
            )
        outputs = self._inference[names](
            {name: tf.cast(value, tf.int32) for name, value in inputs.items()}
        )
        return tf.nest.map_structure(lambda x: x.numpy(), outputs)

    @known_keywords("return_dict")
    def train_on_batch(
        self, x, y=None, sample_weight=None, class_weight=None, **kwargs
    ):
        """One update on raw text or prepared ids; as in Keras otherwise."""
        self.require_planned("train_on_batch")
        parts = self.one_batch(x, y, sample_weight, class_weight)
        return super().train_on_batch(*parts, **kwargs)

    @known_keywords("return_dict")
    def test_on_batch(self, x, y=None, sample_weight=None, **kwargs):
        """Loss and metrics of one batch of raw text or prepared ids."""
        return super().test_on_batch(*self.one_batch(x, y, sample_weight), **kwargs)

    def predict_on_batch(self, x):
        """What `predict` answers to raw text or prepared ids, in one batch."""
        require_in_memory(x)
        if (raw := self.raw_input(x)) is not None:
            return self.predict(raw, batch_size=max(1, num_rows(raw)), verbose=0)
        return super().predict_on_batch(checked_inputs(self, x))


def _require_end(batches, steps, name):
    if steps is None and int(batches.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            f"The batches never end, so that {name} must be given. Received: None"
        )


def _check_frequency(value):
    epochs = value if isinstance(value, list | tuple | set) else [value]
    for number in epochs:
        if not is_whole(number) or number < 1:
            raise ValueError(
                "validation_freq must be a whole number from 1, or a list of epochs. "
                f"Received: {shown(value)}"
            )


def _check_padding(backbone, tokenizer):
    if backbone.padding_id != tokenizer.required_id("pad"):
        raise ValueError(
            "Positions count from the padding's id, so that it must be the "
            f"tokenizer's. Received: backbone.padding_id={backbone.padding_id}, "
            f"tokenizer.pad_id={tokenizer.pad_id}"
        )
