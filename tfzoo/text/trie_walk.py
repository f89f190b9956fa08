"""Walks through a double-array trie, many at once, in TensorFlow.

M symbols stand in one stream, and every walk reads symbols from its place on, until none
leads further. Keys that must not reach over the start of a word hold no symbol that
starts one, but as their first.
"""

import tensorflow as tf

from tfzoo.text.double_array_trie import NO_VALUE, ROOT
from tfzoo.text.vectors import where, with_values

_STEPS_OF_ALL = 4  # then the few that are not at their end go on alone


class TrieWalk(tf.Module):
    """Finds the longest keys of a trie.

    Args:
        trie: `DoubleArrayTrie`.
        outside: A symbol that no key goes on with.
    """

    def __init__(self, trie, outside=1):
        super().__init__(name="trie_walk")
        self._dead, self._depth, self._outside = trie.dead, trie.depth, outside
        self._root_base = int(trie.base[ROOT])
        with tf.init_scope(), tf.device("CPU"):
            self._base, self._check = tf.constant(trie.base), tf.constant(trie.check)
            self._value = tf.constant(trie.value)
            self._length = tf.constant(trie.length)

    def exact(self, symbols, places, lengths):
        """Values of the keys of these lengths at some places, or NO_VALUE.

        Args:
            symbols: int32 (M,).
            places: int32 (W,).
            lengths: int32 (W,).
        """
        ahead = tf.pad(
            symbols, [[0, self._depth + 1]], constant_values=self._outside
        )
        node, base = self._step(ROOT, self._root_base, tf.gather(ahead, places))
        num_steps = min(_STEPS_OF_ALL, self._depth)
        for offset in range(1, num_steps):
            node, base = self._step(node, base, tf.gather(ahead, places + offset))
        node = self._finish(node, base, ahead, places + num_steps)
        is_whole = tf.equal(tf.gather(self._length, node), lengths)
        return tf.where(is_whole, tf.gather(self._value, node), NO_VALUE)

    def _finish(self, node, base, ahead, places):
        going = where(tf.not_equal(base, self._dead))

        def step(node, base, place):
            return *self._step(node, base, tf.gather(ahead, place)), place + 1

        last, _, _ = tf.while_loop(
            lambda node, base, place: tf.reduce_any(tf.not_equal(base, self._dead)),
            step,
            (tf.gather(node, going), tf.gather(base, going), tf.gather(places, going)),
        )
        return with_values(node, going, last)

    def _step(self, node, base, symbol):
        """Where a symbol leads from a node, and the base there: dead if it does not."""
        slot = base + symbol
        leads_on = tf.equal(tf.gather(self._check, slot), node)
        base = tf.where(leads_on, tf.gather(self._base, slot), self._dead)
        return tf.where(leads_on, slot, node), base
