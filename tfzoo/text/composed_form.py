"""Unicode's composed form (NFC) of many texts at once, in TensorFlow.

Shapes: B texts of N characters in one stream, M after decomposition; K characters that
may join the first one of their group, such as marks.

1. Decompose the characters that have another composed form or precede one of the K.
2. Sort marks by class between characters that they are not reordered across.
3. Compose: in every group at once, the first character looks for the next of the K that
   it composes with and that is not blocked by one left between them. A character has at
   most three marks to compose with, so that a few rounds suffice, however many follow.

The only pairs of characters that are not marks and compose have a second one that
starts no pair, so that each group has only one character that composes.

Source: Unicode Standard Annex 15, https://unicode.org/reports/tr15, and section 3.11 of
the Unicode Standard
"""

import tensorflow as tf

from tfzoo.text.nfc_tables import (
    CHANGES,
    JOINS,
    ORDER,
    ROW_SHIFT,
    composition_tables,
)
from tfzoo.text.vectors import preceding, where, with_value, with_values
from tfzoo.text.wordpiece.codepoint_lookup import CodePointTable

_VECTOR = tf.TensorShape([None])


class ComposedForm(tf.Module):
    """Composes characters.

    Call arguments:
        code_points: int32 (N,).
        splits: int64 (B + 1,), where the texts start and end.

    Returns:
        code_points: int32, those of the composed form.
        splits: int64 (B + 1,), likewise.
        origins: int64, the character that each comes from, as in `tokenizers`.
    """

    def __init__(self):
        super().__init__(name="composed_form")
        tables = composition_tables()
        self._entries = CodePointTable(*tables.entries)
        self._letters = CodePointTable(*tables.letters)
        with tf.init_scope(), tf.device("CPU"):
            self._expansions = tf.constant(tables.expansions)
            self._row_starts = tf.constant(tables.row_starts)
            self._row_lengths = tf.constant(tables.row_lengths)
            self._base = tf.constant(tables.pairs.base)
            self._left = tf.constant(tables.pairs.left)
            self._rank = tf.constant(tables.pairs.rank)
            self._made = tf.constant([*tables.pairs.made, 0], tf.int32)

    def __call__(self, code_points, splits):
        entries = self._entries(code_points)
        return tf.cond(
            tf.reduce_any(entries & (JOINS | CHANGES) > 0),
            lambda: self._composed(code_points, entries, splits),
            lambda: (code_points, splits, tf.range(tf.size(code_points, tf.int64))),
        )

    def _composed(self, code_points, entries, splits):
        code_points, added, splits = self._decomposed(code_points, entries, splits)
        entries = self._entries(code_points)
        code_points, added, order = _sorted(code_points, added, entries & ORDER, splits)
        joins = tf.cast(self._entries(code_points) & JOINS, tf.bool)
        is_first = with_value(tf.pad(~joins, [[0, 1]]), splits, value=True)[:-1]
        code_points, added, stays = self._joined(code_points, added, order, is_first)
        # How many characters of the text each consumes; what was added consumes none.
        consumed = tf.cast(tf.where(added > 0, 0, 1 - added), tf.int64)
        stay = where(stays)
        consumed, added = tf.gather(consumed, stay), tf.gather(added, stay)
        origins = tf.cumsum(consumed, exclusive=True) - tf.cast(added > 0, tf.int64)
        kept = tf.pad(tf.cumsum(tf.cast(stays, tf.int64)), [[1, 0]])
        return tf.gather(code_points, stay), tf.gather(kept, splits), origins

    def _decomposed(self, code_points, entries, splits):
        """Code points (M,), 1 for those that were added, and the splits of texts."""
        joins = tf.pad(tf.cast(entries & JOINS, tf.bool), [[0, 1]])
        is_joined = with_value(joins, splits, value=False)[1:]
        row = tf.bitwise.right_shift(entries, ROW_SHIFT)
        row = tf.where((entries & CHANGES > 0) | is_joined, row, 0)
        itself = tf.size(self._expansions) + tf.range(tf.size(code_points))
        starts = tf.where(row > 0, tf.gather(self._row_starts, row), itself)
        lengths = tf.where(row > 0, tf.gather(self._row_lengths, row), 1)
        ranges = tf.ragged.range(starts, starts + lengths)
        source = tf.concat([self._expansions, code_points], 0)
        code_points = tf.gather(source, ranges.flat_values)
        added = with_value(tf.ones_like(code_points), ranges.row_starts(), value=0)
        return code_points, added, tf.gather(ranges.row_splits, splits)

    def _joined(self, code_points, added, order, is_first):
        """Composes groups.

        Args:
            code_points: int32 (M,).
            added: int32 (M,), 1 for code points that were added, otherwise 0.
            order: int32 (M,), classes of marks, 0 for other characters.
            is_first: bool (M,), whether a group starts.

        Returns:
            The code points, `added` less the number of code points that joined each,
            and whether each is left: bool (M,).
        """
        others = where(~is_first)
        firsts = where(is_first)
        first = tf.gather(
            firsts, tf.gather(tf.cumsum(tf.cast(is_first, tf.int32)) - 1, others)
        )
        index = tf.range(tf.size(others))
        is_new = tf.not_equal(first, preceding(first, first=tf.constant(-1, tf.int64)))
        group = tf.cumsum(tf.cast(is_new, tf.int32)) - 1
        group_start = tf.gather(tf.cast(where(is_new), tf.int32), group)
        order = tf.gather(order, others)
        is_mark = order > 0
        # The last of the K before a mark that is no mark, or -1
        starter = tf.concat([[-1], tf.cast(where(~is_mark), tf.int32)], 0)
        starter = tf.gather(starter, tf.cumsum(tf.cast(~is_mark, tf.int32)))
        starter = tf.where(starter >= group_start, starter, -1)
        is_same = tf.equal(order, preceding(order, first=0)) & ~is_new & is_mark
        letters = self._letters(tf.gather(code_points, others))
        heads = tf.boolean_mask(first, is_new)

        def unblocked(joined, count):
            after_joined = preceding(joined, first=False)
            starts = tf.equal(starter, -1) | tf.gather(joined, tf.maximum(starter, 0))
            of_marks = starts & (~is_same | after_joined)
            of_others = tf.equal(tf.gather(count, group), index - group_start)
            return tf.where(is_mark, of_marks, of_others)

        def compose(joined, last, count, current, going):
            made = self._pairs(tf.gather(self._letters(current), group), letters)
            is_next = (made > 0) & unblocked(joined, count)
            is_next &= index > tf.gather(last, group)
            place = tf.where(is_next, index, tf.size(index))
            is_next &= tf.equal(
                place, tf.gather(tf.math.segment_min(place, group), group)
            )
            chosen = where(is_next)
            groups = tf.gather(group, chosen)
            return (
                joined | is_next,
                with_values(last, groups, tf.cast(chosen, tf.int32)),
                tf.tensor_scatter_nd_add(count, groups[:, None], tf.ones_like(groups)),
                with_values(current, groups, tf.gather(made, chosen)),
                tf.size(chosen) > 0,
            )

        num_groups = tf.shape(heads)
        joined, _, _, current, _ = tf.while_loop(
            lambda *state: state[-1],
            compose,
            (
                tf.zeros_like(is_mark),
                tf.fill(num_groups, -1),
                tf.zeros(num_groups, tf.int32),
                tf.gather(code_points, heads),
                tf.size(others) > 0,
            ),
            shape_invariants=(*(_VECTOR,) * 4, tf.TensorShape([])),
        )
        gone = tf.boolean_mask(others, joined)
        less = tf.gather(added, gone) - 1
        into = tf.boolean_mask(first, joined)
        added = tf.tensor_scatter_nd_add(added, into[:, None], less)
        stays = with_value(tf.ones_like(is_first), gone, value=False)
        return with_values(code_points, heads, current), added, stays

    def _pairs(self, first, second):
        """The code point that letters compose to, 0 if they do not."""
        slots = tf.gather(self._base, first) + second
        is_pair = tf.equal(tf.gather(self._left, slots), first)
        rank = tf.where(is_pair, tf.gather(self._rank, slots), tf.size(self._made) - 1)
        return tf.gather(self._made, rank)


def _sorted(code_points, added, order, splits):
    """The three vectors with marks in canonical order."""
    is_bound = tf.cast(tf.equal(order, 0), tf.int64)
    starts = tf.tensor_scatter_nd_add(
        tf.pad(is_bound, [[0, 1]]), splits[:, None], tf.ones_like(splits)
    )
    rank = tf.cumsum(starts)[:-1] * (ORDER + 1) + tf.cast(order, tf.int64)
    vectors = (code_points, added, order)

    def in_order():
        places = tf.argsort(rank, stable=True)
        return tuple(tf.gather(vector, places) for vector in vectors)

    is_sorted = tf.reduce_all(rank[1:] >= rank[:-1])
    return tf.cond(is_sorted, lambda: vectors, in_order)
