"""Batches of texts of like length, so that little of a batch is padding.

Letters: N examples, B batch_size, S the longest of a batch.
"""

import numpy as np
import tensorflow as tf

from tfzoo.data.pipelines import require_whole, without_waiting

SECOND = "second_"  # before the names of the inputs of second texts
POOL_BATCHES = (
    100  # SST-2 in batches of 32: 2 % of the tokens are padding, unsorted 67 %
)


def num_batches(num_examples, batch_size):
    """Batches of an epoch; the last one may be smaller."""
    return -(-num_examples // batch_size)


def bucketed_batches(lengths, batch_size, *, seed, epoch, shuffle=True):
    """Divides examples into batches of like length: each example in one batch.

    A pure function of its arguments. Examples are shuffled, sorted by length within
    pools of `POOL_BATCHES` batches, and cut; then the batches are shuffled.

    Args:
        lengths: (N,) tokens of each example.
        batch_size: B.
        seed: Whole number from 0.
        epoch: Whole number from 0: every epoch is divided anew.
        shuffle: If not, all examples are sorted by length, the same in every epoch.

    Returns:
        `num_batches(N, B)` arrays of indices int64: B each, the remainder in one.
    """
    lengths = np.asarray(lengths)
    require_whole("batch_size", batch_size, 1)
    if not shuffle:
        return _cut(np.argsort(lengths, kind="stable"), batch_size)
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    batches = []
    for pool in _cut(order, POOL_BATCHES * batch_size):
        batches += _cut(pool[np.argsort(lengths[pool], kind="stable")], batch_size)
    return [batches[i] for i in random.permutation(len(batches))]


def padded_batches(
    encoded,
    targets=None,
    weights=None,
    *,
    batch_size,
    pad_id,
    seconds=None,
    multiple=1,
    seed=0,
    start_step=0,
    epochs=1,
    shuffle=True,
):
    """Batches of encoded texts, each padded to its own longest.

    Args:
        encoded: N texts: `token_ids` and `segment_ids`, flat int32, and `row_splits`,
            int64 (N + 1,): row i is [row_splits[i], row_splits[i + 1]).
        targets: Array, or nest of arrays, of N rows. None to yield inputs alone.
        weights: Likewise; needs targets.
        batch_size: B.
        pad_id: Id that stands after the end of a row.
        seconds: Second texts, N of them, encoded as the first ones; a batch has texts
            that are of like length together.
        multiple: S is a multiple of this; 32, say, where XLA compiles every S.
        seed: As of `bucketed_batches`.
        start_step: The first batch: what an iteration from 0 gives after that many.
        epochs: Number of epochs in a row; None for no end.
        shuffle: As of `bucketed_batches`.

    Returns:
        `tf.data.Dataset` of ({"token_ids", "segment_ids", "padding_mask"}: int32
        (B, S), targets, weights), of the first or the first two of these. The inputs
        of second texts are named so after `SECOND`, and have an S of their own.
    """
    if weights is not None and targets is None:
        raise ValueError("weights need targets.")
    require_whole("batch_size", batch_size, 1)
    require_whole("epochs", epochs, 0)
    require_whole("start_step", start_step, 0)
    columns = {"": encoded} if seconds is None else {"": encoded, SECOND: seconds}
    lengths = sum(np.diff(column.row_splits) for column in columns.values())
    count = num_batches(len(lengths), batch_size)

    def plan(epoch):
        batches = bucketed_batches(
            lengths, batch_size, seed=seed, epoch=int(epoch), shuffle=shuffle
        )
        table = np.full((len(batches), batch_size), -1, np.int64)
        for row, batch in zip(table, batches, strict=True):
            row[: len(batch)] = batch
        return table

    def planned(epoch):
        table = tf.numpy_function(plan, [epoch], tf.int64)
        table = tf.ensure_shape(table, (None, batch_size))
        return tf.data.Dataset.from_tensor_slices(table)

    first, skipped = divmod(start_step, max(count, 1))
    if epochs is None:
        steps = tf.data.Dataset.counter(first)
    else:
        steps = tf.data.Dataset.range(first, epochs if count else first)
    rows = steps.flat_map(planned).skip(skipped)
    inputs = {
        name: _Padded(column, pad_id, multiple) for name, column in columns.items()
    }
    rows = rows.map(_Gather(inputs, targets, weights))
    left = tf.data.INFINITE_CARDINALITY
    if epochs is not None:
        left = max(count * epochs - start_step, 0)
    rows = rows.apply(tf.data.experimental.assert_cardinality(left))
    return without_waiting(rows.prefetch(2))


def ordered_batches(encoded, *, batch_size, pad_id, multiple=1):
    """Batches sorted by length, and the way back to the order of `encoded`.

    Returns:
        (`tf.data.Dataset` of inputs, int64 (N,) so that `outputs[order]` of the outputs
        in a row are in the order of `encoded`).
    """
    dataset = padded_batches(
        encoded, batch_size=batch_size, pad_id=pad_id, multiple=multiple, shuffle=False
    )
    by_length = np.argsort(np.diff(encoded.row_splits), kind="stable")
    return dataset, np.argsort(by_length)


class _Gather:
    """Indices (B,), -1 for none -> padded inputs, targets and weights."""

    def __init__(self, inputs, targets, weights):
        self._inputs = inputs
        extras = [x for x in (targets, weights) if x is not None]
        self._extras = tf.nest.map_structure(tf.constant, extras)

    def __call__(self, indices):
        indices = tf.boolean_mask(indices, indices >= 0)
        inputs = {
            prefix + name: value
            for prefix, padded in self._inputs.items()
            for name, value in padded(indices).items()
        }
        extras = tf.nest.map_structure(lambda x: tf.gather(x, indices), self._extras)
        return (inputs, *extras) if extras else inputs


class _Padded:
    """Indices (B,) -> ids of these texts, padded to the longest of them."""

    def __init__(self, encoded, pad_id, multiple):
        self._values = {
            # Padding is gathered as value 0, which texts without a token lack.
            name: tf.constant(values if len(values) else [0], tf.int32)
            for name, values in (
                ("token_ids", encoded.token_ids),
                ("segment_ids", encoded.segment_ids),
            )
        }
        self._row_splits = tf.constant(encoded.row_splits, tf.int64)
        self._pad_id, self._multiple = pad_id, multiple

    def __call__(self, indices):
        starts = tf.gather(self._row_splits, indices)
        lengths = tf.gather(self._row_splits, indices + 1) - starts
        longest = tf.maximum(tf.reduce_max(lengths), 1)
        width = -(-longest // self._multiple) * self._multiple
        columns = tf.range(width)
        real = columns < lengths[:, tf.newaxis]
        places = tf.where(real, starts[:, tf.newaxis] + columns, 0)
        filling = {"token_ids": self._pad_id, "segment_ids": 0}
        inputs = {
            name: tf.where(real, tf.gather(values, places), filling[name])
            for name, values in self._values.items()
        }
        inputs["padding_mask"] = tf.cast(real, tf.int32)
        return inputs


def _cut(order, size):
    return [order[i : i + size] for i in range(0, len(order), size)]
