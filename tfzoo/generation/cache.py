"""The key-value cache of a decoder.

Shapes: B rows, K columns, T new tokens.
"""

import functools
import typing

import keras
import numpy as np
import tensorflow as tf

BLOCK = 32  # columns, the minimum by which a cache grows
STEPS = 16  # and the minimum number of steps, unless fewer are left
COLUMNS = 2  # axis of the columns in a decoder's state
SHORT = 16  # tokens to which shorter prompts are padded
_STEPS = BLOCK * 2 ** np.arange(20, dtype=np.int32)


class Cache(typing.NamedTuple):
    """A cache of K columns, of which the first `filled` are in use.

    All rows use the same column for tokens they read in the same step; a column that a
    row does not attend to holds padding of its prompt or a rejected token.

    Attributes:
        state: The decoder's state, a nest of tensors with first axis B and third axis
            K.
        seen: Boolean (B, K), the columns each row attends to; or (B, N, K), those of
            each of N sequences that share the columns of a row.
        filled: int32 scalar.
        memory: What the decoder attends to besides its own tokens, such as the keys and
            values of an encoder's output: a nest of tensors, the same at every step,
            whose first axis is the number of prompts, each of which may have several
            adjacent rows; () for none.
    """

    state: typing.Any
    seen: tf.Tensor
    filled: tf.Tensor
    memory: typing.Any = ()

    @property
    def num_columns(self):
        """K: an int if the shape is static, otherwise an int32 scalar."""
        return size(self.seen, -1)

    @property
    def alive(self):
        """Boolean (B, K), the columns that any sequence of a row attends to."""
        return self.seen if len(self.seen.shape) == 2 else tf.reduce_any(self.seen, 1)

    @property
    def num_alive(self):
        """int32 scalar, the largest number of such columns in any row."""
        return tf.reduce_max(tf.reduce_sum(tf.cast(self.alive, tf.int32), axis=1))


def size(tensor, axis):
    """The size of an axis: an int if it is static, otherwise an int32 scalar."""
    static = tensor.shape[axis]
    return tf.shape(tensor)[axis] if static is None else static


def written(cache, new, seen, *, after, jit_compile):
    """Writes T new columns to the cache.

    Args:
        cache: A `Cache` with room for T columns.
        new: The decoder's state of these columns only.
        seen: Boolean (B, T) or (B, N, T), as in `Cache`.
        after: Integers >= 0, computed from everything that reads `cache`. Without this
            dependency of the write on the reads, XLA cannot know that the arrays are
            read before they are written, and copies all of them twice per token.
        jit_compile: Whether XLA compiles this; it has its own operation.
    """
    start = cache.filled + tf.minimum(tf.reduce_min(after), 0)
    num_new = seen.shape[-1]
    write = _xla_writer(start) if jit_compile else _writer(start, num_new)
    columns = tf.range(cache.num_columns) - start
    added = tf.gather(seen, tf.clip_by_value(columns, 0, num_new - 1), axis=-1)
    inside = (columns >= 0) & (columns < num_new)
    return cache._replace(
        state=tf.nest.map_structure(write, cache.state, new),
        seen=tf.where(inside, added, cache.seen),
        filled=cache.filled + num_new,
    )


def _xla_writer(start):
    def write(array, new):
        place = [0] * array.shape.rank
        place[COLUMNS] = start
        return keras.ops.slice_update(array, place, new)

    return write


def _writer(start, num_new):
    """Writes in place if nothing else holds the array; a scatter would copy it all."""

    @functools.cache  # arrays of the same rank share these operations
    def bounds(rank):
        begin = tf.stack([start if i == COLUMNS else 0 for i in range(rank)])
        return begin, begin + num_new

    def write(array, new):
        rank = array.shape.rank
        begin, end = bounds(rank)
        every_axis_but_columns = (1 << rank) - 1 - (1 << COLUMNS)
        return tf.raw_ops.TensorStridedSliceUpdate(
            input=array,
            begin=begin,
            end=end,
            strides=[1] * rank,
            value=new,
            begin_mask=every_axis_but_columns,
            end_mask=every_axis_but_columns,
        )

    return write


def grown(cache, num_columns):
    """The same cache with K = `num_columns`, which must not be less than now."""
    more = num_columns - cache.num_columns

    def pad(array):
        rank = array.shape.rank
        return tf.pad(array, [[0, more if i == COLUMNS else 0] for i in range(rank)])

    return cache._replace(
        state=tf.nest.map_structure(pad, cache.state),
        seen=tf.pad(cache.seen, [*[[0, 0]] * (len(cache.seen.shape) - 1), [0, more]]),
    )


def repeated(cache, copies):
    """The cache with each row repeated `copies` times; they share their memory."""
    rows = tf.repeat(tf.range(tf.shape(cache.seen)[0]), copies)
    state, seen = tf.nest.map_structure(
        lambda x: tf.gather(x, rows), (cache.state, cache.seen)
    )
    return cache._replace(state=state, seen=seen)


def each_repeated(tensor, copies):
    """The rows of a tensor, each repeated `copies` times, adjacent.

    By a gather: XLA would fuse `tf.repeat` and a sum over the rows into one loop, which
    takes it minutes to compile for 28 to 32 columns.
    """
    return tf.gather(tensor, tf.repeat(tf.range(tf.shape(tensor)[0]), copies))


def compacted(cache):
    """Moves the columns that each row attends to to the front and drops the rest."""
    order = tf.argsort(tf.cast(~cache.alive, tf.int32), axis=1, stable=True)

    def ordered(array, axis=COLUMNS):
        return tf.gather(array, order, axis=axis, batch_dims=1)

    return cache._replace(
        state=tf.nest.map_structure(ordered, cache.state),
        seen=ordered(cache.seen, axis=len(cache.seen.shape) - 1),
        filled=cache.num_alive,
    )


def num_columns_for(filled, last, per_step=1):
    """Number of columns to grow to, if `filled` are in use and `last` is the maximum.

    Attention covers all columns, so the cache grows by about half of what is filled;
    and each size is compiled, so there are few sizes: seven for a context of 1024. The
    arguments may be tensors; the result is a tensor.

    Args:
        filled: Number of columns in use.
        last: Maximum number of columns.
        per_step: Number of columns that a step needs; there is room for at least one.
    """
    more = tf.maximum(max(BLOCK, STEPS * per_step), filled // 2)
    wanted = tf.maximum(tf.minimum(last, filled + more), filled + per_step)
    step = tf.reduce_max(tf.where(_STEPS * 8 < wanted, 2 * _STEPS, BLOCK))
    return -(-wanted // step) * step
