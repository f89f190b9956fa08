"""Noise: each kind changes what it says and nothing else."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.data.denoising import (
    Denoising,
    deleted_tokens,
    infilled_spans,
    masked_tokens,
    permuted_sentences,
    rotated_text,
)

MASK, END, BEGIN = 3, 2, 1
IDS = np.arange(10, 110)
NONE = dict(permuted=False, infilled=0.0)
fractions = st.floats(0, 1)
seeds = st.integers(0, 1 << 32)


def generator(seed=0):
    return np.random.default_rng(seed)


def is_subsequence(some, of):
    rest = iter(of)
    return all(x in rest for x in some)


@given(st.integers(1, 60), fractions, seeds)
def test_masks_replace_exactly_a_fraction(count, fraction, seed):
    ids = IDS[:count]
    masked = masked_tokens(ids, fraction, MASK, generator(seed))
    assert (masked == MASK).sum() == round(count * fraction)
    np.testing.assert_array_equal(masked[masked != MASK], ids[masked != MASK])


@given(st.integers(1, 60), fractions, seeds)
def test_deletion_leaves_the_others_in_order(count, fraction, seed):
    left = deleted_tokens(IDS[:count], fraction, generator(seed))
    assert len(left) == max(count - round(count * fraction), 1)
    assert is_subsequence(left, IDS[:count])


@given(st.integers(1, 60), fractions, st.floats(0.1, 20), seeds)
def test_infilling_removes_exactly_a_fraction(count, fraction, mean_span, seed):
    ids = IDS[:count]
    noisy = infilled_spans(ids, fraction, mean_span, MASK, generator(seed))
    kept = noisy[noisy != MASK]
    assert len(kept) == count - round(count * fraction)
    assert is_subsequence(kept, ids)
    assert len(noisy) <= count
    # A mask between tokens that follow each other inserts; the others fill a gap.
    pieces = np.split(noisy, np.flatnonzero(noisy != MASK))
    gaps = np.diff([9, *kept, 10 + count]) - 1
    for piece, gap in zip(pieces, gaps, strict=True):
        assert gap == 0 or MASK in piece


def test_lengths_of_infilled_spans_have_a_poisson_distribution():
    ids = np.arange(10, 100_010)
    noisy = infilled_spans(ids, 0.3, 3.0, MASK, generator())
    masks = noisy == MASK
    assert abs(masks.sum() / 10_000 - 1) < 0.05  # 30,000 tokens in spans of 3
    # Single masks after a kept token: by their gaps, the lengths of the spans
    alone = np.flatnonzero(masks[1:-1] & ~masks[:-2] & ~masks[2:]) + 1
    found = np.bincount(noisy[alone + 1] - noisy[alone - 1] - 1, minlength=12)
    expected = np.cumprod([np.exp(-3.0), *(3 / np.arange(1, 12))])
    assert abs(found[:12] / found.sum() - expected).max() < 0.02


def test_sentences_stay_whole_in_every_order():
    sentences = [np.array([10]), np.array([11, 12]), np.array([13, 14, 15])]
    found = {
        tuple(permuted_sentences(sentences, generator(seed)).tolist())
        for seed in range(200)
    }
    assert found == {
        tuple(np.concatenate(order).tolist())
        for order in itertools.permutations(sentences)
    }


def test_a_rotated_text_begins_at_every_token():
    found = {tuple(rotated_text(IDS[:5], generator(s)).tolist()) for s in range(200)}
    text = IDS[:5].tolist()
    assert found == {(*text[i:], *text[:i]) for i in range(5)}


def test_the_target_is_the_text_between_special_tokens():
    sentences = [IDS[:40], IDS[40:]]
    text = IDS.tolist()
    noise = Denoising(MASK, END, BEGIN)
    source, target = noise(sentences, seed=(0, 1, 2))
    assert target.tolist() == [BEGIN, *text, END]
    assert (source[0], source[-1]) == (BEGIN, END)
    assert sum(x in source for x in text) == 70
    assert target.dtype == source.dtype == np.int32
    source, target = Denoising(MASK, END, **NONE)(sentences, seed=0)
    assert source.tolist() == target.tolist() == [*text, END]


@pytest.mark.parametrize(
    "kind",
    [
        {"permuted": True},
        {"deleted": 0.2},
        {"infilled": 0.2},
        {"infilled": 0.2, "mean_span": 9.0},
        {"masked": 0.2},
        {"rotated": True},
    ],
)
def test_each_kind_of_noise_changes_the_source(kind):
    sentences = np.split(IDS, 20)
    noise = Denoising(MASK, END, **{**NONE, **kind})
    plain = Denoising(MASK, END, **NONE)(sentences, seed=0)[0]
    sources = [noise(sentences, seed=seed)[0].tolist() for seed in (0, 0, 1)]
    assert plain.tolist() != sources[0] == sources[1] != sources[2]


@given(st.integers(1, 60), fractions, fractions, fractions, seeds)
def test_sources_are_no_longer_than_lengths_says(
    count, deleted, infilled, masked, seed
):
    noise = Denoising(
        MASK,
        END,
        BEGIN,
        deleted=deleted,
        infilled=infilled,
        masked=masked,
        rotated=True,
        mean_span=1.0,
    )
    source, target = noise(np.array_split(IDS[:count], 3), seed=seed)
    most, exact = noise.lengths(count)
    assert 3 <= len(source) <= most and len(target) == exact
    assert noise.window(most) == count


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="deleted must be in .*Received: 1.5"):
        Denoising(MASK, END, deleted=1.5)
    with pytest.raises(ValueError, match="mean_span must be > 0. Received: 0"):
        Denoising(MASK, END, mean_span=0)
    with pytest.raises(ValueError, match="permuted must be True or False"):
        Denoising(MASK, END, permuted=1)
    with pytest.raises(ValueError, match="max_source_length .* >= 3. Received: 2"):
        Denoising(MASK, END, BEGIN).window(2)
