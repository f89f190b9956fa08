"""The numeric core of a served model: few static shapes, optional XLA compilation.

Shapes: B rows, S tokens, L tokens after padding, M masked words, C outputs.
"""

import tensorflow as tf

from tfzoo.generation.cache import SHORT, num_columns_for
from tfzoo.text.in_parts import in_parts

LENGTH_MULTIPLE, XLA_LENGTH_MULTIPLE = 8, 32
XLA_BATCH_SIZES = (1, 2, 4, 8, 16, 32)
PART = 1024  # tokens, including padding, that are computed at once
TOKENS_OF_MASK = 4  # tokens that take as much memory as a masked word's logits


def length_buckets(max_sequence_length):
    """All lengths L that XLA compiles, ascending: 32, 64, ... and the maximum."""
    whole = range(XLA_LENGTH_MULTIPLE, max_sequence_length, XLA_LENGTH_MULTIPLE)
    return (*whole, max_sequence_length)


def few_lengths(max_length):
    """A shorter list of lengths for a decoder, which takes long to compile.

    16, 32, then about half more each, and the maximum. From 32 on they are the sizes
    through which its cache grows.
    """
    if max_length <= SHORT:
        return (max_length,)
    lengths = [min(XLA_LENGTH_MULTIPLE, max_length)]
    with tf.init_scope():  # computes numbers even while a graph is traced
        while lengths[-1] < max_length:
            longer = int(num_columns_for(lengths[-1], max_length))
            lengths.append(min(longer, max_length))
    return (SHORT, *lengths)


def num_columns(length, max_length, *, jit_compile):
    """Number of columns to which a decoder's texts of `length` tokens are padded.

    16 or a multiple of 8; with XLA, one of `few_lengths`. At most `max_length`.
    """
    if jit_compile:
        lengths = tf.constant(few_lengths(max_length))
        return tf.gather(lengths, tf.searchsorted(lengths, [length])[0])
    short = min(SHORT, max_length)
    return tf.where(length <= short, short, bucket(length, max_length))


def bucket(length, max_length, *, jit_compile=False):
    """Length to which `length` tokens (possibly none) are padded.

    A multiple of 8, or of 32 with XLA; at most `max_length`.
    """
    multiple = XLA_LENGTH_MULTIPLE if jit_compile else LENGTH_MULTIPLE
    multiples = (length + multiple - 1) // multiple
    return tf.minimum(tf.maximum(multiples, 1) * multiple, max_length)


def num_rows(count, *, jit_compile):
    """Number of rows, at least one, to which a part of `count` rows is padded.

    With XLA, which compiles for every new shape, a power of two up to 32 and a multiple
    of 32 above.
    """
    if not jit_compile:
        return tf.maximum(count, 1)
    sizes = tf.constant(XLA_BATCH_SIZES)
    largest = XLA_BATCH_SIZES[-1]
    small = tf.gather(sizes, tf.searchsorted(sizes, [tf.minimum(count, largest)])[0])
    large = (count + largest - 1) // largest * largest
    return tf.where(count > largest, large, small)


def rows_of_part(cost, most, *, jit_compile):
    """Number of rows of `cost` each to compute at once: `most` in total, at least one.

    With XLA, one of `XLA_BATCH_SIZES`, so that no larger batch is ever compiled.
    """
    rows = tf.maximum(most // tf.maximum(cost, 1), 1)
    if not jit_compile:
        return rows
    sizes = tf.constant(XLA_BATCH_SIZES)
    return tf.gather(sizes, tf.searchsorted(sizes, [rows], side="right")[0] - 1)


def longest_first(function, costs, num_rows_of):
    """Applies a function to rows in parts of similar cost; keeps the order of rows.

    Args:
        function: Function of row indices (R,), the most expensive first, that returns a
            dict of tensors with first axis R.
        costs: int32 (B,), the cost of each row.
        num_rows_of: Function of the cost of a part's first row that returns the maximum
            number of rows in the part.
    """
    count = tf.size(costs)
    order = tf.argsort(costs, direction="DESCENDING", stable=True)
    first = tf.pad(tf.gather(costs, order), [[0, 1]])
    results = in_parts(
        lambda start, end: function(order[start:end]),
        lambda start: tf.minimum(start + num_rows_of(first[start]), count),
        count,
    )
    places = tf.math.invert_permutation(order)
    return {name: tf.gather(value, places) for name, value in results.items()}


class PaddedCore:
    """Calls a core on rows padded to a length bucket and trims its output.

    Rows are computed in parts of at most `PART` tokens, grouped by length, so that a
    batch of any size needs the memory of a part. Padding has `padding_mask` 0 and
    changes nothing. An empty batch is computed on padding, so that cores need no
    special case.

    Args:
        core: Function of a dict of int32 tensors `token_ids`, `segment_ids` (if it has
            segments), `padding_mask` (B, L) and, if `mask_positions` is True,
            `mask_positions` (B, M); returns floating-point logits with first axis B, in
            inference mode.
        max_sequence_length: Maximum of S.
        pad_id: Padding id.
        vocabulary_size: Upper bound of the ids, exclusive; None without a signature of
            ids.
        num_segments: Number of segments; None if the core takes no `segment_ids`.
        mask_positions: Whether the core takes `mask_positions`.
        jit_compile: Whether to compile the core with XLA. B and M are then padded, too.
    """

    def __init__(
        self,
        core,
        *,
        max_sequence_length,
        pad_id,
        vocabulary_size=None,
        num_segments=2,
        mask_positions=False,
        jit_compile=False,
    ):
        self.max_sequence_length = max_sequence_length
        self.vocabulary_size, self.num_segments = vocabulary_size, num_segments
        self.mask_positions = mask_positions
        self.jit_compile = jit_compile
        self._fill = {"token_ids": pad_id, "padding_mask": 0}
        if num_segments:
            self._fill["segment_ids"] = 0
        if mask_positions:
            self._fill["mask_positions"] = 0
        self._compute = tf.function(
            lambda inputs: tf.cast(core(inputs), tf.float32),
            input_signature=[
                {name: tf.TensorSpec([None, None], tf.int32) for name in self._fill}
            ],
            autograph=False,
            jit_compile=jit_compile or None,
        )

    def require_labels(self, labels):
        """Raises `ValueError` unless there is a label for each of the C outputs."""
        count = self._compute.get_concrete_function().output_shapes[-1]
        if count not in (None, len(labels)):
            raise ValueError(
                "labels must name each output of the core. Received: "
                f"{len(labels)} labels and {count} outputs"
            )

    def __call__(self, inputs, answer, lengths=None, masks=None):
        """Computes the answers for int32 inputs of any B >= 0 and S <= max.

        Args:
            inputs: The inputs of the core.
            answer: Function of the float32 logits of some rows and of their indices
                (R,) that returns a dict of tensors with first axis R. The axis S or M
                of the logits is as long as the part needs.
            lengths: int32 (B,), number of tokens in each row, which come first; None
                for S.
            masks: int32 (B,), likewise the number of masked words; None for M.

        Returns:
            The dict, with first axis B.
        """
        with tf.device("/CPU:0"):
            rows, length = tf.unstack(tf.shape(inputs["token_ids"]))
            lengths = tf.fill([rows], length) if lengths is None else lengths
            if not self.mask_positions:
                masks = tf.zeros_like(lengths)
            elif masks is None:
                masks = tf.fill([rows], tf.shape(inputs["mask_positions"])[1])

        def compute(rows):
            length = tf.reduce_max(tf.pad(tf.gather(lengths, rows), [[0, 1]]))
            widths = dict.fromkeys(self._fill, length)
            widths["mask_positions"] = tf.reduce_max(
                tf.pad(tf.gather(masks, rows), [[0, 1]])
            )
            part = {
                name: tf.gather(inputs[name], rows)[:, : widths[name]]
                for name in self._fill
            }
            return answer(self._logits(part), rows)

        return longest_first(
            compute,
            lengths + TOKENS_OF_MASK * masks,
            lambda cost: rows_of_part(
                bucket(cost, tf.int32.max, jit_compile=self.jit_compile),
                PART,
                jit_compile=self.jit_compile,
            ),
        )

    def _logits(self, inputs):
        count, length = tf.unstack(tf.shape(inputs["token_ids"]))
        rows = num_rows(count, jit_compile=self.jit_compile)
        length = bucket(length, self.max_sequence_length, jit_compile=self.jit_compile)
        widths = dict.fromkeys(self._fill, length)
        if self.mask_positions:
            masks = tf.shape(inputs["mask_positions"])[1]
            widths["mask_positions"] = num_rows(masks, jit_compile=self.jit_compile)
        wide = {
            name: padded(inputs[name], rows, widths[name], fill)
            for name, fill in self._fill.items()
        }
        logits = self._compute(wide)[:count]
        return logits[:, :masks] if self.mask_positions else logits


def of_width(x, width):
    """Truncates a tensor (R, W, ...), or pads it with zeros, to another W."""
    x = x[:, :width]
    rest = [[0, 0]] * (x.shape.rank - 2)
    return tf.pad(x, [[0, 0], [0, width - tf.shape(x)[1]], *rest])


def padded(x, rows, columns, fill):
    """Pads a matrix with `fill` to a number of rows and columns."""
    shape = tf.shape(x)
    below = [[0, rows - shape[0]], [0, columns - shape[1]]]
    return tf.pad(x, below, constant_values=fill)


def checked_ids(inputs, *, vocabulary_size, num_segments, max_sequence_length):
    """Returns the int32 inputs after checks that raise InvalidArgument with a reason.

    Without them, an id outside the vocabulary would be an index error in some inner op
    on the CPU, and silently another token under XLA.
    """
    shape = tf.shape(inputs["token_ids"])
    rows, length = shape[0], shape[1]
    limits = {"token_ids": vocabulary_size, "padding_mask": 2}
    if num_segments:
        limits["segment_ids"] = num_segments
    with tf.device("/CPU:0"):
        checks = [_in_shape(inputs[name], shape, name) for name in limits]
        checks.append(
            tf.debugging.Assert(
                (length <= max_sequence_length) & ((length > 0) | (rows == 0)),
                [f"token_ids must have 1 to {max_sequence_length} columns. Received:"]
                + [length],
            )
        )
        checks += [_below(inputs[name], limit, name) for name, limit in limits.items()]
        if "mask_positions" in inputs:
            positions = inputs["mask_positions"]
            shape = tf.stack([rows, tf.shape(positions)[1]])
            checks.append(_in_shape(positions, shape, "mask_positions"))
            checks.append(_below(positions, length, "mask_positions"))
        with tf.control_dependencies(checks):
            return {name: tf.identity(value) for name, value in inputs.items()}


def _in_shape(values, shape, name):
    return tf.debugging.Assert(
        tf.reduce_all(tf.equal(tf.shape(values), shape)),
        [f"{name} must have the shape", shape, "Received:", tf.shape(values)],
    )


def _below(values, limit, name):
    wrong = tf.boolean_mask(values, (values < 0) | (values >= limit))
    return tf.debugging.Assert(
        tf.equal(tf.size(wrong), 0),
        [f"{name} must be at least 0 and below", limit, "Received:", wrong],
        summarize=3,
    )
