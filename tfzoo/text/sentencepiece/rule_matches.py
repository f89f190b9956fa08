"""Where the rules of a charsmap match texts, in TensorFlow operations.

Shapes: N characters of all texts, K candidates, M matches.
"""

import numpy as np
import tensorflow as tf

from tfzoo.text.sentencepiece.charsmap import HAS_RULE, LONGEST_RULE, starting_with
from tfzoo.text.vectors import following, where, with_value, with_values
from tfzoo.text.wordpiece.codepoint_lookup import CodePointTable
from tfzoo.text.wordpiece.codepoint_tables import two_level

_IS_RULE, _LEADS_ON, _MAY_FOLLOW = 1, 2, 4
_VECTOR = tf.TensorShape([None])


class RuleMatches(tf.Module):
    """Walks the trie of the rules from all characters at which a rule may start.

    Args:
        charsmap: `Charsmap` with rules.
        is_shortest: Whether the shortest rule is found at each character, otherwise the
            longest.
    """

    def __init__(self, charsmap, *, is_shortest):
        super().__init__(name="rule_matches")
        self._is_shortest = is_shortest
        is_rule, leads_on, follows = charsmap.first_characters
        flags = is_rule * _IS_RULE | leads_on * _LEADS_ON
        flags |= starting_with(follows) * _MAY_FOLLOW
        self._flags = CodePointTable(*two_level(flags.astype(np.int32)))
        code_points, starts, lengths = charsmap.replaced
        with tf.init_scope(), tf.device("CPU"):
            self._units = tf.constant(charsmap.units.view(np.int32))
            self.code_points = tf.constant(code_points)  # of all replacements
            self.starts = tf.constant(starts)  # of those at a byte
            self.lengths = tf.constant(lengths)

    def candidates(self, code_points):
        """int64 (K,): the characters at which a rule may match."""
        flags = self._flags(code_points)
        after = following(flags, last=0)
        may_lead = tf.not_equal(flags & _LEADS_ON, 0)
        may_lead &= tf.not_equal(after & _MAY_FOLLOW, 0)
        return where(tf.not_equal(flags & _IS_RULE, 0) | may_lead)

    def __call__(self, candidates, code_points, limits):
        """Matches at the candidates.

        Args:
            candidates: int64 (K,), characters.
            code_points: int32 (N,); NUL is in no rule.
            limits: int32 (K,), the number of characters that a match may have.

        Returns:
            int32 (K,), number of characters of the matches, 0 for none; and int32 (K,),
            the first byte of their replacements.
        """
        nothing = tf.zeros(tf.shape(candidates), tf.int32)
        root = self._unit(tf.constant(0))
        state = (
            tf.range(tf.size(candidates)),
            tf.fill(tf.shape(candidates), _offset(root)),
            tf.zeros_like(nothing),
            nothing,
            nothing,
        )
        going, base, _, lengths, values = tf.while_loop(
            lambda going, *_: tf.size(going) > 0,
            lambda *state: self._character(candidates, code_points, limits, *state),
            state,
            shape_invariants=(_VECTOR,) * 5,
            maximum_iterations=LONGEST_RULE,
        )
        return lengths, values

    def _character(
        self, candidates, code_points, limits, going, base, done, lengths, values
    ):
        """Reads the next character, byte by byte."""
        place = tf.gather(candidates, going) + tf.cast(done, tf.int64)
        character = tf.gather(tf.pad(code_points, [[0, 1]]), place)
        unit = tf.zeros_like(character)
        node = tf.zeros_like(character)
        alive = tf.not_equal(character, 0)
        num_bytes = 1 + sum(
            tf.cast(character >= limit, tf.int32) for limit in (0x80, 0x800, 0x10000)
        )
        for index in range(4):
            reads = alive & (num_bytes > index)
            label = _byte(character, num_bytes, index)
            child = tf.bitwise.bitwise_xor(base, label)
            child = tf.where(reads, child, 0)
            read = self._unit(child)
            is_child = tf.equal(read & 0xFF, label) & (read >= 0)
            unit, node = tf.where(reads, read, unit), tf.where(reads, child, node)
            alive &= is_child | ~reads
            base = tf.where(
                reads & alive, tf.bitwise.bitwise_xor(child, _offset(read)), base
            )
        done += 1
        found = where(alive & tf.not_equal(unit & HAS_RULE, 0))
        places = tf.gather(going, found)
        value = tf.gather(self._units, tf.gather(base, found)) & 0x7FFFFFFF
        lengths = with_values(lengths, places, tf.gather(done, found))
        values = with_values(values, places, value)
        alive &= done < tf.gather(limits, going)
        if self._is_shortest:
            alive &= tf.equal(tf.gather(lengths, going), 0)
        stay = where(alive)
        going, base, done = (tf.gather(x, stay) for x in (going, base, done))
        return going, base, done, lengths, values

    def _unit(self, node):
        return tf.gather(self._units, node)


def leftmost(starts, ends):
    """Which of M matches, in order, are taken from left to right: bool (M,).

    Args:
        starts: int64 (M,).
        ends: int64 (M,).
    """
    size = tf.size(starts)
    index = tf.range(size)
    after = tf.cast(tf.searchsorted(starts, ends), tf.int32)

    def chase():
        jump = tf.concat([after, [size]], 0)
        taken = with_value(tf.zeros([size + 1], tf.bool), [0], value=True)

        def hop(jump, taken, span):
            taken = with_value(taken, tf.gather(jump, where(taken)), value=True)
            return tf.gather(jump, jump), taken, 2 * span

        _, taken, _ = tf.while_loop(
            lambda jump, taken, span: span < 2 * size,
            hop,
            (jump, taken, tf.constant(1)),
        )
        return taken[:-1]

    return tf.cond(
        tf.reduce_all(tf.equal(after, index + 1)),
        lambda: tf.ones_like(index, tf.bool),
        chase,
    )


def _offset(unit):
    """As in `Charsmap.bases`; a leaf, whose highest bit is set, has none."""
    shift = tf.bitwise.right_shift(unit, 6) & 8
    return tf.bitwise.left_shift(tf.bitwise.right_shift(unit & 0x7FFFFFFF, 10), shift)


def _byte(character, num_bytes, index):
    """A byte of the UTF-8 of characters."""
    shift = 6 * tf.maximum(num_bytes - 1 - index, 0)
    bits = tf.bitwise.right_shift(character, shift)
    if index:
        return bits & 0x3F | 0x80
    lead = tf.gather(tf.constant([0, 0, 0xC0, 0xE0, 0xF0]), num_bytes)
    return bits | lead
