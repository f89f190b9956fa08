"""Looks keys up in a double-array trie, many at once, in TensorFlow.

M symbols form one stream. Each walk reads them from a given position until the trie
has no such key. For keys that must not extend beyond a word, the symbol that starts a
word occurs only at their start.
"""

import tensorflow as tf

from tfzoo.text.double_array_trie import NO_VALUE, ROOT
from tfzoo.text.vectors import where, with_values

_STEPS = 4  # at a time; then only unfinished walks continue


class TrieWalk(tf.Module):
    """Finds keys of a trie in a stream of symbols.

    Args:
        trie: `DoubleArrayTrie`.
        outside: Symbol that continues no key; the stream is padded with it.

    Attributes:
        value: int32 (S,), value of the longest key on the path to each of S nodes.
        length: int32 (S,), number of symbols of that key.
    """

    def __init__(self, trie, outside):
        super().__init__(name="trie_walk")
        self._dead, self._depth, self._outside = trie.dead, trie.depth, outside
        self._root_base = int(trie.base[ROOT])
        with tf.init_scope(), tf.device("CPU"):
            self._base, self._check = tf.constant(trie.base), tf.constant(trie.check)
            self.value, self.length = tf.constant(trie.value), tf.constant(trie.length)

    def from_all(self, symbols):
        """Nodes (M,) at which the walks from all positions end."""
        ahead = self._ahead(symbols)
        node, base = self._first_steps(
            lambda offset: tf.slice(ahead, [offset], tf.shape(symbols))
        )
        return self._last_steps(node, base, ahead, tf.range(tf.size(symbols)))

    def keys_at(self, symbols, places, lengths):
        """Values (W,) of the keys at the given positions, or NO_VALUE.

        Args:
            symbols: int32 (M,).
            places: int32 (W,), the positions.
            lengths: int32 (W,), number of symbols of the key to look up.
        """
        ahead = self._ahead(symbols)
        node, base = self._first_steps(lambda offset: tf.gather(ahead, places + offset))
        node = self._last_steps(node, base, ahead, places)
        is_key = tf.equal(tf.gather(self.length, node), lengths)
        return tf.where(is_key, tf.gather(self.value, node), NO_VALUE)

    def _ahead(self, symbols):
        behind = self._depth + _STEPS  # a finished walk reads on
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
        """The next node and its base; the same node and `dead` if there is none."""
        slot = base + symbol
        leads_on = tf.equal(tf.gather(self._check, slot), node)
        base = tf.where(leads_on, tf.gather(self._base, slot), self._dead)
        return tf.where(leads_on, slot, node), base
