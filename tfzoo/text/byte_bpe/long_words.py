"""Merges words of any length in linear time.

A round of `merging` reads all tokens of a word and merges those of one rank, so a word
of a megabyte would take thousands of rounds over the whole word. Therefore words are
split into pieces of `PIECE` bytes, which are merged in parallel, and then a window
around each border between pieces is merged again. The result replaces the tokens in the
window if it starts and ends with the same tokens as before; otherwise the window is
doubled and merged again.

The result equals that of merging the whole word. BPE merges the pair of neighbors that
comes first in the order of rank and position; three properties follow from this alone,
for every list of merges:

1. At a border between two tokens of the result, each side is what BPE makes of that
   side on its own: as no pair across the border is ever merged, the merges on one side
   are those that BPE chooses among the pairs of that side.
2. Let a and b be the tokens at a border between two parts, each of which BPE has merged
   on its own. If BPE leaves the border in the bytes of a and b on their own, it leaves
   it in the whole. Until a merge across the border, the bytes of a and of b go through
   the merges that make a and b, by (1), in an order that depends on nothing else. A
   merge across the border in the whole comes before all other pairs, so that BPE would
   also choose it in the bytes of a and b.
3. Hence a sequence of tokens, each of which BPE makes of its own bytes and of which it
   joins no two neighbors, is what BPE makes of the whole: by induction, with (2).

Neighbors inside a piece or a window fulfill (3) by (1), and so do the two at each end
of a window if they are the same as before.
"""

import tensorflow as tf

from tfzoo.text.byte_bpe.merging import Merging
from tfzoo.text.byte_bpe.tables import NO_TOKEN
from tfzoo.text.vectors import (
    following,
    preceding,
    row_numbers,
    where,
    with_value,
    with_values,
)

PIECE = 64  # bytes
_WINDOW = 16  # initial number of bytes on each side of a border
_VECTOR = tf.TensorShape([None])


class LongWords(tf.Module):
    """Merges the tokens of words; arguments and result are those of `Merging`."""

    def __init__(self, table):
        super().__init__(name="long_words")
        self._merge = Merging(table)

    def __call__(self, merged, single, starts, ends):
        pieces = tf.ragged.range(starts, ends, PIECE)
        piece_starts, splits = pieces.flat_values, pieces.row_splits
        piece_ends = with_values(piece_starts + PIECE, splits[1:] - 1, ends)
        merged = self._merge(merged, single, piece_starts, piece_ends)
        num_pieces = tf.size(piece_starts)
        is_first = with_value(tf.zeros([num_pieces + 1], tf.bool), splits, value=True)
        inner = where(~is_first[:-1])
        words = tf.gather(row_numbers(splits, num_pieces), inner)
        *_, merged = tf.while_loop(
            lambda borders, *_: tf.size(borders) > 0,
            lambda *state: self._merge_at(single, *state),
            (
                tf.gather(piece_starts, inner),
                tf.gather(starts, words),
                tf.gather(ends, words),
                tf.constant(_WINDOW),
                merged,
            ),
            shape_invariants=(*(_VECTOR,) * 3, tf.TensorShape([]), _VECTOR),
        )
        return merged

    def _merge_at(self, single, borders, word_starts, word_ends, width, merged):
        """Merges the bytes around borders; returns the remaining borders and `merged`.

        Args:
            single: int32 (N,), ids of single bytes.
            borders: int32 (K,), bytes that follow a border.
            word_starts: int32 (K,), where their words start.
            word_ends: int32 (K,), where their words end.
            width: Number of bytes on each side.
            merged: int32 (N,), each token at its first byte.
        """
        tokens = tf.cast(where(tf.not_equal(merged, NO_TOKEN)), tf.int32)
        tokens = tf.concat([tokens, [tf.size(merged)]], 0)
        left = tf.searchsorted(tokens, tf.maximum(borders - width, 0), side="right") - 1
        right = tf.searchsorted(tokens, tf.minimum(borders + width, tokens[-1]))
        window_starts = tf.maximum(word_starts, tf.gather(tokens, left))
        window_ends = tf.minimum(word_ends, tf.gather(tokens, right))
        # Overlapping windows are joined.
        is_new = window_starts >= preceding(window_ends, first=-1)
        opens, closes = where(is_new), where(following(is_new, last=True))
        starts, ends = tf.gather(window_starts, opens), tf.gather(window_ends, closes)
        nothing = tf.fill(tf.shape(merged), NO_TOKEN)
        made = self._merge(nothing, single, starts, ends)
        places = tf.cast(where(tf.not_equal(made, NO_TOKEN)), tf.int32)
        first, old_first = tf.gather(made, starts), tf.gather(merged, starts)
        last = tf.gather(places, tf.searchsorted(places, ends) - 1)
        old_last = tf.gather(tokens, tf.searchsorted(tokens, ends) - 1)
        fits = tf.equal(first, old_first) | tf.equal(
            starts, tf.gather(word_starts, opens)
        )
        fits &= tf.equal(last, old_last) | tf.equal(ends, tf.gather(word_ends, closes))
        merged = _replaced(merged, starts, ends, fits, made)
        window = tf.cumsum(tf.cast(is_new, tf.int32)) - 1
        remain = where(~tf.gather(fits, window))
        borders, word_starts, word_ends = (
            tf.gather(x, remain) for x in (borders, word_starts, word_ends)
        )
        return borders, word_starts, word_ends, 2 * width, merged


def _replaced(merged, starts, ends, fits, made):
    """`merged`, replaced by `made` in the windows that fit."""
    fitting = where(fits)
    inside = tf.ragged.range(tf.gather(starts, fitting), tf.gather(ends, fitting))
    places = inside.flat_values
    return with_values(merged, places, tf.gather(made, places))
