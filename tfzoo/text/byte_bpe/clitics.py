"""English clitics ('s 't 're 've 'm 'll 'd), which the patterns make words of."""

import tensorflow as tf

from tfzoo.text.byte_bpe.code_point_kinds import APOSTROPHE, CLASS, LETTER
from tfzoo.text.vectors import where, with_value

_ONE_LETTER, _TWO_LETTERS = "stmd", ("re", "ve", "ll")
_LONG_S = "\u017f"  # an s if the case is ignored


def with_clitics(is_start, code_points, kinds, after, is_edge, *, ignore_case=False):
    """`is_start`, updated so that a clitic is a word that starts at its apostrophe.

    Args:
        is_start: bool (N,), whether a word starts at each character, without clitics.
        code_points: int32 (N,).
        kinds: int32 (N,), see `code_point_kinds`.
        after: int32 (N,), kinds of the next characters.
        is_edge: bool (N + 1,), whether a text starts or ends before each character.
        ignore_case: Whether letters of any case make a clitic.
    """
    may_be = is_start & tf.equal(kinds, APOSTROPHE) & tf.equal(after & CLASS, LETTER)
    apostrophes = where(may_be)
    ahead = tf.pad(code_points, [[0, 2]])
    first, second = tf.gather(ahead, apostrophes + 1), tf.gather(ahead, apostrophes + 2)
    second = tf.where(tf.gather(is_edge, apostrophes + 2), 0, second)

    def is_in(code_points, letters):
        letters = letters + letters.upper() if ignore_case else letters
        letters += _LONG_S if ignore_case and "s" in letters else ""
        found = tf.zeros_like(code_points, tf.bool)
        for letter in letters:
            found |= tf.equal(code_points, ord(letter))
        return found

    is_short, is_long = is_in(first, _ONE_LETTER), tf.zeros_like(first, tf.bool)
    for one, other in _TWO_LETTERS:
        is_long |= is_in(first, one) & is_in(second, other)
    clitics = tf.boolean_mask(apostrophes, is_short | is_long)
    lengths = tf.where(tf.boolean_mask(is_short, is_short | is_long), 2, 3)
    is_start = tf.pad(is_start, [[0, 1]])
    is_start = with_value(is_start, clitics + 1, value=False)
    is_start = with_value(is_start, clitics + tf.cast(lengths, tf.int64), value=True)
    return is_start[:-1]
