"""Masked words, against counts in NumPy and the algorithm of Google's code."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.data.masking import WordMasking
from tfzoo.errors import TokenizerError
from tfzoo.text import WordPieceTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [f"w{i}" for i in range(400)] + [f"##w{i}" for i in range(400)]
LENGTH, ROWS = 64, 256


@pytest.fixture(scope="module")
def word_tokenizer():
    return WordPieceTokenizer(SPECIAL + WORDS)


@pytest.fixture(scope="module")
def rows(word_tokenizer):
    """[CLS] words [SEP] words [SEP] [PAD]...: ids and mask (ROWS, LENGTH)."""
    random = np.random.default_rng(0)
    ids = random.integers(5, len(SPECIAL + WORDS), (ROWS, LENGTH)).astype(np.int32)
    lengths = random.integers(6, LENGTH + 1, ROWS)
    lengths[:3] = [LENGTH, 6, 7]
    mask = (np.arange(LENGTH) < lengths[:, None]).astype(np.int32)
    ids[:, 0] = word_tokenizer.cls_id
    for row, length in enumerate(lengths):
        ids[row, length // 2] = ids[row, length - 1] = word_tokenizer.sep_id
    return ids * mask, mask


def masked(tokenizer, rows, seed=(0, 0), masking=None, **options):
    options = {"max_sequence_length": LENGTH, **options}
    masking = masking or tf.function(WordMasking(tokenizer, **options))
    return [x.numpy() for x in masking(*rows, tf.constant(seed, tf.int64))]


@pytest.mark.parametrize("whole_word", [False, True])
@pytest.mark.parametrize(("fraction", "most"), [(0.15, 20), (0.15, 5), (0.5, 64)])
def test_selected_positions_words_and_weights(
    word_tokenizer, rows, whole_word, fraction, most
):
    seen, positions, words, weights = masked(
        word_tokenizer,
        rows,
        whole_word=whole_word,
        masked_fraction=fraction,
        max_predictions=most,
    )
    ids, mask = rows
    assert positions.shape == words.shape == weights.shape == (ROWS, most)
    for row in range(ROWS):
        tokens = mask[row].sum()
        wanted = min(most, max(1, round(tokens * fraction)))
        real = weights[row] == 1
        count = real.sum()
        assert real[:count].all(), "what is there comes first"
        assert count == min(wanted, tokens - 3) if not whole_word else count <= wanted
        chosen = positions[row, :count]
        assert (np.diff(chosen) > 0).all()
        assert not np.isin(ids[row, chosen], range(5)).any(), "no special token"
        assert (chosen < tokens).all()
        assert (words[row, :count] == ids[row, chosen]).all()
        assert not positions[row, count:].any() and not words[row, count:].any()
        others = np.delete(np.arange(LENGTH), chosen)
        assert (seen[row, others] == ids[row, others]).all()


def test_fractions_of_masked_kept_and_random_tokens(word_tokenizer, rows):
    masking = tf.function(WordMasking(word_tokenizer, max_sequence_length=LENGTH))
    total, same, mask, other = 0, 0, 0, []
    for seed in range(20):
        seen, positions, words, weights = masked(
            word_tokenizer, rows, (1, seed), masking
        )
        there = np.take_along_axis(seen, positions, 1)[weights == 1]
        total += there.size
        mask += (there == word_tokenizer.mask_id).sum()
        same += (there == words[weights == 1]).sum()
        other.append(there[(there != word_tokenizer.mask_id)])
    size = word_tokenizer.vocabulary_size
    for count, share in ((mask, 0.8 + 0.1 / size), (same, 0.1 + 0.1 / size)):
        assert abs(count / total - share) < 4 * np.sqrt(share * (1 - share) / total)
    assert len(np.unique(np.concatenate(other))) > 0.7 * size, "any id may stand there"


def test_every_token_is_chosen_equally_often(word_tokenizer):
    row = np.arange(5, 5 + LENGTH)[None].astype(np.int32)
    row[0, [0, -1]] = word_tokenizer.cls_id, word_tokenizer.sep_id
    many = np.repeat(row, 4000, 0), np.ones((4000, LENGTH), np.int32)
    _, positions, _, weights = masked(word_tokenizer, many)
    counts = np.bincount(positions[weights == 1], minlength=LENGTH)
    expected = 4000 * round(LENGTH * 0.15) / (LENGTH - 2)
    assert counts[[0, -1]].tolist() == [0, 0]
    spread = ((counts[1:-1] - expected) ** 2 / expected).sum()
    assert spread < 61 + 5 * np.sqrt(2 * 61)


def words_of(tokenizer, ids):
    """Positions of each word: a piece continues the word before it unless special."""
    found = []
    for position, token in enumerate(ids):
        if token in range(5):
            found.append(None)
        elif tokenizer.continues[token] and found and found[-1] is not None:
            found[-1].append(position)
        else:
            found.append([position])
    return [word for word in found if word]


def test_whole_words_are_selected_entirely(word_tokenizer, rows):
    ids, mask = rows
    _, positions, _, weights = masked(word_tokenizer, rows, whole_word=True)
    for row in range(ROWS):
        chosen = set(positions[row][weights[row] == 1].tolist())
        words = words_of(word_tokenizer, ids[row, : mask[row].sum()])
        for word in words:
            assert chosen.isdisjoint(word) or chosen.issuperset(word)
        # As in a walk over shuffled words: a word is skipped only if it did not fit.
        wanted = min(20, max(1, round(int(mask[row].sum()) * 0.15)))
        for word in words:
            if chosen.isdisjoint(word):
                assert len(chosen) + len(word) > wanted


def test_whole_words_are_as_likely_as_in_a_walk_over_shuffled_words(word_tokenizer):
    lengths = [1, 1, 2, 3, 5, 1, 2, 1, 4]
    ids = [word_tokenizer.cls_id]
    for length in lengths:
        ids += [5] + [405] * (length - 1)
    ids += [word_tokenizer.sep_id]
    many = np.repeat(np.array([ids], np.int32), 20_000, 0)
    options = {"max_sequence_length": len(ids), "masked_fraction": 0.25}
    _, positions, _, weights = masked(
        word_tokenizer, (many, np.ones_like(many)), whole_word=True, **options
    )
    starts = 1 + np.cumsum([0, *lengths[:-1]])
    counts = np.bincount(positions[weights == 1], minlength=len(ids))[starts]
    wanted = round(len(ids) * 0.25)
    random, expected = np.random.default_rng(0), np.zeros(len(lengths))
    for _ in range(20_000):
        left = wanted
        for word in random.permutation(len(lengths)):
            if lengths[word] <= left:
                left -= lengths[word]
                expected[word] += 1
    assert np.abs(counts - expected).max() < 5 * np.sqrt(2 * 20_000 / 4)


def test_masks_are_a_function_of_the_seed(word_tokenizer, rows):
    first = masked(word_tokenizer, rows, (3, 4))
    tf.random.set_seed(5)
    again = masked(word_tokenizer, rows, (3, 4))
    assert all(np.array_equal(x, y) for x, y in zip(first, again, strict=True))
    for seed in ((3, 5), (4, 4)):
        assert not np.array_equal(masked(word_tokenizer, rows, seed)[1], first[1])


@pytest.mark.parametrize("whole_word", [False, True])
def test_rows_without_words_have_nothing_to_predict(word_tokenizer, whole_word):
    ids = np.array([[2, 3, 3, 0], [0, 0, 0, 0], [2, 9, 3, 3]], np.int32)
    mask = np.array([[1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], np.int32)
    options = {"max_sequence_length": 4, "max_predictions": 2}
    seen, positions, _, weights = masked(
        word_tokenizer, (ids, mask), whole_word=whole_word, **options
    )
    assert weights.tolist() == [[0, 0], [0, 0], [1, 0]]
    assert positions.tolist() == [[0, 0], [0, 0], [1, 0]]
    assert (seen[:2] == ids[:2]).all()


def test_wrong_sizes_and_vocabularies_are_refused(word_tokenizer):
    for wrong in ({"max_predictions": 0}, {"max_predictions": 9}):
        with pytest.raises(ValueError, match="max_predictions must be in"):
            WordMasking(word_tokenizer, max_sequence_length=8, **wrong)
    for fraction in (0.0, 1.1):
        with pytest.raises(ValueError, match="masked_fraction must be in"):
            WordMasking(
                word_tokenizer,
                max_sequence_length=8,
                max_predictions=2,
                masked_fraction=fraction,
            )
    for token in ("[MASK]", "[CLS]", "[SEP]", "[PAD]"):
        without = WordPieceTokenizer([t for t in SPECIAL + WORDS if t != token])
        with pytest.raises(TokenizerError, match=rf"contain the .* \[{token[1:-1]}\]"):
            WordMasking(without, max_sequence_length=8, max_predictions=2)
