"""A byte-level BPE as integer arrays for the graph engine."""

import dataclasses

import numpy as np

from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS, bytes_of
from tfzoo.text.byte_bpe.merge_table import MergeTable, merge_table
from tfzoo.text.byte_bpe.rust import bpe_model
from tfzoo.text.double_array_trie import DoubleArrayTrie, double_array_trie

NO_TOKEN = -1
LONGEST_WORD = 64  # bytes; a longer one is only looked up if merges do not make it
STARTS_WORD = 1  # lowest bit of a symbol of the trie; the other bits are the byte


@dataclasses.dataclass(frozen=True)
class ByteBPETables:
    """Tables of a byte-level BPE for the graph; arrays are int32.

    Attributes:
        single: (256,), id of every byte; NO_TOKEN for one that vanishes.
        last: (256,), id of every byte at the end of a word.
        merges: The merges of ids.
        words: Ids of the words that are a single token. Keys are their bytes, each
            `byte << 1`, the first with the bit STARTS_WORD.
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
    keys = []
    for word in words:
        first, *others = (byte << 1 for byte in bytes_of(word))
        keys.append((first | STARTS_WORD, *others))
    return ByteBPETables(
        single=np.array([ids.get(c, NO_TOKEN) for c in CHARACTERS], np.int32),
        last=np.array([ids.get(c + suffix, NO_TOKEN) for c in CHARACTERS], np.int32),
        merges=merge_table(left, right, made, tokenizer.vocabulary_size),
        words=double_array_trie(keys, list(words.values()), 2 * len(CHARACTERS)),
    )


def _words(tokenizer, ids):
    """Dict of word -> id of the words that are a single token."""
    suffix, alphabet = tokenizer.end_of_word_suffix, set(CHARACTERS)
    candidates = dict.fromkeys(token.removesuffix(suffix) for token in ids)
    if suffix and tokenizer.ignore_merges:
        candidates |= dict.fromkeys(ids)
    encode = bpe_model(tokenizer, ignore_merges=tokenizer.ignore_merges).tokenize
    merge = bpe_model(tokenizer).tokenize
    words = {}
    for word in candidates:
        if not word or not alphabet.issuperset(word):
            continue
        tokens = encode(word)
        if len(tokens) == 1 and (len(word) <= LONGEST_WORD or len(merge(word)) > 1):
            words[word] = tokens[0].id
    return words
