"""A byte-level BPE as integer arrays for the graph engine.

The entry of a code point is `(bytes of its UTF-8 - 1) << 4 | kind`. The lowest two bits
of a kind are its class in GPT-2's pattern: space, letter, number or other; the third
bit marks the two characters that the pattern names, the space U+0020 and the
apostrophe.

Source of the pattern: `encoder.py` of Radford et al. 2019,
https://github.com/openai/gpt-2; the classes of characters are those of the installed
engine, with its version of Unicode.
"""

import dataclasses
import functools

import numpy as np
from tokenizers import Regex, normalizers

from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS, bytes_of
from tfzoo.text.byte_bpe.merge_table import NUM_BYTES, MergeTable, merge_table
from tfzoo.text.byte_bpe.rust import bpe_model
from tfzoo.text.double_array_trie import DoubleArrayTrie, double_array_trie
from tfzoo.text.wordpiece import codepoint_tables

SPACE, LETTER, NUMBER, OTHER = 0, 1, 2, 3
CLASS, NAMED, KIND, LENGTH_SHIFT = 3, 4, 15, 4
BLANK, APOSTROPHE = SPACE | NAMED, OTHER | NAMED
LONGEST_WORD = 64  # bytes; a longer one is not looked up
STARTS_WORD = 1  # lowest bit of a symbol of the trie; the other bits are the byte
_PATTERNS = {LETTER: r"\p{L}+", NUMBER: r"\p{N}+", SPACE: r"\s+"}


@dataclasses.dataclass(frozen=True)
class ByteBPETables:
    """Tables of a byte-level BPE for the graph; arrays are int32.

    Attributes:
        pages: With `blocks`, the entries of code points: see `two_level`.
        blocks: See `pages`.
        merges: The merges, as symbols.
        ids: Id of every symbol.
        words: Symbols of the words that are a single token. Keys are their bytes, each
            `byte << 1`, the first with the bit STARTS_WORD.
    """

    pages: np.ndarray
    blocks: np.ndarray
    merges: MergeTable
    ids: np.ndarray
    words: DoubleArrayTrie


def byte_bpe_tables(tokenizer):
    """The tables of a `ByteBPETokenizer`."""
    tokens = [*CHARACTERS, *(a + b for a, b in tokenizer.merges)]
    symbols = {token: symbol for symbol, token in enumerate(tokens)}
    sides = np.array([[symbols[a], symbols[b]] for a, b in tokenizer.merges], np.int64)
    left, right = sides.reshape(-1, 2).T
    model = bpe_model(tokenizer)
    keys, values = [], []
    for symbol, token in enumerate(tokens):
        if len(token) <= LONGEST_WORD and len(model.tokenize(token)) == 1:
            first, *others = (byte << 1 for byte in bytes_of(token))
            keys.append((first | STARTS_WORD, *others))
            values.append(symbol)
    pages, blocks = code_point_entries()
    return ByteBPETables(
        pages=pages,
        blocks=blocks,
        merges=merge_table(left, right),
        ids=np.array([tokenizer.token_to_id(t) for t in tokens], np.int32),
        words=double_array_trie(keys, values, 2 * NUM_BYTES),
    )


@functools.cache
def code_point_entries():
    """The entries of all code points, in the layout of `two_level`."""
    code_points = np.arange(codepoint_tables.NUM_CODE_POINTS, dtype=np.int32)
    rest = code_points[(code_points < 0xD800) | (code_points >= 0xE000)]
    kinds = np.full(len(code_points), OTHER, np.int32)
    for kind, pattern in _PATTERNS.items():
        text = rest.astype("<u4").tobytes().decode("utf-32-le")
        text = normalizers.Replace(Regex(pattern), "").normalize_str(text)
        others = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.int32)
        kinds[np.setdiff1d(rest, others, assume_unique=True)] = kind
        rest = others
    kinds[[ord(" "), ord("'")]] |= NAMED
    lengths = np.searchsorted([0x80, 0x800, 0x10000], code_points, side="right")
    return codepoint_tables.two_level(
        (lengths << LENGTH_SHIFT | kinds).astype(np.int32)
    )
