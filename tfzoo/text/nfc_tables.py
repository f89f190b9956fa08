"""Unicode's canonical composition (NFC) as arrays over code points.

They come from the normalizers of `tokenizers`, called with many code points at a time,
so that the tables agree with the installed engine and its version of Unicode. Source of
the rules: Unicode Standard Annex 15, https://unicode.org/reports/tr15
"""

import dataclasses
import functools
import unicodedata

import numpy as np
from tokenizers import normalizers

from tfzoo.text.byte_bpe.merge_table import MergeTable, merge_table
from tfzoo.text.wordpiece.codepoint_tables import NUM_CODE_POINTS, two_level

ORDER, JOINS, CHANGES, ROW_SHIFT = 255, 256, 512, 10
_PROBED = ((0, 0xD800), (0xE000, 0x30000), (0xE0000, 0xE1000))
_FENCE = "\u2502"  # a box-drawing line, which nothing is composed with
_LOW, _HIGH = "\u0334", "\u0345"  # marks of the lowest and of the highest class


@dataclasses.dataclass(frozen=True)
class CompositionTables:
    """The composition; arrays are int32.

    An entry of a code point is `row << ROW_SHIFT | CHANGES | JOINS | order`: its row in
    `expansions`, 0 for none; whether its composed form is another; whether it may join
    what precedes it, as a mark does; and the place of its class among marks in
    canonical order, 0 for what marks are not reordered across.

    Attributes:
        entries: Arrays of `two_level`.
        expansions: The canonical decompositions of code points, concatenated.
        row_starts: Where each of them starts.
        row_lengths: Their lengths.
        letters: Arrays of `two_level`: numbers of the code points that take part in a
            composition, 0 for others.
        pairs: What two such numbers compose to: a code point.
    """

    entries: tuple
    expansions: np.ndarray
    row_starts: np.ndarray
    row_lengths: np.ndarray
    letters: tuple
    pairs: MergeTable


@functools.lru_cache(maxsize=1)
def composition_tables():
    """The tables of the installed engine."""
    characters = "".join(map(_text, _PROBED)).replace(_FENCE, "")
    forms = dict(zip(characters, _decomposed(characters), strict=True))
    forms = {c: form for c, form in forms.items() if form != c}
    order = _order_of_marks(characters, forms)
    composed = dict(zip(forms, _composed(forms), strict=True))
    pairs = _pairs([c for c in forms if composed[c] == c], forms)
    seconds = {second for _, second in pairs}
    entries = np.zeros(NUM_CODE_POINTS, np.int32)
    for character in {*seconds, *order}:
        entries[ord(character)] = JOINS | order.get(character, 0)
    for row, (character, form) in enumerate(forms.items(), 1):
        joins = JOINS if form[0] in seconds or form[0] in order else 0
        changes = 0 if composed[character] == character else CHANGES
        entries[ord(character)] = row << ROW_SHIFT | changes | joins
    lengths = np.array([0, *map(len, forms.values())], np.int32)
    letters = np.zeros(NUM_CODE_POINTS, np.int32)
    parts = sorted({part for pair in pairs for part in pair})
    numbers = {part: number for number, part in enumerate(parts, 1)}
    letters[list(map(ord, parts))] = list(numbers.values())
    sides = np.array([[numbers[a], numbers[b]] for a, b in pairs], np.int64)
    table = merge_table(*sides.T, np.zeros(len(pairs), np.int64), len(parts) + 1)
    made = np.array(list(map(ord, pairs.values())), np.int32)
    return CompositionTables(
        entries=two_level(entries),
        expansions=np.array(list(map(ord, "".join(forms.values()))), np.int32),
        row_starts=np.cumsum(lengths, dtype=np.int32) - lengths,
        row_lengths=lengths,
        letters=two_level(letters),
        pairs=dataclasses.replace(table, made=made),
    )


def _pairs(characters, forms):
    """Dict of (first, second) -> the character that they compose to."""
    firsts = _composed([forms[c][:-1] or _FENCE for c in characters])
    pairs = {}
    for character, first in zip(characters, firsts, strict=True):
        if len(first) == 1 and first != _FENCE:
            pairs[first, forms[character][-1]] = character
    return pairs


def _order_of_marks(characters, forms):
    """Dict of mark -> place of its combining class, from 1."""
    after_high = _decomposed([_HIGH + c for c in characters])
    before_low = _decomposed([c + _LOW for c in characters])
    marks = [
        character
        for character, first, second in zip(
            characters, after_high, before_low, strict=True
        )
        if character not in forms and (first[0] != _HIGH or second[-1] != _LOW)
    ]
    classes = {unicodedata.combining(mark): mark for mark in marks[::-1]}
    classes.pop(0, None)
    some = list(classes.values())  # a mark of each class
    pairs = _decomposed([one + mark for mark in marks for one in some])
    moves = np.array([p[-1] for p in pairs]).reshape(len(marks), -1) == np.array(some)
    moves &= np.array(marks)[:, None] != np.array(some)
    return dict(zip(marks, (1 + (~moves).sum(axis=1)).tolist(), strict=True))


def _text(bounds):
    return np.arange(*bounds, dtype="<u4").tobytes().decode("utf-32-le")


def _decomposed(texts):
    return normalizers.NFD().normalize_str(_FENCE.join(texts)).split(_FENCE)


def _composed(texts):
    return normalizers.NFC().normalize_str(_FENCE.join(texts)).split(_FENCE)
