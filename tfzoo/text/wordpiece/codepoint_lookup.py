"""A lookup table of code points, in TensorFlow."""

import tensorflow as tf

from tfzoo.text.wordpiece.codepoint_tables import BLOCK_BITS


class CodePointTable(tf.Module):
    """Looks up code points in a two-level table.

    Args:
        pages: int32 array of `codepoint_tables.two_level`.
        blocks: int32 array of `codepoint_tables.two_level`.

    Call arguments:
        code_points: int32 (N,).

    Returns:
        int32 (N,).
    """

    def __init__(self, pages, blocks):
        super().__init__(name="code_points")
        with tf.init_scope(), tf.device("CPU"):
            self._pages, self._blocks = tf.constant(pages), tf.constant(blocks)

    def __call__(self, code_points):
        page = tf.gather(self._pages, tf.bitwise.right_shift(code_points, BLOCK_BITS))
        return tf.gather(self._blocks, page + code_points % (1 << BLOCK_BITS))
