"""Merges words of any length in linear time.

A round of `merging` reads all symbols of a word and merges those of one rank, so a word
of a megabyte would take thousands of rounds over the whole word. Therefore words are
split into pieces of `PIECE` bytes, which are merged in parallel, and then a window
around each border between pieces is merged again. The result replaces the tokens in the
window if it starts and ends with the same tokens as before; otherwise the window is
doubled and merged again.

The result equals that of merging the whole word, because of two properties of BPE in
which merges only join results of earlier merges. First, at a border between tokens,
each side is what BPE makes of that side on its own. Second, a border remains in the
whole word if it remains between its two tokens on their own: until the first merge
across the border, each side evolves independently. So a sequence of tokens of which no
two neighbors merge is what BPE makes of the whole word. Neighbors inside a piece or a
window do not merge, and neither do the two at each end of a window if they are the same
as before.
"""

import tensorflow as tf

from tfzoo.text.byte_bpe.merging import Merging
from tfzoo.text.vectors import (
    following,
    preceding,
    row_numbers,
    where,
    with_value,
    with_values,
)

NO_TOKEN = -1
PIECE = 64  # bytes
_WINDOW = 16  # initial number of bytes on each side of a border
_VECTOR = tf.TensorShape([None])


class LongWords(tf.Module):
    """Converts words to symbols; arguments and result are those of `Merging`."""

    def __init__(self, table):
        super().__init__(name="long_words")
        self._merge = Merging(table)

    def __call__(self, symbols, content, starts, ends):
        pieces = tf.ragged.range(starts, ends, PIECE)
        piece_starts, splits = pieces.flat_values, pieces.row_splits
        piece_ends = with_values(piece_starts + PIECE, splits[1:] - 1, ends)
        symbols = self._merge(symbols, content, piece_starts, piece_ends)
        num_pieces = tf.size(piece_starts)
        is_first = with_value(tf.zeros([num_pieces + 1], tf.bool), splits, value=True)
        inner = where(~is_first[:-1])
        words = tf.gather(row_numbers(splits, num_pieces), inner)
        *_, symbols = tf.while_loop(
            lambda borders, *_: tf.size(borders) > 0,
            lambda *state: self._merge_at(content, *state),
            (
                tf.gather(piece_starts, inner),
                tf.gather(starts, words),
                tf.gather(ends, words),
                tf.constant(_WINDOW),
                symbols,
            ),
            shape_invariants=(*(_VECTOR,) * 3, tf.TensorShape([]), _VECTOR),
        )
        return symbols

    def _merge_at(self, content, borders, word_starts, word_ends, width, symbols):
        """Merges the bytes around borders; returns the remaining borders and `symbols`.

        Args:
            content: int32 (N,), bytes.
            borders: int32 (K,), bytes that follow a border.
            word_starts: int32 (K,), where their words start.
            word_ends: int32 (K,), where their words end.
            width: Number of bytes on each side.
            symbols: int32 (N,), the symbol of each token at its first byte.
        """
        tokens = tf.cast(where(tf.not_equal(symbols, NO_TOKEN)), tf.int32)
        tokens = tf.concat([tokens, [tf.size(symbols)]], 0)
        left = tf.searchsorted(tokens, tf.maximum(borders - width, 0), side="right") - 1
        right = tf.searchsorted(tokens, tf.minimum(borders + width, tokens[-1]))
        window_starts = tf.maximum(word_starts, tf.gather(tokens, left))
        window_ends = tf.minimum(word_ends, tf.gather(tokens, right))
        # Overlapping windows are joined.
        is_new = window_starts >= preceding(window_ends, first=-1)
        opens, closes = where(is_new), where(following(is_new, last=True))
        starts, ends = tf.gather(window_starts, opens), tf.gather(window_ends, closes)
        nothing = tf.fill(tf.shape(symbols), NO_TOKEN)
        made = self._merge(nothing, content, starts, ends)
        places = tf.cast(where(tf.not_equal(made, NO_TOKEN)), tf.int32)
        first, old_first = tf.gather(made, starts), tf.gather(symbols, starts)
        last = tf.gather(places, tf.searchsorted(places, ends) - 1)
        old_last = tf.gather(tokens, tf.searchsorted(tokens, ends) - 1)
        fits = tf.equal(first, old_first) | tf.equal(
            starts, tf.gather(word_starts, opens)
        )
        fits &= tf.equal(last, old_last) | tf.equal(ends, tf.gather(word_ends, closes))
        symbols = _replaced(symbols, starts, ends, fits, made)
        window = tf.cumsum(tf.cast(is_new, tf.int32)) - 1
        remain = where(~tf.gather(fits, window))
        borders, word_starts, word_ends = (
            tf.gather(x, remain) for x in (borders, word_starts, word_ends)
        )
        return borders, word_starts, word_ends, 2 * width, symbols


def _replaced(symbols, starts, ends, fits, made):
    """`symbols`, replaced by `made` in the windows that fit."""
    fitting = where(fits)
    inside = tf.ragged.range(tf.gather(starts, fitting), tf.gather(ends, fitting))
    places = inside.flat_values
    return with_values(symbols, places, tf.gather(made, places))
