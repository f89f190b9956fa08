"""`tf.data` of raw strings -> batches of ids: TensorFlow operations only, determinate.

Letters: B batch_size, S the longest of a batch.
"""

import tensorflow as tf

from tfzoo.data.pipelines import require_whole, without_waiting

_POOL_BATCHES = 32


def padded_strings(dataset, encode, *, pad_id, multiple=1):
    """Encodes every batch of a dataset as it comes and pads it to its longest.

    Args:
        dataset: Batches: x, (x, targets) or (x, targets, weights).
        encode: x -> {"token_ids", "segment_ids"} of `tf.RaggedTensor` int32, such as
            `tokenizer.graph.encode` with its `max_length`.
        pad_id: Id that stands after the end of a row.
        multiple: S is a multiple of this.

    Returns:
        Dataset of the same structure with x {"token_ids", "segment_ids",
        "padding_mask"}: int32 (B, S).
    """

    def padded(*batch):
        x, *rest = _parts(batch)
        return _joined(dense_batch(encode(x), pad_id, multiple), rest)

    return without_waiting(dataset.map(padded).prefetch(2))


def bucketed_strings(
    dataset, encode, *, batch_size, pad_id, multiple=1, seed=0, shuffle=True
):
    """Encodes examples and batches those of like length.

    Takes `_POOL_BATCHES` batches of examples at a time, sorts them by length, cuts them
    into batches, and gives these in a random order that depends on the seed and the
    pool alone. A pool's remainder is a smaller batch, the last pool's only.

    Args:
        dataset: Single examples: x, (x, targets) or (x, targets, weights).
        encode: As of `padded_strings`.
        batch_size: B.
        pad_id: As of `padded_strings`.
        multiple: As of `padded_strings`.
        seed: Whole number.
        shuffle: If not, the batches of a pool are in the order of their lengths.

    Returns:
        As `padded_strings`.
    """

    require_whole("batch_size", batch_size, 1)

    def cut(pool, batch):
        x, *rest = _parts(batch)
        encoded = encode(x)
        lengths = encoded["token_ids"].row_lengths()
        order = tf.argsort(lengths, stable=True)
        count = -(-tf.size(order) // batch_size)
        starts = tf.range(count) * batch_size
        if shuffle:
            keys = tf.random.stateless_uniform(
                [count], tf.stack([tf.constant(seed, tf.int64), pool]), alg="philox"
            )
            starts = tf.gather(starts, tf.argsort(keys, stable=True))

        def batch_at(start):
            chosen = order[start : start + batch_size]
            rows = {name: tf.gather(x, chosen) for name, x in encoded.items()}
            others = tf.nest.map_structure(lambda y: tf.gather(y, chosen), rest)
            return _joined(dense_batch(rows, pad_id, multiple), others)

        return tf.data.Dataset.from_tensor_slices(starts).map(batch_at)

    pools = dataset.batch(_POOL_BATCHES * batch_size).enumerate()
    batches = pools.flat_map(lambda pool, *batch: cut(pool, _flat(batch)))
    return without_waiting(batches.prefetch(2))


def _flat(batch):
    """`enumerate` gives (i, x) or (i, (x, targets, ...))."""
    return batch[0] if len(batch) == 1 and isinstance(batch[0], tuple) else batch


def _parts(batch):
    return list(batch) if isinstance(batch, tuple) else [batch]


def _joined(x, rest):
    return (x, *rest) if rest else x


def dense_batch(encoded, pad_id, multiple=1):
    """Ragged ids -> the same as `padded_strings` yields."""
    ids = encoded["token_ids"]
    longest = tf.maximum(ids.bounding_shape(axis=1), 1)
    width = -(-longest // multiple) * multiple
    shape = tf.stack([ids.nrows(), width])
    return {
        "token_ids": _filled(ids, pad_id, shape),
        "segment_ids": _filled(encoded["segment_ids"], 0, shape),
        "padding_mask": _filled(tf.ones_like(ids), 0, shape),
    }


def _filled(ragged, value, shape):
    return ragged.to_tensor(value, shape=shape)
