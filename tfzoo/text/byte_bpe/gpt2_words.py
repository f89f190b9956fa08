"""Splits texts into words with GPT-2's pattern, as operations on vectors of characters.

The pattern, applied from left to right, matches an English clitic ('s 't 're 've 'm 'll
'd), letters, numbers or other characters with an optional space before them, or white
space; white space before a word does not include its last character. All texts of a
batch form one stream of N characters.

Source: `encoder.py` of Radford et al. 2019, https://github.com/openai/gpt-2
"""

import tensorflow as tf

from tfzoo.text.byte_bpe.tables import (
    APOSTROPHE,
    BLANK,
    CLASS,
    LETTER,
    SPACE,
)
from tfzoo.text.vectors import following, preceding, where, with_value

_NOTHING = 8  # the kind outside of a text: of class SPACE, but not a space
_ONE_LETTER, _TWO_LETTERS = "stmd", ("re", "ve", "ll")


def word_starts(code_points, kinds, splits):
    """Indices at which words start.

    Args:
        code_points: int32 (N,), the code points of all texts.
        kinds: int32 (N,), see `byte_bpe_tables`.
        splits: int64 (B + 1,), the indices at which the texts start and end.

    Returns:
        int64 (W,), the indices for W words.
    """
    is_edge = with_value(tf.zeros([tf.size(kinds) + 1], tf.bool), splits, value=True)
    before = tf.where(is_edge[:-1], _NOTHING, preceding(kinds, first=_NOTHING))
    after = tf.where(is_edge[1:], _NOTHING, following(kinds, last=_NOTHING))
    is_space = tf.equal(kinds & CLASS, SPACE)
    is_change = tf.not_equal(kinds & CLASS, before & (CLASS | _NOTHING))
    takes_blank = tf.equal(before, BLANK) & ~is_space
    is_left_over = is_space & tf.not_equal(after & CLASS, SPACE)
    is_start = (is_change & ~takes_blank) | is_left_over
    may_be_clitic = (
        is_start & tf.equal(kinds, APOSTROPHE) & tf.equal(after & CLASS, LETTER)
    )
    return where(_after_clitics(is_start, where(may_be_clitic), code_points, is_edge))


def _after_clitics(is_start, apostrophes, code_points, is_edge):
    """`is_start`, updated so that a clitic is a word that starts at its apostrophe."""
    ahead = tf.pad(code_points, [[0, 2]])
    first, second = tf.gather(ahead, apostrophes + 1), tf.gather(ahead, apostrophes + 2)
    second = tf.where(tf.gather(is_edge, apostrophes + 2), 0, second)
    is_short, is_long = (tf.zeros_like(first, tf.bool) for _ in range(2))
    for letter in _ONE_LETTER:
        is_short |= tf.equal(first, ord(letter))
    for one, other in _TWO_LETTERS:
        is_long |= tf.equal(first, ord(one)) & tf.equal(second, ord(other))
    clitics = tf.boolean_mask(apostrophes, is_short | is_long)
    lengths = tf.where(tf.boolean_mask(is_short, is_short | is_long), 2, 3)
    is_start = tf.pad(is_start, [[0, 1]])
    is_start = with_value(is_start, clitics + 1, value=False)
    is_start = with_value(is_start, clitics + tf.cast(lengths, tf.int64), value=True)
    return is_start[:-1]
