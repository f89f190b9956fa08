"""Splits texts into words with GPT-2's pattern, as operations on vectors of characters.

The pattern, applied from left to right, matches an English clitic, letters, numbers or
other characters with an optional space before them, or white space; white space before
a word does not include its last character. SmolLM2 first splits texts around each
digit. All texts of a batch form one stream of N characters.

Source: `encoder.py` of Radford et al. 2019, https://github.com/openai/gpt-2
"""

import tensorflow as tf

from tfzoo.text.byte_bpe.clitics import with_clitics
from tfzoo.text.byte_bpe.code_point_kinds import (
    BLANK,
    CLASS,
    DIGIT,
    OUTSIDE,
    SPACE,
)
from tfzoo.text.vectors import following, preceding, where, with_value


def word_starts(code_points, kinds, splits, *, digits_alone=False):
    """Indices at which words start.

    Args:
        code_points: int32 (N,), the code points of all texts.
        kinds: int32 (N,), see `code_point_kinds`.
        splits: int64 (B + 1,), the indices at which the texts start and end.
        digits_alone: Whether texts are first split around each digit.

    Returns:
        int64 (W,), the indices for W words.
    """
    is_edge = with_value(tf.zeros([tf.size(kinds) + 1], tf.bool), splits, value=True)
    if digits_alone:
        is_digit = tf.cast(kinds & DIGIT, tf.bool)
        is_edge |= tf.pad(is_digit, [[0, 1]]) | tf.pad(is_digit, [[1, 0]])
    before = tf.where(is_edge[:-1], OUTSIDE, preceding(kinds, first=OUTSIDE))
    after = tf.where(is_edge[1:], OUTSIDE, following(kinds, last=OUTSIDE))
    is_space = tf.equal(kinds & CLASS, SPACE)
    is_change = tf.not_equal(kinds & CLASS, before & (CLASS | OUTSIDE))
    takes_blank = tf.equal(before, BLANK) & ~is_space
    is_left_over = is_space & tf.not_equal(after & CLASS, SPACE)
    is_start = (is_change & ~takes_blank) | is_left_over
    return where(with_clitics(is_start, code_points, kinds, after, is_edge))
