"""Batches of texts of similar length, to minimize padding.

Letters: N examples, B batch_size, S length of the longest row in a batch.
"""

import numpy as np
import tensorflow as tf

from tfzoo.data.pipelines import without_waiting
from tfzoo.errors import require_whole

SECOND = "second_"  # prefix of the input names of second texts
# SST-2 in batches of 32: 2 % of the tokens are padding, 67 % without sorting
POOL_BATCHES = 100


def num_batches(num_examples, batch_size):
    """Number of batches in an epoch; the last one may be smaller."""
    return -(-num_examples // batch_size)


def bucketed_batches(lengths, batch_size, *, seed, epoch, shuffle=True):
    """Divides examples into batches of similar length, each example in one batch.

    A pure function of its arguments. Examples are shuffled, sorted by length within
    pools of `POOL_BATCHES` batches, and split; then the batches are shuffled.

    Args:
        lengths: (N,) number of tokens of each example.
        batch_size: B.
        seed: Integer >= 0.
        epoch: Integer >= 0; every epoch is divided differently.
        shuffle: If False, all examples are sorted by length, the same in every epoch.

    Returns:
        List of `num_batches(N, B)` int64 arrays of indices: B each, and the remainder.
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
    """Batches of encoded texts, each padded to its longest row.

    Args:
        encoded: N texts: `token_ids` and `segment_ids`, flat int32, and `row_splits`,
            int64 (N + 1,): row i is [row_splits[i], row_splits[i + 1]).
        targets: Array, or nest of arrays, of N rows. None to yield only inputs.
        weights: Likewise; requires targets.
        batch_size: B.
        pad_id: Padding id.
        seconds: Second texts, N of them, encoded like the first. Pairs are bucketed by
            their total length.
        multiple: S is rounded up to a multiple of this; for example 32, if XLA compiles
            every S.
        seed: As in `bucketed_batches`.
        start_step: Number of batches to skip from the beginning.
        epochs: Number of epochs; None for an endless dataset.
        shuffle: As in `bucketed_batches`.

    Returns:
        `tf.data.Dataset` of ({"token_ids", "segment_ids", "padding_mask"}: int32
        (B, S), targets, weights), or of the first one or two of these. The inputs of
        second texts have the prefix `SECOND` and an S of their own.
    """
    if weights is not None and targets is None:
        raise ValueError("weights require targets. Received: targets=None")
    require_whole("batch_size", batch_size, 1)
    columns = {"": encoded} if seconds is None else {"": encoded, SECOND: seconds}
    lengths = sum(np.diff(column.row_splits) for column in columns.values())
    count = num_batches(len(lengths), batch_size)

    def plan(epoch):
        return bucketed_batches(
            lengths, batch_size, seed=seed, epoch=epoch, shuffle=shuffle
        )

    rows = planned_batches(plan, count, start_step=start_step, epochs=epochs)
    inputs = {
        name: PaddedRows(
            {"token_ids": column.token_ids, "segment_ids": column.segment_ids},
            column.row_splits,
            fillings={"token_ids": pad_id, "segment_ids": 0},
            multiple=multiple,
        )
        for name, column in columns.items()
    }
    gather = _Gather(inputs, targets, weights)
    batches = rows.map(lambda epoch, indices: gather(indices))
    return without_waiting(batches.prefetch(2))


def planned_batches(plan, count, *, start_step=0, epochs=1):
    """The indices of the examples of each batch, over all epochs.

    Args:
        plan: Function of an epoch, from 0, that returns a list of `count` arrays of
            indices.
        count: Number of batches in an epoch.
        start_step: As in `padded_batches`.
        epochs: As in `padded_batches`.

    Returns:
        `tf.data.Dataset` of (epoch, int64 (); indices, int64 (B,)), whose cardinality
        is known.
    """
    require_whole("epochs", epochs, 0, optional=True)
    require_whole("start_step", start_step, 0)

    def order(epoch):
        batches = plan(int(epoch))
        order = np.concatenate([np.zeros(0, np.int64), *batches])
        return order, np.cumsum([0, *map(len, batches)])

    def planned(epoch):
        order_of_epoch, ends = tf.numpy_function(order, [epoch], [tf.int64, tf.int64])
        order_of_epoch = tf.ensure_shape(order_of_epoch, (None,))
        ends = tf.ensure_shape(ends, (None,))
        bounds = tf.data.Dataset.from_tensor_slices((ends[:-1], ends[1:]))
        return bounds.map(lambda start, end: (epoch, order_of_epoch[start:end]))

    first, skipped = divmod(start_step, max(count, 1))
    left = tf.data.INFINITE_CARDINALITY
    steps = tf.data.Dataset.counter(first)
    if epochs is not None:
        steps = tf.data.Dataset.range(first, epochs if count else first)
        left = max(count * epochs - start_step, 0)
    rows = steps.flat_map(planned).skip(skipped)
    return rows.apply(tf.data.experimental.assert_cardinality(left))


def ordered_batches(encoded, *, batch_size, pad_id, multiple=1):
    """Batches sorted by length, and how to restore the order of `encoded`.

    Returns:
        (`tf.data.Dataset` of inputs; `order`, int64 (N,), such that `outputs[order]`
        puts the concatenated outputs in the order of `encoded`).
    """
    dataset = padded_batches(
        encoded, batch_size=batch_size, pad_id=pad_id, multiple=multiple, shuffle=False
    )
    by_length = np.argsort(np.diff(encoded.row_splits), kind="stable")
    return dataset, np.argsort(by_length)


class _Gather:
    """Indices (B,) -> padded inputs, targets and weights."""

    def __init__(self, inputs, targets, weights):
        self._inputs = inputs
        extras = [x for x in (targets, weights) if x is not None]
        self._extras = tf.nest.map_structure(tf.constant, extras)

    def __call__(self, indices):
        inputs = {
            prefix + name: value
            for prefix, padded in self._inputs.items()
            for name, value in padded(indices).items()
        }
        extras = tf.nest.map_structure(lambda x: tf.gather(x, indices), self._extras)
        return (inputs, *extras) if extras else inputs


class PaddedRows:
    """Indices (B,) -> columns of these rows, padded to the longest one.

    Args:
        columns: Dict of name -> int32 (T,), the values of all rows.
        row_splits: (N + 1,); row i is [row_splits[i], row_splits[i + 1]).
        fillings: Dict of name -> value of padding.
        multiple: As in `padded_batches`.

    Returns, when called:
        Dict of name -> int32 (B, S), with `padding_mask`.
    """

    def __init__(self, columns, row_splits, *, fillings, multiple=1):
        self._columns = {
            # Padding gathers value 0, which rows without any value do not have.
            name: tf.constant(values if len(values) else [0], tf.int32)
            for name, values in columns.items()
        }
        self._row_splits = tf.constant(row_splits, tf.int64)
        self._fillings, self._multiple = fillings, multiple

    def __call__(self, indices):
        starts = tf.gather(self._row_splits, indices)
        lengths = tf.gather(self._row_splits, indices + 1) - starts
        longest = tf.maximum(tf.reduce_max(lengths), 1)
        width = -(-longest // self._multiple) * self._multiple
        columns = tf.range(width)
        real = columns < lengths[:, tf.newaxis]
        places = tf.where(real, starts[:, tf.newaxis] + columns, 0)
        padded = {
            name: tf.where(real, tf.gather(values, places), self._fillings[name])
            for name, values in self._columns.items()
        }
        padded["padding_mask"] = tf.cast(real, tf.int32)
        return padded


def _cut(order, size):
    return [order[i : i + size] for i in range(0, len(order), size)]
