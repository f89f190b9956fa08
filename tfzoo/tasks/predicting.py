"""`predict` of a task.

Shapes: N texts, B batch, S sequence, M masked positions, C numbers per text.
"""

import keras
import numpy as np
import tensorflow as tf

from tfzoo.data.buckets import ordered_batches
from tfzoo.data.pipelines import without_waiting
from tfzoo.data.string_batches import dense_batch
from tfzoo.errors import require_whole, shown
from tfzoo.layers.keywords import known_keywords
from tfzoo.tasks.batches import array_batches, dataset_of_batches, is_batches
from tfzoo.tasks.checks import check_dataset, checked, checked_inputs
from tfzoo.tasks.feeding import refuse_beside_batches, require_end, require_in_memory
from tfzoo.tasks.inputs import num_rows, raw_texts
from tfzoo.tasks.plan import BATCH_SIZE, Plan
from tfzoo.tasks.refusals import to_the_end

IDS = tf.TensorSpec([None, None], tf.int32)


class Predicting:
    """Mixin: Keras's `predict` on raw text or prepared ids."""

    @known_keywords("verbose", "steps", "callbacks")
    def predict(self, x, batch_size=None, **kwargs):
        """Outputs for prepared ids, or batches of them; otherwise as in Keras."""
        return self.predict_batches(x, batch_size, **kwargs)

    def predict_batches(self, x, batch_size=None, **kwargs):
        """Keras's `predict` on prepared ids, or on batches of any kind."""
        require_whole("batch_size", batch_size, 1, optional=True)
        require_whole("steps", kwargs.get("steps"), 1, optional=True)
        with self.refusals.told(), to_the_end(kwargs.get("steps")):
            batches = self.input_batches(x, batch_size)
            require_end(batches, kwargs.get("steps"), "steps")
            return self.predict_prepared(batches, **kwargs)

    def predict_prepared(self, batches, **kwargs):
        """Keras's `predict` on batches that need no check.

        If batches differ in length, shorter rows are padded with NaN.
        """
        outputs = keras.Model.predict(self, batches, **kwargs)
        return tf.nest.map_structure(
            lambda x: (
                x.to_tensor(np.nan).numpy() if isinstance(x, tf.RaggedTensor) else x
            ),
            outputs,
        )

    def outputs_of(self, inputs):
        """The outputs of one batch as an array, or a nest of arrays.

        Runs in graph mode and is traced once for all lengths and numbers of rows, while
        `predict` is traced, and compiled by XLA, for each.

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

    def forget_traces(self):
        """Forgets the traced functions, which have the weights of before."""
        self.train_function = self.test_function = self.predict_function = None
        vars(self).pop("_inference", None)

    def input_batches(self, x, batch_size):
        """Batches of inputs for `predict`, for all data except raw text in memory."""
        if is_batches(x) or isinstance(x, tf.data.Dataset):
            refuse_beside_batches(x, None, None, batch_size)
            if not isinstance(x, tf.data.Dataset):
                x = dataset_of_batches(x, self, learns=False)
            raw = self.raw_batches(x)
            x = x if raw is None else raw
            if isinstance(x.element_spec, tuple):
                x = x.map(lambda inputs, *_: inputs)
            if raw is None:
                data = check_dataset(self, x, learns=False)
            else:
                data = self.map_to_predict(x)
        else:
            plan = Plan(batch_size or BATCH_SIZE, shuffle=False)
            data = array_batches(checked(self, x), plan)
        return without_waiting(data)

    def map_to_predict(self, dataset):
        """Raw batches without targets -> batches of inputs."""
        return self.map_strings(dataset)

    def outputs_of_rows(self, encoded, *, batch_size=BATCH_SIZE):
        """The outputs for every row, without the padding of its batch.

        Args:
            encoded: `EncodedBatch` of N rows.
            batch_size: Rows per batch; rows of similar length are batched together.

        Returns:
            List of N float32 arrays (tokens of the row, ...).
        """
        batches, order = self._by_length(encoded, batch_size)
        rows = []
        for inputs in batches:
            lengths = inputs["padding_mask"].numpy().sum(axis=1)
            outputs = self.outputs_of(inputs)
            rows += [row[:n] for row, n in zip(outputs, lengths, strict=True)]
        return [rows[i] for i in order]

    def _by_length(self, encoded, batch_size):
        return ordered_batches(
            encoded,
            batch_size=batch_size,
            pad_id=self.tokenizer.filling_id,
            multiple=self.length_multiple,
        )

    def predict_on_batch(self, x):
        """`predict` on raw text or prepared ids, in one batch."""
        require_in_memory(x)
        if (raw := self.raw_input(x)) is not None:
            return self.predict(raw, batch_size=max(1, num_rows(raw)), verbose=0)
        return super().predict_on_batch(checked_inputs(self, x))


class RowPerText:
    """Mixin: `predict` of a task with a row of numbers per text.

    A task defines, besides what `Task` requires:
        num_outputs: Number C of outputs per text.
        encode_texts(texts): Ids of `Texts`, an `EncodedBatch`.
    """

    @known_keywords("verbose", "steps", "callbacks")
    def predict(self, x, batch_size=None, **kwargs):
        """Outputs float32 (N, C), in the order of `x`; otherwise as in Keras.

        Args:
            x: Raw text or prepared ids, or batches of either.
            batch_size: Texts per batch. Defaults to 32; None with batches.
            **kwargs: As in Keras; `steps` only with prepared ids and batches.
        """
        texts = raw_texts(x)
        if texts is None:
            if isinstance(x, dict) and "token_ids" in x and not len(x["token_ids"]):
                return self._nothing()
            return self.predict_batches(x, batch_size, **kwargs)
        refuse_steps(kwargs)
        if not texts.texts:
            return self._nothing()
        require_whole("batch_size", batch_size, 1, optional=True)
        batch_size = batch_size or BATCH_SIZE
        encoded = self.encode_texts(texts)
        if len(texts.texts) <= batch_size and not set(kwargs) - {"verbose"}:
            if self.distribute_strategy.num_replicas_in_sync == 1:
                # One batch does not need the pipeline that `predict` builds.
                return self.outputs_of(self._dense(encoded))
        data, order = self._by_length(encoded, batch_size)
        return self.predict_prepared(data, **kwargs)[order]

    def _dense(self, encoded):
        rows = {
            name: tf.RaggedTensor.from_row_splits(values, encoded.row_splits)
            for name, values in encoded._asdict().items()
            if name != "row_splits"
        }
        return dense_batch(rows, self.tokenizer.filling_id, self.length_multiple)

    def _nothing(self):
        return np.zeros((0, self.num_outputs), np.float32)


def refuse_steps(options):
    """Raises `ValueError` if `steps` is set for `predict` on raw input."""
    if (steps := options.get("steps")) is not None:
        raise ValueError(
            "steps must be None for raw input in memory; it is only for prepared ids "
            f"and batches. Received: steps={shown(steps)}"
        )


def as_rows(rows, width, fill=np.nan):
    """Stacks N arrays (n, width) as float32 (N, largest n, width), padded by `fill`."""
    longest = max(map(len, rows), default=0)
    result = np.full((len(rows), longest, width), fill, np.float32)
    for place, row in zip(result, rows, strict=True):
        place[: len(row)] = row
    return result
