"""Merging words of any length in time that grows with their length alone.

A round of `merging` looks at all symbols of a word and merges those of one rank, so a
word of a megabyte would take thousands of rounds over all of it. So words are cut into
pieces of `PIECE` bytes, which are merged side by side, and then a window around each
border between pieces is merged again. It replaces what stood there if it begins and
ends with the same tokens as before; otherwise it is tried again, twice as wide.

That gives what merging the whole word gives, because of two properties of BPE whose
merges only join what earlier ones made. Where it leaves a border between tokens, both
sides are what BPE makes of their own text. And a border remains in the whole if it
remains between its two tokens alone: up to the first merge over the border each side
goes on as if it were alone. So tokens of which every two neighbours stay apart are what
BPE makes of the whole; neighbours inside a piece or a window do, and the two at each
end of a window do, if they are the same as before.
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
_WINDOW = 16  # bytes on either side of a border, at first
_VECTOR = tf.TensorShape([None])


class LongWords(tf.Module):
    """Words to symbols.

    Args:
        table: `MergeTable`.

    Call arguments:
        symbols: int32 (N,) where the symbols are to be written.
        content: int32 (N,) bytes.
        starts: int32 (W,) where the words start.
        ends: int32 (W,) where they end.

    Returns:
        int32 (N,): `symbols` with those of the words at their first bytes.
    """

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
        """Merges the bytes around borders; returns those that are left, and `symbols`.

        Args:
            content: int32 (N,) bytes.
            borders: int32 (K,) bytes before which a border lies.
            word_starts: int32 (K,) where their words start.
            word_ends: int32 (K,) where their words end.
            width: Bytes on either side.
            symbols: int32 (N,) the symbol at the first byte of every token.
        """
        tokens = tf.cast(where(tf.not_equal(symbols, NO_TOKEN)), tf.int32)
        tokens = tf.concat([tokens, [tf.size(symbols)]], 0)
        left = tf.searchsorted(tokens, tf.maximum(borders - width, 0), side="right") - 1
        right = tf.searchsorted(tokens, tf.minimum(borders + width, tokens[-1]))
        window_starts = tf.maximum(word_starts, tf.gather(tokens, left))
        window_ends = tf.minimum(word_ends, tf.gather(tokens, right))
        # Windows that overlap are one.
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
    """`symbols` with those made in the windows that fit."""
    fitting = where(fits)
    inside = tf.ragged.range(tf.gather(starts, fitting), tf.gather(ends, fitting))
    places = inside.flat_values
    return with_values(symbols, places, tf.gather(made, places))
