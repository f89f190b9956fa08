import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.data.word_rows import (
    NO_WORD,
    encode_ragged,
    encode_sentences,
    targets_of_tokens,
)
from tfzoo.text import WordPieceTokenizer

SENTENCES = [
    ["the", "walking", "dog's", "U.S."],
    [],
    ["\u200b", "cat"],  # the first has no token
    ["walking"] * 20,
    [""],
]


@pytest.fixture(scope="module")
def tokenizer():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = ["the", "walk", "##ing", "dog", "'", "s", "u", ".", "cat"]
    return WordPieceTokenizer([*special, *words])


def reference(sentence, tokenizer, max_length):
    """Ids and word numbers of a sentence, word by word."""
    ids, numbers = [], []
    for number, word in enumerate(sentence):
        pieces = tokenizer.tokenize(word)
        ids += pieces
        numbers += [number, *[NO_WORD] * (len(pieces) - 1)][: len(pieces)]
    room = max_length - 2
    return (
        [tokenizer.cls_id, *ids[:room], tokenizer.sep_id],
        [NO_WORD, *numbers[:room], NO_WORD],
    )


@pytest.mark.parametrize("max_length", [3, 12, 100])
def test_both_engines_give_the_tokens_of_every_word(tokenizer, max_length):
    expected = [reference(s, tokenizer, max_length) for s in SENTENCES]
    words = tf.ragged.constant(SENTENCES, ragged_rank=1)
    for rows in (
        encode_sentences(SENTENCES, tokenizer, max_length=max_length),
        encode_ragged(words, tokenizer, max_length=max_length),
    ):
        ids, numbers = (ragged.to_list() for ragged in rows)
        assert list(zip(ids, numbers, strict=True)) == expected


@pytest.mark.parity
def test_transformers_gives_the_same_ids(tokenizer, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer.save_to_preset(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ids, numbers = encode_sentences(SENTENCES[:4], tokenizer, max_length=12)
    for sentence, row, words in zip(SENTENCES, ids, numbers, strict=False):
        encoding = theirs(
            sentence, is_split_into_words=True, truncation=True, max_length=12
        )
        assert encoding["input_ids"] == row.numpy().tolist()
        given = [NO_WORD if w is None else w for w in encoding.word_ids()]
        pairs = itertools.pairwise([None, *given])
        first = [NO_WORD if word == before else word for before, word in pairs]
        assert first == words.numpy().tolist()


def test_the_first_token_of_a_word_has_its_label_and_others_have_no_weight(tokenizer):
    sentences = SENTENCES[:3]
    splits = np.cumsum([0, *map(len, sentences)])
    labels = np.arange(10, 10 + splits[-1], dtype=np.int32)
    _, numbers = encode_sentences(sentences, tokenizer, max_length=100)
    targets, weights = targets_of_tokens(labels, splits, numbers)
    assert targets.to_list() == [
        [0, 10, 11, 0, 12, 0, 0, 13, 0, 0, 0, 0],
        [0, 0],
        [0, 15, 0],
    ]
    assert weights.to_list() == [
        [0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0],
        [0, 0],
        [0, 1, 0],
    ]


def test_no_sentences_have_no_rows(tokenizer):
    ids, numbers = encode_sentences([], tokenizer, max_length=9)
    assert ids.to_list() == numbers.to_list() == []
