"""A byte-level BPE as integer arrays for the graph engine."""

import dataclasses

import numpy as np

from tfzoo.text.byte_bpe.byte_alphabet import ALPHABET, CHARACTERS
from tfzoo.text.byte_bpe.merge_table import MergeTable, merge_table
from tfzoo.text.double_array_trie import DoubleArrayTrie, double_array_trie

NO_TOKEN = -1
LONGEST_WORD = 64  # bytes; merges make longer ones, unless they are ignored
STARTS_WORD = 256  # added to the first byte of a word


@dataclasses.dataclass(frozen=True)
class ByteBPETables:
    """Tables of a byte-level BPE for the graph; arrays are int32.

    Attributes:
        single: (256,), id of every byte; NO_TOKEN for one that vanishes.
        last: (256,), id of every byte at the end of a word.
        merges: The merges of ids.
        words: Ids of the words that are a single token. Keys are their bytes, the first
            plus STARTS_WORD.
    """

    single: np.ndarray
    last: np.ndarray
    merges: MergeTable
    words: DoubleArrayTrie


def byte_bpe_tables(tokenizer):
    """The tables of a `ByteBPETokenizer`."""
    ids = {token: i for i, token in enumerate(tokenizer.vocabulary) if token}
    suffix = tokenizer.end_of_word_suffix
    merges = [(ids[a], ids[b], ids[a + b]) for a, b in tokenizer.merges]
    left, right, made = np.array(merges, np.int64).reshape(-1, 3).T
    words = _words(tokenizer, ids)
    of_byte = {ord(character): byte for byte, character in enumerate(CHARACTERS)}
    keys = [word.translate(of_byte) for word in words]
    keys = [chr(ord(key[0]) + STARTS_WORD) + key[1:] for key in keys]
    return ByteBPETables(
        single=np.array([ids.get(c, NO_TOKEN) for c in CHARACTERS], np.int32),
        last=np.array([ids.get(c + suffix, NO_TOKEN) for c in CHARACTERS], np.int32),
        merges=merge_table(left, right, made, tokenizer.vocabulary_size),
        words=double_array_trie(keys, list(words.values()), 2 * STARTS_WORD),
    )


def _words(tokenizer, ids):
    """Dict of word -> id of the words that are a single token."""
    suffix = tokenizer.end_of_word_suffix
    candidates = dict.fromkeys(token.removesuffix(suffix) for token in ids)
    if suffix and tokenizer.ignore_merges:
        candidates |= dict.fromkeys(ids)
    candidates = [
        word
        for word in candidates
        if word
        and ALPHABET.issuperset(word)
        and (len(word) <= LONGEST_WORD or tokenizer.ignore_merges)
    ]
    if tokenizer.ignore_merges and not suffix:
        return {word: ids[word] for word in candidates}
    tokens = zip(candidates, tokenizer.encode_words(candidates), strict=True)
    return {word: token for word, (token, *others) in tokens if not others}
