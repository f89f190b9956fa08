"""Texts as sequences of distinct words, so that a repeated word is tokenized once.

A text is cut before a space if nothing looks across it: no rule of the normalizer, no
rule for spaces, and no piece. The ids of the text are then those of its words, one
after another. (A sum of scores that goes on from word to word is looked after by
`viterbi`.) What can be told from the characters next to a space decides; if they do
not, the words stay together.

A word of ASCII that the normalizer does not change is plain; most are.

Shapes: B texts; W words of all texts, U of them distinct, P of these plain.
"""

import re
import typing

import numpy as np
import tensorflow as tf

from tfzoo.text.sentencepiece.charsmap import starting_with
from tfzoo.text.sentencepiece.graphemes import EXTENDS, PREPENDS, grapheme_flags
from tfzoo.text.sentencepiece.piece_model import NORMAL, SPACE, USER_DEFINED
from tfzoo.text.vectors import preceding, where, with_value, with_values
from tfzoo.text.wordpiece.codepoint_lookup import CodePointTable
from tfzoo.text.wordpiece.codepoint_tables import NUM_CODE_POINTS, two_level

_STARTS, _ENDS, _JOINS, _TAKES_NEXT, _CHANGES = 1, 2, 4, 8, 16
_PRINTABLE = range(ord("!"), ord("~") + 1)


class Words(typing.NamedTuple):
    """Words of texts.

    Attributes:
        plain: (P,) strings, the distinct words that are plain.
        others: (U - P,) strings, the other ones.
        numbers: int32 (W,), which of `plain`, followed by `others`, each word is.
        rows: int64 (B + 1,), the words at which texts start and end.
    """

    plain: tf.Tensor
    others: tf.Tensor
    numbers: tf.Tensor
    rows: tf.Tensor


class DistinctWords(tf.Module):
    """Divides texts into `Words`.

    Args:
        model: `PieceModel` that `is_divisible`.
        decode: Function from strings (B,) to their code points and int64 (B + 1,),
            where these start and end; one code point is added at the end, and another
            one at the start if `begins`.
        begins: Whether a text begins with a space that is added.

    Call arguments:
        texts: (B,) strings.

    Returns:
        `Words`; if not `begins`, those after a space begin with it.
    """

    def __init__(self, model, decode, *, begins):
        super().__init__(name="distinct_words")
        flags = _flags(model)
        self._flags = CodePointTable(*two_level(flags))
        self._decode, self._begins = decode, begins
        self._cuts_twice = "remove_extra_spaces" in model.steps
        self._plain = _plain_pattern(flags, begins=begins)

    def __call__(self, texts):
        parts = tf.strings.split(texts, " ")
        parts, rows = parts.flat_values, parts.row_splits
        if not self._begins:
            is_first = with_value(tf.zeros_like(parts, tf.bool), rows[:-1], value=True)
            parts = tf.where(is_first, parts, tf.strings.join([" ", parts]))
        words, numbers = tf.unique(parts)
        is_plain = tf.strings.regex_full_match(words, self._plain)
        others = where(~is_plain)
        starts, ends = (
            with_values(is_plain, others, edge)
            for edge in self._edges(*self._decode(tf.gather(words, others)))
        )
        starts, ends = tf.gather(starts, numbers), tf.gather(ends, numbers)
        if self._cuts_twice:  # nothing ends where the word before it does not
            is_word = with_value(tf.not_equal(parts, ""), rows[:-1], value=True)
            before = tf.cumsum(tf.cast(is_word, tf.int32)) - 1
            ends = tf.gather(tf.boolean_mask(ends, is_word), before)
        is_cut = starts & preceding(ends, first=True)
        is_cut = with_value(is_cut, rows[:-1], value=True)

        def joined():
            count = tf.cumsum(tf.cast(is_cut, tf.int32))
            spaced = parts
            if self._begins:
                spaced = tf.where(is_cut, parts, tf.strings.join([" ", parts]))
            some = tf.strings.unsorted_segment_join(spaced, count - 1, count[-1])
            words, numbers = tf.unique(some)
            splits = tf.gather(tf.pad(tf.cast(count, tf.int64), [[1, 0]]), rows)
            is_plain = tf.strings.regex_full_match(words, self._plain)
            return words, is_plain, numbers, splits

        words, is_plain, numbers, rows = tf.cond(
            tf.reduce_all(is_cut), lambda: (words, is_plain, numbers, rows), joined
        )
        plain, others = where(is_plain), where(~is_plain)
        order = tf.concat([plain, others], 0)
        place = with_values(tf.zeros_like(numbers), order, tf.range(tf.size(order)))
        return Words(
            tf.gather(words, plain),
            tf.gather(words, others),
            tf.gather(place, numbers),
            rows,
        )

    def _edges(self, code_points, splits):
        """Whether words may be cut off at their start and end: two bool (U - P,)."""
        first = splits[:-1] + 1  # after a space
        last = splits[1:] - 2

        def has(places, flag):
            flags = self._flags(tf.gather(code_points, tf.maximum(places, 0)))
            return tf.not_equal(flags & flag, 0)

        starts = has(first, _STARTS) & ~has(tf.minimum(first + 1, last), _JOINS)
        ends = has(last, _ENDS) & ~has(tf.maximum(first, last - 1), _TAKES_NEXT)
        is_empty = first > last
        return (
            tf.where(is_empty, self._cuts_twice, starts),
            tf.where(is_empty, self._cuts_twice, ends),
        )


def _plain_pattern(flags, *, begins):
    """What matches a plain word, which may be cut off at its start and end."""
    edges = _STARTS | _ENDS
    of_word = [c for c in _PRINTABLE if not flags[c] & (_CHANGES | _JOINS)]
    of_edge = [c for c in of_word if flags[c] & edges == edges]
    if not of_edge:
        return r"[^\x00-\x{10ffff}]"
    inner, edge = ("".join(re.escape(chr(c)) for c in s) for s in (of_word, of_edge))
    return ("" if begins else " ?") + f"[{edge}](?:[{inner}]*[{edge}])?"


def is_divisible(model, *, begins):
    """Whether texts of a model may be divided into words.

    Args:
        model: `PieceModel`.
        begins: Whether a text begins with a space that is added.
    """
    symbols = [model.pieces[i] for i in np.flatnonzero(model.kinds == USER_DEFINED)]
    space = model.pieces.index(SPACE) if SPACE in model.pieces else model.unknown_id
    leads = [] if model.charsmap is None else model.charsmap.leads
    return (
        model.kinds[space] == NORMAL
        and space != model.unknown_id
        and not any(" " in symbol or SPACE in symbol for symbol in symbols)
        and not any(is_lead[ord(" ")] for is_lead in leads)
        and (begins or "remove_extra_spaces" not in model.steps)
    )


def _flags(model):
    """int32 (0x110000,): what code points next to a space, or one further, allow.

    A character starts or ends a word if a rule makes one of it that does, and no longer
    rule is possible. It ends none if it is before a space in a piece.
    """
    blank = np.zeros(NUM_CODE_POINTS, bool)
    blank[[0, ord(" "), ord(SPACE)]] = True
    inner = np.zeros(NUM_CODE_POINTS, bool)
    pieces = "\0".join(piece or "" for piece in model.pieces)
    before = set(re.findall(f"[^\0](?={SPACE})", pieces))
    inner[list(map(ord, before))] = True
    starts, ends = ~blank, ~(blank | inner)
    joins = takes_next = np.zeros(NUM_CODE_POINTS, bool)
    changes = blank.copy()
    if model.charsmap is not None:
        joins = starting_with(model.charsmap.leads[1])
        code_points, first, last = model.charsmap.single_rules
        changes[code_points] = True
        starts[code_points], ends[code_points] = starts[first], ends[last]
    if "graphemes" in model.steps:
        kinds = grapheme_flags()
        takes_next = kinds & PREPENDS > 0
        starts &= kinds & EXTENDS == 0
        ends &= kinds & (EXTENDS | PREPENDS) == 0
    if "split_spaces" in model.steps or "strip_right" in model.steps:
        white = [c for c in range(0x3001) if chr(c).isspace()]
        starts[white] = ends[white] = False
    ends &= ~joins
    flags = starts * _STARTS | ends * _ENDS | joins * _JOINS | changes * _CHANGES
    return (flags | takes_next * _TAKES_NEXT).astype(np.int32)
