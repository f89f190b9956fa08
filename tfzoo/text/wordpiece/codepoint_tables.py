"""The output of BERT's normalizer for every code point, as arrays.

They come from the normalizer and the pre-tokenizer of `tokenizers`, called with many
code points at a time, so that the tables agree with the installed engine and its
version of Unicode. Source of the rules: BERT's `tokenization.py`, Devlin et al. 2018,
https://github.com/google-research/bert.
"""

import dataclasses
import functools
import unicodedata

import numpy as np
from tokenizers import normalizers, pre_tokenizers

NUM_CODE_POINTS = 0x110000
BLOCK_BITS = 7
VANISHES, VANISHES_BETWEEN_MARKS = 0, 1
# The code points to probe. The others are ideographs and unassigned ones, which do not
# change, and private ones, which are removed.
_PROBED = ((0, 0x3400), (0xA000, 0xD800), (0xE000, 0x20000), (0x2F800, 0x2FA20))
_PROBED = (*_PROBED, (0xE0000, 0xE1000))
_PRIVATE = ((0xF0000, 0xFFFFE), (0x100000, 0x10FFFE))
# `is_chinese_char` of `tokenizers`. Its 0x2B920 is 0x2B820 in BERT.
_IDEOGRAPHS = (
    (0x3400, 0x4DC0),
    (0x4E00, 0xA000),
    (0xF900, 0xFB00),
    (0x20000, 0x2A6E0),
    (0x2A700, 0x2B820),
    (0x2B920, 0x2CEB0),
    (0x2F800, 0x2FA20),
)
_FENCE = "\u2502"  # a box-drawing line: the output of no other code point
_LAST_MARK = "\u0345"  # every other mark precedes it in canonical order


@dataclasses.dataclass(frozen=True)
class Normalization:
    """The normalizer as arrays over code points.

    Attributes:
        single: int32 (0x110000,), the code point that replaces a code point, or `~row`,
            a row of `expansions`, if none, several or a mark replace it.
        expansions: Tuples of code points. Row 0, for removed code points, and row 1,
            for removed ones that marks are not reordered across, are empty.
        space: bool (0x110000,), True for code points that separate words.
        punctuation: bool (0x110000,), True for code points that are words on their own.
        ideograph: bool (0x110000,), True for code points that are words on their own if
            ideographs are split; decided before normalization.
        mark_order: int32 (0x110000,), Unicode's canonical combining class of the marks
            that are kept; 0 for code points that marks are not reordered across.
    """

    single: np.ndarray
    expansions: tuple
    space: np.ndarray
    punctuation: np.ndarray
    ideograph: np.ndarray
    mark_order: np.ndarray


@functools.lru_cache(maxsize=4)
def normalization(*, lowercase, strip_accents):
    """The tables of BERT's normalizer with these options."""
    normalize = _bert_normalizer(lowercase=lowercase, strip_accents=strip_accents)
    marks = _surviving_marks(normalize) if strip_accents else {}
    single = np.arange(NUM_CODE_POINTS, dtype=np.int32)
    for start, stop in _PRIVATE:
        single[start:stop] = ~VANISHES
    rows, expansions = {}, [(), ()]
    for character, output in _each(normalize):
        if output == "":
            parts_marks = strip_accents and _keeps_marks_apart(character)
            result = ~(VANISHES_BETWEEN_MARKS if parts_marks else VANISHES)
        elif len(output) == 1 and output not in marks:
            result = ord(output)
        else:
            if output not in rows:
                rows[output] = len(expansions)
                expansions.append(tuple(map(ord, output)))
            result = ~rows[output]
        single[ord(character)] = result
    mark_order = np.zeros(NUM_CODE_POINTS, np.int32)
    mark_order[list(map(ord, marks))] = list(marks.values())
    space, punctuation = _word_boundaries()
    ideograph = np.zeros(NUM_CODE_POINTS, bool)
    ideograph[_code_points(_IDEOGRAPHS)] = True
    expansions = tuple(expansions)
    return Normalization(single, expansions, space, punctuation, ideograph, mark_order)


def two_level(table):
    """Compresses a table of code points to pages that share equal blocks.

    Args:
        table: int32 (0x110000,).

    Returns:
        int32 `pages`, `blocks`: `table[c] == blocks[pages[c >> b] + c % 2**b]` with
        b = `BLOCK_BITS`.
    """
    numbers, blocks = {}, table.reshape(-1, 1 << BLOCK_BITS)
    pages = [numbers.setdefault(block.tobytes(), len(numbers)) for block in blocks]
    different = np.frombuffer(b"".join(numbers), table.dtype)
    return np.array(pages, np.int32) << BLOCK_BITS, different


@functools.cache
def _bert_normalizer(**options):
    normalizer = normalizers.BertNormalizer(handle_chinese_chars=False, **options)
    return normalizer.normalize_str


def _code_points(ranges):
    return np.concatenate([np.arange(*pair) for pair in ranges])


def _text(code_points):
    return np.asarray(code_points, "<u4").tobytes().decode("utf-32-le")


def _each(normalize):
    """Pairs of every probed character (except the fence) and its normalized form."""
    characters = _text(_code_points(_PROBED)).replace(_FENCE, "")
    outputs = normalize(_FENCE.join(characters)).split(_FENCE)
    return zip(characters, outputs, strict=True)


def _keeps_marks_apart(character):
    if _bert_normalizer(lowercase=False, strip_accents=False)(character) == "":
        return False  # a control character, removed before marks are put in order
    reorder = normalizers.NFD().normalize_str
    is_passed = reorder(_LAST_MARK + character) != _LAST_MARK + reorder(character)
    return not is_passed and character != _LAST_MARK


def _surviving_marks(normalize):
    """Canonical combining classes of the marks that remain when accents are stripped.

    These are not nonspacing marks, or were not in the engine's version of Unicode.
    """
    reorder = normalizers.NFD().normalize_str
    return {
        character: unicodedata.combining(character)
        for character in _text(_code_points(_PROBED))
        if unicodedata.combining(character)
        and normalize(character) == character
        and reorder(_LAST_MARK + character)[-1] == _LAST_MARK
    }


@functools.lru_cache(maxsize=1)
def _word_boundaries():
    """Which code points separate words, and which are words on their own."""
    probed = _code_points(_PROBED)
    text = _text(np.stack([np.full_like(probed, ord("a")), probed], 1).reshape(-1))
    pieces = pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)
    start, stop = np.array([bounds for _, bounds in pieces]).T
    is_piece = np.zeros(len(text) + 1, np.int32)
    np.add.at(is_piece, start, 1)
    np.add.at(is_piece, stop, -1)
    space = np.zeros(NUM_CODE_POINTS, bool)
    space[probed[np.cumsum(is_piece)[1::2] == 0]] = True
    punctuation = np.zeros(NUM_CODE_POINTS, bool)
    alone = start[(stop - start == 1) & (start % 2 == 1)]
    punctuation[probed[alone // 2]] = True
    return space, punctuation
