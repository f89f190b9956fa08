"""A table over code points, in TensorFlow."""

import tensorflow as tf

from tfzoo.text.wordpiece.codepoint_tables import BLOCK_BITS


class CodePointTable(tf.Module):
    """Looks code points up in a table of two levels.

    Args:
        pages: int32 arrays of `codepoint_tables.two_level`.
        blocks: As above.

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
