"""Splits texts into words with the pattern of Llama 3 or of Qwen 2, in TensorFlow.

The pattern, applied from left to right, matches an English clitic in any case; letters
with an optional character before them that is neither a line end, a letter nor a
number; up to three numbers (Qwen 2: one); other characters with an optional space
before and line ends after them; white space up to its last line end; or white space,
without its last character before a word. All texts of a batch form one stream of N
characters.

Source: the tokenizer.json of Llama 3 and of Qwen 2, after `cl100k_base` of
https://github.com/openai/tiktoken
"""

import tensorflow as tf

from tfzoo.text.byte_bpe.clitics import with_clitics
from tfzoo.text.byte_bpe.code_point_kinds import (
    BLANK,
    CLASS,
    LETTER,
    NEWLINE,
    NUMBER,
    OTHER,
    OUTSIDE,
    SPACE,
)
from tfzoo.text.vectors import following, preceding, where, with_value, with_values


def word_starts(code_points, kinds, splits, *, most_numbers):
    """Indices at which words start, as from `gpt2_words.word_starts`.

    `most_numbers` is the maximum number of numbers in a word.
    """
    is_edge = with_value(tf.zeros([tf.size(kinds) + 1], tf.bool), splits, value=True)
    before = tf.where(is_edge[:-1], OUTSIDE, preceding(kinds, first=OUTSIDE))
    after = tf.where(is_edge[1:], OUTSIDE, following(kinds, last=OUTSIDE))
    of_class = kinds & CLASS
    is_change = tf.not_equal(of_class, before & (CLASS | OUTSIDE))
    is_newline = tf.cast(kinds & NEWLINE, tf.bool)
    is_left_over = tf.equal(of_class, SPACE) & tf.not_equal(after & CLASS, SPACE)
    # Others take a space before them, letters what `joins_letters`.
    is_others = is_change & tf.equal(of_class, OTHER) & tf.not_equal(before, BLANK)
    is_inner_space = tf.equal(before & (CLASS | OUTSIDE | NEWLINE), SPACE)
    is_after_other = preceding(is_others, first=False) & ~is_edge[:-1]
    joins_letters = is_after_other | is_inner_space
    is_letters = is_change & tf.equal(of_class, LETTER) & ~joins_letters
    is_spaces = is_change & tf.equal(of_class, SPACE)
    is_start = is_others | is_letters | is_spaces | (is_left_over & ~is_newline)
    is_start = tf.cond(
        tf.reduce_any(is_newline),
        lambda: _with_newlines(is_start, where(is_newline), before, is_change),
        lambda: is_start,
    )
    numbers = where(tf.equal(of_class, NUMBER))
    is_first = tf.gather(is_change, numbers)
    starts_word = tf.equal(_place_in_run(is_first) % most_numbers, 0)
    is_start = with_values(is_start, numbers, starts_word)
    return where(
        with_clitics(is_start, code_points, kinds, after, is_edge, ignore_case=True)
    )


def _with_newlines(is_start, newlines, before, is_change):
    """`is_start`, updated at and after line ends.

    Args:
        is_start: bool (N,).
        newlines: int64 (K,), indices of K > 0 line ends.
        before: int32 (N,), kinds of the previous characters.
        is_change: bool (N,), whether a stretch of one class starts.
    """
    follows = tf.gather(before & NEWLINE > 0, newlines)  # another line end
    # Line ends directly after others belong to their word.
    takes = tf.gather(tf.equal(before & CLASS, OTHER), newlines)
    run_starts = where(~follows)
    run = tf.cumsum(tf.cast(~follows, tf.int32)) - 1
    is_taken = tf.gather(tf.gather(takes, run_starts), run)
    stretch = tf.gather(tf.cumsum(tf.cast(is_change, tf.int32)), newlines)
    is_last = tf.not_equal(stretch, following(stretch, last=-1))
    # The next line end is not taken if it is in another run.
    ends_taken = is_taken & ~following(follows, last=False)
    is_start = with_value(is_start, tf.boolean_mask(newlines, is_taken), value=False)
    ends = tf.boolean_mask(newlines, is_last | ends_taken) + 1
    is_start = with_value(tf.pad(is_start, [[0, 1]]), ends, value=True)
    return is_start[:-1]


def _place_in_run(is_first):
    """The place of every element in its run, from 0; a run starts where `is_first`."""
    index = tf.range(tf.size(is_first))
    starts = tf.concat([tf.cast(where(is_first), tf.int32), [0]], 0)
    return index - tf.gather(starts, tf.cumsum(tf.cast(is_first, tf.int32)) - 1)
