"""What one trains, saves and serves.

Shapes: B batch, S sequence.
"""

import sys
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfzoo.data.buckets import ordered_batches
from tfzoo.data.pipelines import without_waiting
from tfzoo.data.string_batches import dense_batch
from tfzoo.models import RobertaEncoder
from tfzoo.models.frozen import frozen_config, with_frozen
from tfzoo.tasks.batch_examples import examples_of_steps, row_numbers
from tfzoo.tasks.batches import (
    array_batches,
    dataset_of_batches,
    is_batches,
    to_the_end,
)
from tfzoo.tasks.checks import (
    Refusals,
    check_dataset,
    checked,
    finite_numbers,
    of_each_output,
)
from tfzoo.tasks.compiling import AutoCompile
from tfzoo.tasks.inputs import (
    batched,
    is_raw_dataset,
    num_rows,
    part_of,
    raw_texts,
    targets_of_table,
)
from tfzoo.tasks.presets import Preset
from tfzoo.tasks.targets import label_names
from tfzoo.training.finite_updates import FiniteUpdates
from tfzoo.training.host_memory import keep_freed_memory

BATCH_SIZE = 32
IDS = tf.TensorSpec([None, None], tf.int32)
XLA_LENGTH_MULTIPLE = 32  # of padded lengths, each of which XLA compiles


class Task(AutoCompile, Preset, FiniteUpdates, keras.Model):
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
        object.__setattr__(self, "refusals", Refusals())
        self.tokenizer = tokenizer
        self.labels = None if labels is None else label_names("multi_label", labels)
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
            **frozen_config(self),
            **self.task_arguments(),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for part in ("backbone", "tokenizer"):
            config[part] = keras.saving.deserialize_keras_object(config[part])
        return with_frozen(cls, config)

    @staticmethod
    def raw_input(x):
        """`x` in a form that `training_data` takes, None if it is not raw."""
        return raw_texts(x)

    @staticmethod
    def raw_batches(x):
        """`x` if it is a batched dataset of raw input, None if it is anything else."""
        return batched(x) if is_raw_dataset(x) else None

    @staticmethod
    def gathered(x):
        """`x`, or the raw input of a dataset where the task needs all of it at once."""
        return x

    def known_inputs(self):
        """Names of the prepared inputs that are needed, and of those that may be."""
        return self._input_names, ()

    def input_limits(self, length):
        """Dict of the name of an input of rows (B, length) -> its numbers lie below."""
        return {
            "token_ids": self.backbone.vocabulary_size,
            "segment_ids": self.num_segments,
            "padding_mask": 2,
            "mask_positions": length,
        }

    def checked_targets(self, y, inputs):
        """Targets of prepared ids, checked.

        Args:
            y: What `fit` was given.
            inputs: Dict of the checked inputs.

        Returns:
            (a nest of arrays, weights that they imply or None).

        Raises:
            ValueError: a target is none of the task's; with a loss of the user's, it is
                not finite.
        """
        if not self.has_own_loss:
            return self.targets_of_ids(y, inputs)
        return of_each_output(lambda x: finite_numbers(x, "y"), y), None

    def target_specs(self, y, x):
        """The specs of what `checked_targets` returns, from the specs of y and x."""
        if not self.has_own_loss:
            return self.target_specs_of_ids(y, x)
        return y, None

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
                for those that are not in it; of a classifier with one label a text.
            sample_weight: (number of examples,) finite numbers from 0, or None.
            initial_epoch: Number of epochs that are done already.
            steps_per_epoch: Batches per epoch, needed with endless data.
            validation_steps: Batches of a validation, needed with endless data.
            validation_batch_size: Examples per batch of the validation; None:
                `batch_size`.
            validation_freq: As in Keras.
            seed: Of the order of raw texts and of what is masked in them.

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
        ):
            require_whole(name, value, least)
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = self._split(
                x, y, sample_weight, validation_split
            )
        with self.refusals.told(), to_the_end(steps_per_epoch):
            data = self._training_batches(
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
                validation_data = self._validation(
                    validation_data, validation_batch_size or batch_size
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

    def _training_batches(
        self,
        x,
        y,
        sample_weight,
        class_weight,
        *,
        batch_size,
        first_epoch,
        epochs,
        steps_per_epoch,
        shuffle,
        seed,
    ):
        """The `Batches` of a `fit`."""
        x = self.gathered(x)
        factors = None if class_weight is None else self.class_factors(class_weight)
        if (raw := self.raw_input(x)) is None:
            return self._epoch_batches(
                x, y, sample_weight, batch_size, factors, shuffle=shuffle, seed=seed
            )
        y = targets_of_table(x) if y is None else y
        options = dict(
            batch_size=batch_size or BATCH_SIZE,
            epochs=max(epochs, 1),
            shuffle=shuffle,
            seed=seed,
        )
        data = self.training_data(raw, y, sample_weight, **options)
        per_epoch = int(data.cardinality()) // max(epochs, 1)
        if not per_epoch:
            raise ValueError("There must be at least one example. Received: none")
        steps = steps_per_epoch or per_epoch
        if steps * epochs > per_epoch * max(epochs, 1):
            data = data.repeat()
        data = without_waiting(_weighed(data.skip(first_epoch * steps), factors))

        def rows(step):
            start = first_epoch * steps + step
            return row_numbers(self.training_data, raw, y, start_step=start, **options)

        examples = examples_of_steps(self, data, rows)
        return Batches(data, per_epoch, is_continuous=True, examples=examples)

    def _epoch_batches(
        self, x, y, sample_weight, batch_size, factors=None, *, shuffle=False, seed=0
    ):
        """The `Batches` of one epoch of what is no raw text in memory."""
        if is_batches(x) or isinstance(x, tf.data.Dataset):
            _refuse_beside_batches(x, y, sample_weight, batch_size)
            if not isinstance(x, tf.data.Dataset):
                x = dataset_of_batches(x, self.refusals, shuffle=shuffle, seed=seed)
            data = self._checked_batches(x, seed)
        else:
            parts = checked(self, x, y, sample_weight)
            if len(parts) == 1:
                raise ValueError(
                    "Prepared ids are trained on with targets. Received: y=None"
                )
            data = array_batches(
                parts, batch_size or BATCH_SIZE, shuffle=shuffle, seed=seed
            )
        data = without_waiting(_weighed(data, factors))
        count = int(data.cardinality())
        return Batches(data, count if count >= 0 else None, is_continuous=False)

    def _checked_batches(self, dataset, seed):
        """A dataset of the user's as (inputs, targets, ...)."""
        if getattr(dataset, "made_by_a_task", False):
            return dataset
        if (raw := self.raw_batches(dataset)) is None:
            return check_dataset(self, dataset)
        data = self.map_strings(raw, seed=seed)
        if not isinstance(data.element_spec, tuple):
            raise ValueError(
                "Batches of raw text are trained on with targets: (text, targets). "
                f"Received: {dataset.element_spec}"
            )
        return data

    def class_factors(self, class_weight):
        """The weights of the classes, float32 (C,); refused where there are none."""
        raise ValueError(
            f"class_weight goes with one label a text; give a {type(self).__name__} "
            f"sample_weight. Received: class_weight={class_weight!r}"
        )

    def _split(self, x, y, sample_weight, share):
        """((x, y, weights) to train on, (x, y, weights) to validate on), the last ones.

        Of raw text and prepared arrays, as Keras splits arrays.
        """
        if not 0 < share < 1:
            raise ValueError(
                f"validation_split must be over 0 and under 1. Received: {share}"
            )
        if isinstance(x, tf.data.Dataset) or is_batches(x):
            raise ValueError(
                "validation_split needs all examples in memory; give batches "
                f"validation_data. Received: {type(x).__name__}"
            )
        raw = self.raw_input(x)
        y = targets_of_table(x) if y is None else y
        data = (x if raw is None else raw, y, sample_weight)
        count = num_rows(data[0])
        first = int(count * (1 - share))
        if not 0 < first < count:
            raise ValueError(
                "validation_split must leave examples on both sides. Received: "
                f"{share} of {count}"
            )
        return (
            tuple(part_of(part, slice(0, first)) for part in data),
            tuple(part_of(part, slice(first, None)) for part in data),
        )

    def _validation(self, data, batch_size):
        """Batches of `validation_data`."""
        parts = data if isinstance(data, tuple) else (data,)
        if len(parts) > 3:
            raise ValueError(
                "validation_data must be x, (x, y) or (x, y, sample_weight). "
                f"Received: a tuple of {len(parts)}"
            )
        in_memory = not (is_batches(parts[0]) or isinstance(parts[0], tf.data.Dataset))
        return self._evaluated(*parts, batch_size=batch_size if in_memory else None)

    def _evaluated(self, x, y=None, sample_weight=None, *, batch_size=None):
        """Batches of what `evaluate` is given."""
        x = self.gathered(x)
        if (raw := self.raw_input(x)) is None:
            return self._epoch_batches(x, y, sample_weight, batch_size).batches
        y = targets_of_table(x) if y is None else y
        data = self.evaluation_data(
            raw, y, sample_weight, batch_size=batch_size or BATCH_SIZE
        )
        if not int(data.cardinality()):
            raise ValueError("There must be at least one example. Received: none")
        return without_waiting(data)

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
        with self.refusals.told(), to_the_end(kwargs.get("steps")):
            data = self._evaluated(x, y, sample_weight, batch_size=batch_size)
            _require_end(data, kwargs.get("steps"), "steps")
            return super().evaluate(data, **kwargs)

    def input_batches(self, x, batch_size):
        """Batches of inputs for `predict`, of all but raw text in memory."""
        if is_batches(x) or isinstance(x, tf.data.Dataset):
            _refuse_beside_batches(x, None, None, batch_size)
            if not isinstance(x, tf.data.Dataset):
                x = dataset_of_batches(x, self.refusals)
            if isinstance(x.element_spec, tuple):
                x = x.map(lambda inputs, *_: inputs)
            raw = self.raw_batches(x)
            if raw is None:
                data = check_dataset(self, x, learns=False)
            else:
                data = self.map_to_predict(raw)
        else:
            data = array_batches(checked(self, x), batch_size or BATCH_SIZE)
        return without_waiting(data)

    def map_to_predict(self, dataset):
        """Raw batches without targets -> batches of inputs."""
        return self.map_strings(dataset)

    def predict_batches(self, x, batch_size=None, **kwargs):
        """Keras's `predict` of prepared ids, or of batches of any kind."""
        require_whole("batch_size", batch_size, 1)
        with self.refusals.told(), to_the_end(kwargs.get("steps")):
            batches = self.input_batches(x, batch_size)
            _require_end(batches, kwargs.get("steps"), "steps")
            return self.predict_prepared(batches, **kwargs)

    def predict_prepared(self, batches, **kwargs):
        """Keras's `predict` of batches that need no check.

        Of batches of different lengths the shorter rows end in NaN.
        """
        outputs = super().predict(batches, **kwargs)
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

    def train_on_batch(
        self, x, y=None, sample_weight=None, class_weight=None, **kwargs
    ):
        """One update on raw text or prepared ids; as in Keras otherwise."""
        self.require_planned("train_on_batch")
        parts = self._one_batch(x, y, sample_weight, class_weight)
        return super().train_on_batch(*parts, **kwargs)

    def test_on_batch(self, x, y=None, sample_weight=None, **kwargs):
        """Loss and metrics of one batch of raw text or prepared ids."""
        return super().test_on_batch(*self._one_batch(x, y, sample_weight), **kwargs)

    def _one_batch(self, x, y, sample_weight, class_weight=None):
        factors = None if class_weight is None else self.class_factors(class_weight)
        raw = self.raw_input(x)
        if raw is None:
            data = self._epoch_batches(
                x, y, sample_weight, sys.maxsize, factors
            ).batches
        else:
            data = _weighed(
                self.evaluation_data(
                    raw, y, sample_weight, batch_size=max(1, num_rows(raw))
                ),
                factors,
            )
        return next(iter(data))


class Batches(NamedTuple):
    """What a `fit` trains on.

    Attributes:
        batches: `tf.data.Dataset` of (inputs, targets, weights).
        steps_per_epoch: Batches of an epoch; None: unknown.
        is_continuous: Whether `batches` holds all epochs in a row.
        examples: (step, from 1) -> text that names its examples; None: not known.
    """

    batches: tf.data.Dataset
    steps_per_epoch: int | None
    is_continuous: bool
    examples: Callable | None = None


def made_by_a_task(dataset):
    """The dataset, whose targets need no check since they were encoded by the task."""
    dataset.made_by_a_task = True
    return dataset


def _weighed(dataset, factors):
    """(inputs, targets, weights) with the weights of classes (C,) multiplied in."""
    if factors is None:
        return dataset
    factors = tf.constant(factors)

    def weigh(inputs, targets, weights=1.0):
        return inputs, targets, weights * tf.gather(factors, targets)

    return dataset.map(weigh)


def _refuse_beside_batches(x, y, sample_weight, batch_size):
    given = {"y": y, "sample_weight": sample_weight, "batch_size": batch_size}
    given = {name: value for name, value in given.items() if value is not None}
    if given:
        raise ValueError(
            f"A {type(x).__name__} gives whole batches, with targets and weights. "
            f"Received beside it: {', '.join(given)}"
        )


def _require_end(batches, steps, name):
    if steps is None and int(batches.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            f"The batches never end, so that {name} must be given. Received: None"
        )


def require_whole(name, value, least):
    """Raises `ValueError` unless a value is None or a whole number from `least`."""
    if value is None:
        return
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:
        raise ValueError(
            f"{name} must be a whole number from {least}. Received: {value!r}"
        )


def _check_padding(backbone, tokenizer):
    if backbone.padding_id != tokenizer.required_id("pad"):
        raise ValueError(
            "Positions count from the padding's id, so that it must be the "
            f"tokenizer's. Received: backbone.padding_id={backbone.padding_id}, "
            f"tokenizer.pad_id={tokenizer.pad_id}"
        )
