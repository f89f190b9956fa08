"""Splits texts into words with CLIP's pattern, as operations on vectors of characters.

The pattern, applied from left to right, matches an English clitic, letters, a single
number, or other characters; white space is in no word, and is a word here that the
caller removes. In its original form it first matches the two special tokens, which are
then split into their letters and other characters, like all words. All texts of a batch
form one stream of N characters.

Source: `simple_tokenizer.py` of Radford et al. 2021, https://github.com/openai/CLIP
"""

import tensorflow as tf

from tfzoo.text.byte_bpe.clip_file import SPECIAL_TOKENS
from tfzoo.text.byte_bpe.clitics import with_clitics
from tfzoo.text.byte_bpe.code_point_kinds import CLASS, NUMBER, OUTSIDE
from tfzoo.text.vectors import following, preceding, where, with_value

_BEGIN = "<|"  # of both special tokens


def word_starts(code_points, kinds, splits, *, special_tokens):
    """Indices at which words start, as from `gpt2_words.word_starts`.

    `special_tokens` is whether the pattern has the special tokens.
    """
    is_edge = with_value(tf.zeros([tf.size(kinds) + 1], tf.bool), splits, value=True)
    before = tf.where(is_edge[:-1], OUTSIDE, preceding(kinds, first=OUTSIDE))
    after = tf.where(is_edge[1:], OUTSIDE, following(kinds, last=OUTSIDE))
    is_change = tf.not_equal(kinds & CLASS, before & (CLASS | OUTSIDE))
    is_start = is_change | tf.equal(kinds & CLASS, NUMBER)
    if special_tokens:
        is_start = _after_special_tokens(is_start, code_points, splits)
    return where(with_clitics(is_start, code_points, kinds, after, is_edge))


def _after_special_tokens(is_start, code_points, splits):
    """`is_start`, updated so that a word starts after each special token.

    A special token is one only where a word starts, which may be after another one.
    """
    begins = tf.equal(code_points, ord(_BEGIN[0]))
    begins &= tf.equal(following(code_points, last=0), ord(_BEGIN[1]))
    begins = where(begins)
    longest = max(map(len, SPECIAL_TOKENS))
    ahead = tf.gather(
        tf.pad(code_points, [[0, longest]]),
        begins[:, None] + tf.range(longest, dtype=tf.int64),
    )
    lengths = tf.zeros_like(begins)
    for token in SPECIAL_TOKENS:
        letters = tf.constant(list(map(ord, token)))
        is_token = tf.reduce_all(tf.equal(ahead[:, : len(token)], letters), 1)
        lengths = tf.where(is_token, tf.cast(len(token), tf.int64), lengths)
    text = tf.searchsorted(splits, begins, side="right")
    is_inside = tf.equal(text, tf.searchsorted(splits, begins + lengths, side="left"))
    begins, lengths, text = (
        tf.boolean_mask(x, (lengths > 0) & is_inside) for x in (begins, lengths, text)
    )
    ends = begins + lengths
    is_next = tf.equal(begins, preceding(ends, first=tf.constant(-1, tf.int64)))
    is_next &= tf.equal(text, preceding(text, first=-1))
    heads = tf.gather(is_start, tf.boolean_mask(begins, ~is_next))
    chain = tf.cumsum(tf.cast(~is_next, tf.int32)) - 1
    ends = tf.boolean_mask(ends, tf.gather(heads, chain))
    return with_value(tf.pad(is_start, [[0, 1]]), ends, value=True)[:-1]
