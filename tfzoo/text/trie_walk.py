"""Walks through a double-array trie, many at once, in TensorFlow.

M symbols stand in one stream, and each walk reads them from a place on, until none
leads further. Keys that are not to reach over the start of a word have a symbol that
starts one in front and nowhere else.
"""

import tensorflow as tf

from tfzoo.text.double_array_trie import NO_VALUE, ROOT
from tfzoo.text.vectors import where, with_values

_STEPS = 4  # at a time; then only the walks that are not at their end go on


class TrieWalk(tf.Module):
    """Finds keys of a trie in a stream of symbols.

    Args:
        trie: `DoubleArrayTrie`.
        outside: Symbol that no key goes on with; it stands behind the stream.

    Attributes:
        value: int32 (S,) value of the longest key on the way to each of S nodes.
        length: int32 (S,) number of its symbols.
    """

    def __init__(self, trie, outside):
        super().__init__(name="trie_walk")
        self._dead, self._depth, self._outside = trie.dead, trie.depth, outside
        self._root_base = int(trie.base[ROOT])
        with tf.init_scope(), tf.device("CPU"):
            self._base, self._check = tf.constant(trie.base), tf.constant(trie.check)
            self.value, self.length = tf.constant(trie.value), tf.constant(trie.length)

    def from_all(self, symbols):
        """Nodes (M,) at which the walks from all places end."""
        ahead = self._ahead(symbols)
        node, base = self._first_steps(
            lambda offset: tf.slice(ahead, [offset], tf.shape(symbols))
        )
        return self._last_steps(node, base, ahead, tf.range(tf.size(symbols)))

    def keys_at(self, symbols, places, lengths):
        """Values (W,) of the keys at some places, or NO_VALUE.

        Args:
            symbols: int32 (M,).
            places: int32 (W,).
            lengths: int32 (W,) number of symbols of the key that is looked for.
        """
        ahead = self._ahead(symbols)
        node, base = self._first_steps(lambda offset: tf.gather(ahead, places + offset))
        node = self._last_steps(node, base, ahead, places)
        is_key = tf.equal(tf.gather(self.length, node), lengths)
        return tf.where(is_key, tf.gather(self.value, node), NO_VALUE)

    def _ahead(self, symbols):
        behind = self._depth + _STEPS  # a walk that has ended looks on
        return tf.pad(symbols, [[0, behind]], constant_values=self._outside)

    def _first_steps(self, symbol_at):
        node, base = self._step(ROOT, self._root_base, symbol_at(0))
        for offset in range(1, _STEPS):
            node, base = self._step(node, base, symbol_at(offset))
        return node, base

    def _last_steps(self, node, base, ahead, places):
        def go_on(node, going, base, place):
            reached = tf.gather(node, going)
            for _ in range(_STEPS):
                reached, base = self._step(reached, base, tf.gather(ahead, place))
                place += 1
            node = with_values(node, going, reached)
            return node, *self._alive(going, base, place)

        going = tf.range(tf.size(node))
        node, *_ = tf.while_loop(
            lambda node, going, base, place: tf.size(going) > 0,
            go_on,
            (node, *self._alive(going, base, places + _STEPS)),
            shape_invariants=(tf.TensorShape([None]),) * 4,
        )
        return node

    def _alive(self, going, base, place):
        stay = where(tf.not_equal(base, self._dead))
        return tf.gather(going, stay), tf.gather(base, stay), tf.gather(place, stay)

    def _step(self, node, base, symbol):
        """Where a symbol leads from a node, and the base there: dead if it does not."""
        slot = base + symbol
        leads_on = tf.equal(tf.gather(self._check, slot), node)
        base = tf.where(leads_on, tf.gather(self._base, slot), self._dead)
        return tf.where(leads_on, slot, node), base
