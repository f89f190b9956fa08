"""What the split patterns need to know about a code point, as one small integer.

The entry of a code point is `(bytes of its UTF-8 - 1) << 5 | kind`. The lowest two bits
of a kind are its class in the patterns: white space, letter, number or other. The other
bits mark the space U+0020 and the apostrophe; line feed and carriage return; and the
characters that SmolLM2 takes for digits.

The classes are those of the installed engine, with its versions of Unicode: that of its
patterns, and a newer one for digits.
"""

import functools

import numpy as np
from tokenizers import Regex, normalizers, pre_tokenizers

from tfzoo.text.wordpiece import codepoint_tables

SPACE, LETTER, NUMBER, OTHER = 0, 1, 2, 3
CLASS, NAMED, NEWLINE, DIGIT, KIND, LENGTH_SHIFT = 3, 4, 8, 16, 31, 5
BLANK, APOSTROPHE = SPACE | NAMED, OTHER | NAMED
OUTSIDE = 32  # the kind outside of a text: of class SPACE, but no character
# The others are not assigned, or private.
_PROBED = ((0, 0xD800), (0xE000, 0x40000), (0xE0000, 0xE1000))
_PATTERNS = {LETTER: r"\p{L}+", NUMBER: r"\p{N}+", SPACE: r"\s+"}


@functools.cache
def code_point_entries():
    """The entries of all code points, in the layout of `two_level`."""
    code_points = np.arange(codepoint_tables.NUM_CODE_POINTS, dtype=np.int32)
    rest = np.concatenate([code_points[slice(*bounds)] for bounds in _PROBED])
    kinds = np.full(len(code_points), OTHER, np.int32)
    for kind, pattern in _PATTERNS.items():
        text = normalizers.Replace(Regex(pattern), "").normalize_str(_text(rest))
        others = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.int32)
        kinds[np.setdiff1d(rest, others, assume_unique=True)] = kind
        rest = others
    kinds[[ord(" "), ord("'")]] |= NAMED
    kinds[[ord("\n"), ord("\r")]] |= NEWLINE
    may_be = np.sort(np.concatenate([rest, np.flatnonzero(kinds & CLASS == NUMBER)]))
    stretches = pre_tokenizers.Digits().pre_tokenize_str(_text(may_be))
    for _, (start, end) in stretches[1::2]:  # the first one starts with U+0000
        kinds[may_be[start:end]] |= DIGIT
    lengths = np.searchsorted([0x80, 0x800, 0x10000], code_points, side="right")
    return codepoint_tables.two_level(
        (lengths << LENGTH_SHIFT | kinds).astype(np.int32)
    )


def _text(code_points):
    return code_points.astype("<u4").tobytes().decode("utf-32-le")
