"""Offsets of pieces in their texts, in TensorFlow operations.

Shapes: N characters and T pieces of all texts.
"""

import tensorflow as tf

from tfzoo.text.vectors import following, preceding, where, with_values


def aligned(number, starts, ends, lengths, is_removed):
    """The raw characters that `tokenizers` aligns the characters of a rule with.

    The first characters of a replacement have the first ones of what it replaces, and
    further ones that of the one before. If what follows is removed, the last of these
    takes its place.

    Args:
        number: int32 (N,), the number of each character in its replacement.
        starts: int32 (N,), the first raw character that it replaces.
        ends: int32 (N,), the raw character after the last one that it replaces.
        lengths: int32 (N,), length of the replacement.
        is_removed: bool (N,), whether that raw character is replaced by nothing.

    Returns:
        int32 (N,).
    """
    takes_next = tf.equal(number, lengths - 1) & (starts + number >= ends) & is_removed
    last = ends - 1 + tf.cast(takes_next, tf.int32)
    return tf.minimum(starts + number, last)


def with_prefix_origins(origins, starts_chunk, is_space, is_added):
    """The origins of characters in `sentencepiece`, with those of added spaces.

    It adds a space where the text starts after the spaces at its start.
    """
    is_space &= following(starts_chunk, last=True)  # and replaces nothing more
    stops = ~is_space | tf.not_equal(origins, preceding(origins, first=-2) + 1)
    stops, added = where(stops & ~is_added), where(is_added)
    after = tf.gather(stops, tf.searchsorted(stops, added))
    return with_values(origins, added, tf.gather(origins, after - 1) + 1)


def with_end_origins(origins, is_blank, is_end):
    """The origins with the ends of texts before the blanks that precede them."""
    others, ends = where(~is_blank), where(is_end)
    before = tf.gather(tf.pad(others + 1, [[1, 0]]), tf.searchsorted(others, ends))
    return with_values(origins, ends, tf.gather(origins, before))


def library_places(origins, pieces):
    """First characters of pieces, and those after their last ones: two int32 (T,).

    In `sentencepiece`, a piece ends where the next one starts, so that it includes what
    was removed between them; of the bytes of a character, only the last one has it.

    Args:
        origins: int32 (N,).
        pieces: `Pieces`.
    """
    starts, ends = tf.gather(origins, pieces.starts), tf.gather(origins, pieces.ends)
    goes_on = pieces.is_byte & following(pieces.is_byte, last=False)
    goes_on &= tf.equal(pieces.starts, following(pieces.starts, last=-1))
    return starts, tf.where(goes_on, starts, ends)


def aligned_places(origins, pieces):
    """The same in `tokenizers`, where an added space has the place of what follows."""
    origins = tf.where(origins < 0, following(origins, last=0), origins)
    last = tf.gather(origins, pieces.ends - 1)
    return tf.gather(origins, pieces.starts), last + 1
