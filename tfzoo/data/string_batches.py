"""`tf.data` of raw strings -> batches of ids, deterministic, in TensorFlow operations.

Letters: B batch_size, S length of the longest row in a batch.
"""

import tensorflow as tf

from tfzoo.data.pipelines import without_waiting
from tfzoo.errors import require_whole

_POOL_BATCHES = 32


def padded_strings(dataset, encode, *, pad_id, multiple=1):
    """Encodes each batch of a dataset and pads it to its longest row.

    Args:
        dataset: Batches: x, (x, targets) or (x, targets, weights).
        encode: Function of x that returns {"token_ids", "segment_ids"} as int32
            `tf.RaggedTensor`, such as `tokenizer.graph.encode` with a `max_length`.
        pad_id: Padding id.
        multiple: S is rounded up to a multiple of this.

    Returns:
        Dataset of the same structure, in which x is {"token_ids", "segment_ids",
        "padding_mask"}: int32 (B, S).
    """

    def padded(*batch):
        x, *rest = _parts(batch)
        return _joined(dense_batch(encode(x), pad_id, multiple), rest)

    return without_waiting(dataset.map(padded).prefetch(2))


def bucketed_strings(
    dataset, encode, *, batch_size, pad_id, multiple=1, seed=0, shuffle=True
):
    """Encodes examples and batches those of similar length.

    Takes `_POOL_BATCHES` batches of examples at a time, sorts them by length, splits
    them into batches, and yields these in a random order that depends only on the seed
    and the pool. Only the last pool can have a smaller batch.

    Args:
        dataset: Single examples: x, (x, targets) or (x, targets, weights).
        encode: As in `padded_strings`.
        batch_size: B.
        pad_id: As in `padded_strings`.
        multiple: As in `padded_strings`.
        seed: Integer.
        shuffle: If False, the batches of a pool are ordered by length.

    Returns:
        As in `padded_strings`.
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
    """Unpacks what `enumerate` yields: (i, x) or (i, (x, targets, ...))."""
    return batch[0] if len(batch) == 1 and isinstance(batch[0], tuple) else batch


def _parts(batch):
    return list(batch) if isinstance(batch, tuple) else [batch]


def _joined(x, rest):
    return (x, *rest) if rest else x


def dense_batch(encoded, pad_id, multiple=1):
    """Pads ragged ids to the dense inputs that `padded_strings` yields."""
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
