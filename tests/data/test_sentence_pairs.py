"""Properties of pairs of segments.

The ids within a document are consecutive, so that a pair shows where its segments come
from.
"""

import collections
import random

import numpy as np
import pytest

from tfzoo.data.corpus import build_corpus
from tfzoo.data.pair_table import PairTable, rows_of_pairs, write_pairs
from tfzoo.data.running_text import RunningText
from tfzoo.data.sentence_pairs import Pair, sentence_pairs
from tfzoo.errors import DataError

NUMBERS = random.Random(0)
MANY = [
    [NUMBERS.randint(1, 12) for _ in range(NUMBERS.randint(2, 60))] for _ in "x" * 90
]


@pytest.fixture
def corpus_of(number_text, number_tokenizer, tmp_path):
    def build(documents):
        text = RunningText([number_text(documents)])
        tokenizer = number_tokenizer(100_000)
        return build_corpus(text, tokenizer, tmp_path, progress=False)

    return build


def segments(corpus, pair):
    a = corpus.tokens(pair.a_start, pair.a_start + pair.a_length).tolist()
    b = corpus.tokens(pair.b_start, pair.b_start + pair.b_length).tolist()
    return a, b


def places(documents):
    """Dict of id -> (document, sentence)."""
    found, token = {}, 10
    for d, lengths in enumerate(documents):
        for s, length in enumerate(lengths):
            found.update({token + i: (d, s) for i in range(length)})
            token += length
        token += 1
    return found


@pytest.mark.parametrize("max_sequence_length", [16, 64])
@pytest.mark.parametrize("short", [0.0, 0.1, 1.0])
def test_segments_are_text_and_the_label_tells_the_source_of_the_second(
    corpus_of, max_sequence_length, short
):
    corpus, place = corpus_of(MANY), places(MANY)
    pairs = list(
        sentence_pairs(
            corpus,
            max_sequence_length=max_sequence_length,
            short_sequence_fraction=short,
        )
    )
    assert len(pairs) > 100
    for pair in pairs:
        a, b = segments(corpus, pair)
        assert a and b and len(a) + len(b) <= max_sequence_length - 3
        assert a == list(range(a[0], a[-1] + 1)), "unbroken, in one document"
        assert b == list(range(b[0], b[-1] + 1))
        document_a, document_b = place[a[0]][0], place[b[0]][0]
        if pair.is_random:
            assert document_a != document_b
        else:
            assert document_a == document_b
            assert b[0] > a[-1]
            full = len(a) + len(b) == max_sequence_length - 3
            assert full or b[0] == a[-1] + 1, "cut only where it was too long"


def test_half_of_the_next_sentences_are_random(corpus_of):
    pairs = list(sentence_pairs(corpus_of([[5] * 400] * 12), max_sequence_length=32))
    share = np.mean([pair.is_random for pair in pairs])
    assert abs(share - 0.5) < 4 * np.sqrt(0.25 / len(pairs))


def test_a_pass_walks_through_each_document(corpus_of):
    """Sentences that start a first segment or follow it cover the whole corpus."""
    corpus, place = corpus_of(MANY), places(MANY)
    covered = collections.defaultdict(set)
    for pair in sentence_pairs(
        corpus, max_sequence_length=64, short_sequence_fraction=0.0
    ):
        a, b = segments(corpus, pair)
        for token in a if pair.is_random else a + b:
            covered[place[token][0]].add(place[token][1])
    share = sum(map(len, covered.values())) / corpus.num_sentences
    assert share > 0.98, "but for what truncation took"


def test_random_segments_come_from_everywhere(corpus_of):
    documents = [[4] * 100 for _ in range(30)]
    corpus, place = corpus_of(documents), places(documents)
    found = collections.Counter()
    for epoch in range(5):
        for pair in sentence_pairs(corpus, max_sequence_length=32, epoch=epoch):
            if pair.is_random:
                found[place[segments(corpus, pair)[1][0]][0]] += 1
    assert len(found) == 30
    assert max(found.values()) < 3 * min(found.values())


def test_a_long_sentence_is_truncated_at_both_ends(corpus_of):
    corpus = corpus_of([[200], [200]])
    fronts = collections.Counter()
    for epoch in range(50):
        for pair in sentence_pairs(
            corpus, max_sequence_length=23, short_sequence_fraction=0.0, epoch=epoch
        ):
            assert (pair.a_length, pair.b_length) == (10, 10)
            fronts[pair.a_start % 200] += 1
    lost = np.array(list(fronts.elements()))
    assert abs(lost.mean() - 95) < 4 * np.sqrt(190 / 4 / len(lost))
    assert 4 < lost.std() < 11, "of 190 tokens each goes by a toss"


def test_the_longer_segment_is_truncated_first(corpus_of):
    for pair in sentence_pairs(
        corpus_of([[3, 50], [4, 60]] * 20),
        max_sequence_length=23,
        short_sequence_fraction=0.0,
    ):
        lengths = (pair.a_length, pair.b_length)
        assert sum(lengths) <= 20
        if sum(lengths) == 20:
            assert min(lengths) in (3, 4, 10)


def test_short_sequences_have_the_requested_fraction(corpus_of):
    corpus = corpus_of([[1] * 3000, [1] * 3000])

    def lengths(fraction):
        pairs = sentence_pairs(
            corpus, max_sequence_length=103, short_sequence_fraction=fraction
        )
        return np.array([p.a_length + p.b_length for p in pairs if not p.is_random])

    assert (lengths(0.0) < 100).sum() <= 2, "where a document ends"
    assert 10 < lengths(1.0).mean() < 60
    short = lengths(0.1)
    assert 0.02 < np.mean(short < 100) < 0.25


def test_single_segments_use_each_token_once(corpus_of):
    corpus = corpus_of(MANY)
    used = []
    for pair in sentence_pairs(corpus, max_sequence_length=16, next_sentence=False):
        a, b = segments(corpus, pair)
        assert len(a) <= 14 and b == [] and a == list(range(a[0], a[-1] + 1))
        used += a
    assert used == corpus.tokens(0, corpus.num_tokens).tolist()


def test_one_document_suffices_for_single_segments_only(corpus_of):
    corpus = corpus_of([[5, 5, 5]])
    with pytest.raises(DataError, match="at least two documents.* Received: 1"):
        next(sentence_pairs(corpus, max_sequence_length=16))
    assert list(sentence_pairs(corpus, max_sequence_length=16, next_sentence=False))


def test_pairs_are_a_function_of_seed_and_epoch(corpus_of):
    corpus = corpus_of(MANY)

    def pairs(**arguments):
        return list(sentence_pairs(corpus, max_sequence_length=32, **arguments))

    assert pairs(seed=1, epoch=2) == pairs(seed=1, epoch=2)
    distinct = [pairs(), pairs(seed=1), pairs(epoch=1), pairs(seed=1, epoch=1)]
    assert len({tuple(p) for p in distinct}) == 4


def test_a_document_of_many_sentences_is_read_in_windows(corpus_of, monkeypatch):
    corpus = corpus_of([[1, 2, 3] * 300, [2] * 50])
    whole = list(sentence_pairs(corpus, max_sequence_length=16))
    monkeypatch.setattr("tfzoo.data.sentence_pairs._SENTENCES_AT_ONCE", 1)
    monkeypatch.setattr("tfzoo.data.sentence_pairs._DOCUMENTS_AT_ONCE", 1)
    assert list(sentence_pairs(corpus, max_sequence_length=16)) == whole


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_sequence_length": 4},
        {"max_sequence_length": 3, "next_sentence": False},
        {"max_sequence_length": 9, "short_sequence_fraction": 1.5},
        {"max_sequence_length": 9, "seed": -1},
        {"max_sequence_length": 9, "epoch": -1},
    ],
)
def test_wrong_arguments_are_refused(corpus_of, wrong):
    with pytest.raises(ValueError, match="Received"):
        next(sentence_pairs(corpus_of([[2], [2]]), **wrong))


def test_a_table_gives_the_pairs_back_in_any_order(corpus_of, tmp_path):
    corpus = corpus_of(MANY)
    pairs = list(sentence_pairs(corpus, max_sequence_length=32))
    count = write_pairs(tmp_path / "pairs", corpus, max_sequence_length=32)
    table = PairTable(tmp_path / "pairs")
    assert len(table) == count == len(pairs)
    assert [table[i] for i in (5, 0, count - 1)] == [pairs[5], pairs[0], pairs[-1]]
    left = set(tmp_path.rglob("*"))
    assert len(PairTable.temporary(corpus, max_sequence_length=32)) == count
    assert set(tmp_path.rglob("*")) == left


def test_rows_have_special_tokens_segments_and_a_mask(corpus_of, number_tokenizer):
    corpus, tokenizer = corpus_of([[3, 2], [4]]), number_tokenizer()
    pairs = [Pair(0, 3, 3, 2, 0), Pair(1, 2, 5, 3, 1), Pair(0, 1, 0, 0, 0)]
    ids, segment_ids, mask, is_random = rows_of_pairs(corpus, pairs, tokenizer, 8)
    assert ids.tolist() == [
        [2, 10, 11, 12, 3, 13, 14, 3],
        [2, 11, 12, 3, 16, 17, 18, 3],
        [2, 10, 3, 0, 0, 0, 0, 0],
    ]
    assert segment_ids.tolist() == [
        [0, 0, 0, 0, 0, 1, 1, 1],
        [0, 0, 0, 0, 1, 1, 1, 1],
        [0] * 8,
    ]
    assert mask.tolist() == [[1] * 8, [1] * 8, [1] * 3 + [0] * 5]
    assert is_random.tolist() == [0, 1, 0]
