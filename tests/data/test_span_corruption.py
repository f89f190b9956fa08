"""Span corruption: two rows with the whole text, of the lengths that T5 has."""

import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.data.span_corruption import SpanCorruption

END = 1
SENTINELS = tuple(range(999, 899, -1))
CORRUPTION = SpanCorruption(SENTINELS, END)


def lengths_of_t5(num_tokens, density, mean_span):
    """`compute_input_and_target_lengths` of t5's mesh code, with one sentinel more.

    In the paper's figure 2 the target ends in a sentinel, in that code it does not.
    """
    dropped = int(round(num_tokens * density))
    spans = int(round(dropped / mean_span))
    return num_tokens - dropped + spans + 1, dropped + spans + 1 + 1


def restored(source, target):
    """Source with each sentinel replaced by what follows it in the target."""
    spans, sentinel = collections.defaultdict(list), None
    for token in target[:-1].tolist():
        if token in SENTINELS:
            sentinel = token
        else:
            spans[sentinel].append(token)
    whole = []
    for token in source[:-1].tolist():
        whole += spans[token] if token in SENTINELS else [token]
    return whole


@given(
    st.integers(2, 300),
    st.sampled_from([0.15, 0.3, 0.5]),
    st.sampled_from([1.0, 3.0, 10.0]),
    st.integers(0, 1 << 32),
)
def test_source_and_target_together_are_the_text(num_tokens, density, mean_span, seed):
    ids = np.arange(2000, 2000 + num_tokens)
    sentinels = (*SENTINELS, *range(1000, 1200))
    noise = SpanCorruption(sentinels, END, density, mean_span)
    source, target = noise([ids[:1], ids[1:]], seed=(seed, 3))
    assert (len(source), len(target)) == noise.lengths(num_tokens)
    assert source[-1] == target[-1] == END
    spans = [x for x in source.tolist() if x in sentinels]
    assert spans == [*sentinels[: len(spans)]]
    assert [x for x in target.tolist() if x in sentinels] == [
        *sentinels[: len(spans) + 1]
    ]
    if len(spans) < len(SENTINELS):
        assert restored(source, target) == ids.tolist()


@pytest.mark.parametrize("num_tokens", [64, 128, 512, 568, 1137])
@pytest.mark.parametrize(
    ("density", "mean_span"), [(0.15, 3.0), (0.5, 3.0), (0.15, 10)]
)
def test_lengths_are_those_of_the_papers_code(num_tokens, density, mean_span):
    noise = SpanCorruption(SENTINELS, END, density, mean_span)
    assert noise.lengths(num_tokens) == lengths_of_t5(num_tokens, density, mean_span)


def test_a_source_of_512_tokens_has_the_papers_text_and_target():
    # 568 and 114 in the paper's code, whose target has no last sentinel
    assert CORRUPTION.window(512) == 568
    assert CORRUPTION.lengths(568) == (512, 114 + 1)
    for most in range(3, 200):
        window = CORRUPTION.window(most)
        assert CORRUPTION.lengths(window)[0] <= most
        assert CORRUPTION.lengths(window + 1)[0] > most


def test_every_token_but_the_first_is_dropped_equally_often():
    ids, counts, firsts = np.arange(2000, 2100), np.zeros(100), collections.Counter()
    for seed in range(2000):
        source, target = CORRUPTION([ids], seed=seed)
        dropped = target[target >= 2000] - 2000
        counts[dropped] += 1
        spans = np.flatnonzero(np.isin(target, SENTINELS))
        firsts[int(spans[1] - spans[0] - 1)] += 1
    assert counts.sum() == 2000 * 15
    assert counts[0] == 0 and counts[99] == 2000
    # In the middle 14 or 15 of 98 tokens, that is 0.15; six standard deviations
    assert abs(counts[10:90] / 2000 - 0.15).max() < 6 * np.sqrt(0.15 * 0.85 / 2000)
    mean = sum(length * n for length, n in firsts.items()) / 2000
    assert abs(mean - 3) < 0.25 and min(firsts) == 1 and max(firsts) > 6


def test_rows_are_a_function_of_the_seed():
    def row(*seed):
        return tuple(CORRUPTION([np.arange(100)], seed=seed)[0].tolist())

    assert row(0, 1, 2) == row(0, 1, 2)
    assert len({row(0, 0, 0), row(1, 0, 0), row(0, 1, 0), row(0, 0, 1)}) == 4


def test_too_few_sentinels_and_tokens_are_refused():
    with pytest.raises(ValueError, match="100 tokens requires 6 .*Received: 5"):
        SpanCorruption(SENTINELS[:5], END)([np.arange(100)], seed=0)
    with pytest.raises(ValueError, match="num_tokens .* >= 2. Received: 1"):
        CORRUPTION([np.arange(1)], seed=0)
    with pytest.raises(ValueError, match="max_source_length .* >= 3. Received: 2"):
        CORRUPTION.window(2)
    with pytest.raises(ValueError, match="density .*Received: 1.5"):
        SpanCorruption(SENTINELS, END, density=1.5)
    with pytest.raises(ValueError, match="mean_span .*Received: 0.5"):
        SpanCorruption(SENTINELS, END, mean_span=0.5)
