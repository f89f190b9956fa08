"""A WordPiece vocabulary as integer arrays for the graph engine.

The entry of a code point is `letter << 3 | flags`, where letter is its number in the
vocabulary's alphabet (0 if missing), or `~row` if the normalizer removes it or replaces
it by several or a mark. A symbol of the trie is an entry without its two lowest flags,
`letter << 1 | starts_word`: the tokens "ing" and "##ing" differ in their first symbol.
"""

import collections
import dataclasses

import numpy as np

from tfzoo.text.double_array_trie import DoubleArrayTrie, double_array_trie
from tfzoo.text.wordpiece import codepoint_tables
from tfzoo.text.wordpiece.rust import MAX_WORD_LENGTH, PREFIX

ENDS_WORD, IN_WORD, STARTS_WORD = 1, 2, 4
SPACE, LETTER, ALONE = ENDS_WORD, IN_WORD, ENDS_WORD | IN_WORD | STARTS_WORD
MASK_STAND_IN = "\ue000"  # a private character, which the normalizer removes from texts


@dataclasses.dataclass(frozen=True)
class WordPieceTables:
    """Tables of a vocabulary for the graph; arrays are int32.

    Attributes:
        pages: With `blocks`, the entries of code points: see `two_level`.
        blocks: See `pages`.
        expansions: The entries of all rows, concatenated.
        row_starts: Index in `expansions` at which each row starts.
        row_lengths: Number of entries of each row.
        mark_order: Canonical combining class of every entry of `expansions`.
        mask_entry: The entry of the mask token.
        trie: All tokens that may occur in a text.
    """

    pages: np.ndarray
    blocks: np.ndarray
    expansions: np.ndarray
    row_starts: np.ndarray
    row_lengths: np.ndarray
    mark_order: np.ndarray
    mask_entry: int
    trie: DoubleArrayTrie


def wordpiece_tables(tokenizer):
    """The tables of a `WordPieceTokenizer`."""
    characters = collections.Counter("".join(tokenizer.vocabulary)).most_common()
    letters = {c: number for number, (c, _) in enumerate(characters, 1)}
    mask_letter = len(letters) + 1
    norm = codepoint_tables.normalization(
        lowercase=tokenizer.lowercase, strip_accents=_strips_accents(tokenizer)
    )
    entries = np.full(codepoint_tables.NUM_CODE_POINTS, LETTER, np.int32)
    entries[norm.space] = SPACE
    entries[norm.punctuation] = ALONE
    entries[list(map(ord, letters))] |= np.array(list(letters.values())) << 3
    rows = np.concatenate(norm.expansions).astype(np.int32)
    row_lengths = np.array([len(row) for row in norm.expansions], np.int32)
    table = np.where(norm.single < 0, norm.single, entries[norm.single])
    if tokenizer.split_cjk:
        table[norm.ideograph & (norm.single >= 0)] |= ALONE
    pages, blocks = codepoint_tables.two_level(table)
    return WordPieceTables(
        pages=pages,
        blocks=blocks,
        expansions=entries[rows],
        row_starts=np.cumsum(row_lengths, dtype=np.int32) - row_lengths,
        row_lengths=row_lengths,
        mark_order=norm.mark_order[rows],
        mask_entry=mask_letter << 3 | ALONE,
        trie=_trie(tokenizer, letters, mask_letter),
    )


def _strips_accents(tokenizer):
    strip_accents = tokenizer.strip_accents
    return tokenizer.lowercase if strip_accents is None else strip_accents


def _trie(tokenizer, letters, mask_letter):
    keys = {}
    for index, token in enumerate(tokenizer.vocabulary):
        starts_word = not (token.startswith(PREFIX) and token != PREFIX)
        token = token if starts_word else token[len(PREFIX) :]
        if len(token) <= MAX_WORD_LENGTH:
            first, *others = (letters[character] << 1 for character in token)
            keys[(first | starts_word, *others)] = index
    if tokenizer.mask_id is not None:
        keys[(mask_letter << 1 | 1,)] = tokenizer.mask_id
    return double_array_trie(list(keys), list(keys.values()), 2 * (mask_letter + 1))
