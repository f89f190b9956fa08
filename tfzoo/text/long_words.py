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

from tfzoo.text.merging import Merging
from tfzoo.text.vectors import following, preceding, segment_numbers, where, with_value, with_values

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
        piece_starts = pieces.flat_values
        first = pieces.row_splits
        last = with_value(tf.zeros_like(piece_starts, tf.bool), first[1:] - 1, value=True)
        piece_ends = tf.minimum(piece_starts+PIECE, 2**31-1)
        piece_ends = with_values(piece_ends, first[1:]-1, ends)
        made, places = self._merge(content, piece_starts, piece_ends)
        symbols = with_values(symbols, places, made)
        # borders
        number = segment_numbers(first[:-1], tf.size(piece_starts))
        inner = where(~with_value(tf.zeros_like(piece_starts, tf.bool), first[:-1], value=True))
        borders = tf.gather(piece_starts, inner)
        words = tf.gather(number, inner)
        _, _, _, symbols = tf.while_loop(
            lambda borders, *_: tf.size(borders) > 0,
            lambda borders, words, width, symbols: self._again(borders, words, width, symbols, content, starts, ends),
            (borders, words, tf.constant(_WINDOW), symbols),
            shape_invariants=(_VECTOR, _VECTOR, tf.TensorShape([]), _VECTOR),
        )
        return symbols

    def _again(self, borders, words, width, symbols, content, starts, ends):
        tokens = tf.cast(where(tf.not_equal(symbols, NO_TOKEN)), tf.int32)
        tokens = tf.concat([tokens, [tf.size(symbols)]], 0)
        word_starts, word_ends = tf.gather(starts, words), tf.gather(ends, words)
        before = tf.maximum(word_starts, tf.gather(tokens, tf.searchsorted(tokens, tf.maximum(borders - width, 0), side="right") - 1))
        after = tf.minimum(word_ends, tf.gather(tokens, tf.searchsorted(tokens, tf.minimum(borders + width,tf.size(symbols)))))
        # unite windows
        is_new = before >= preceding(after, -1)
        window = tf.cumsum(tf.cast(is_new, tf.int32)) - 1
        opens = where(is_new); closes = where(following(is_new, True))
        a, b = tf.gather(before, opens), tf.gather(after, closes)
        made, places = self._merge(content, a, b)
        first_place = tf.searchsorted(places, a)
        last_place = tf.searchsorted(places, b) - 1
        same_first = tf.equal(tf.gather(made, first_place), tf.gather(symbols, a)) | tf.equal(a, tf.gather(word_starts, opens))
        old_last = tf.gather(tokens, tf.searchsorted(tokens, b) - 1)
        same_last = tf.equal(tf.gather(places, last_place), old_last) | tf.equal(b, tf.gather(word_ends, closes))
        done = same_first & same_last
        # write
        good = where(done)
        inside = tf.ragged.range(tf.gather(a, good), tf.gather(b, good)).flat_values
        symbols = with_value(symbols, inside, NO_TOKEN)
        of = tf.searchsorted(a, places, side="right") - 1
        w = where(tf.gather(done, of))
        symbols = with_values(symbols, tf.gather(places, w), tf.gather(made, w))
        left = where(~tf.gather(done, window))
        return tf.gather(borders, left), tf.gather(words, left), width * 2, symbols
