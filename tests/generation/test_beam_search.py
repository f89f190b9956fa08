import itertools

import numpy as np
import pytest
import tensorflow as tf

from helpers import beams_by_numpy
from tfzoo.generation.beam_search import BeamSearch
from tfzoo.generation.compiled import CompiledGeneration


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_equals_numpy(compiled, generate, next_logits, prompts, length_penalty):
    options = dict(num_beams=3, length_penalty=length_penalty)
    results = generate(
        compiled,
        prompts,
        end_ids=[7],
        max_new_tokens=6,
        early_stopping="never",
        num_return_sequences=3,
        **options,
    )
    for prompt, found in zip(prompts, results, strict=True):
        expected = beams_by_numpy(next_logits, prompt, num_new=6, ends=[7], **options)
        assert [ids for ids, _ in found] == [ids for ids, _ in expected]
        np.testing.assert_allclose(
            [score for _, score in found], [score for _, score in expected], atol=1e-4
        )


@pytest.mark.parametrize("length_penalty", [1.0, 3.0])
def test_a_longer_text_may_beat_all_finished_ones(
    compiled, generate, next_logits, prompts, length_penalty
):
    """If length is rewarded, a running text may overtake the finished ones."""
    options = dict(num_beams=2, length_penalty=length_penalty)
    ends = list(range(25))
    found = generate(
        compiled,
        prompts,
        end_ids=ends,
        max_new_tokens=10,
        early_stopping="never",
        **options,
    )
    for prompt, [(ids, score)] in zip(prompts, found, strict=True):
        expected, *_ = beams_by_numpy(
            next_logits, prompt, num_new=10, ends=ends, **options
        )
        assert (ids, score) == (expected[0], pytest.approx(expected[1], abs=1e-4))


def test_a_text_that_ends_behind_the_best_candidates_is_no_result(bigrams):
    after_3, after_others = [0.2, 0.4, 0.35, 0.05], [0.25] * 4
    decoders = [bigrams([*[after_others] * 3, after_3])]
    search, limits = BeamSearch(2), tf.constant([2])
    rules = {"end_ids": tf.constant([0]), "length_penalty": tf.constant(0.0)}
    state = search.begin(decoders, tf.constant([[3]]), tf.constant([1]), limits, rules)
    state = search.advance(
        decoders, search.grow(state, 4), limits, rules, num_steps=tf.constant(1)
    )
    # The end at once, with 0.2, is the third candidate; all longer texts have 0.1.
    assert search.results(state, 2).counts.numpy().tolist() == [2, 2]


def test_a_search_goes_on_while_the_worst_finished_text_can_be_beaten(bigrams):
    after_3, after_1 = [0.6, 0.38, 0.01, 0.01], [0.1, 0.88, 0.01, 0.01]
    decoders = [bigrams([[0.25] * 4, after_1, [0.25] * 4, after_3])]
    search, limits = BeamSearch(2), tf.constant([3])
    rules = {"end_ids": tf.constant([0]), "length_penalty": tf.constant(0.0)}
    state = search.begin(decoders, tf.constant([[3]]), tf.constant([1]), limits, rules)
    state = search.advance(
        decoders, search.grow(state, 5), limits, rules, num_steps=tf.constant(2)
    )
    # 0 has 0.6, and 1 0 has 0.038; then 1 1 1 has 0.29.
    assert search.results(state, 3).tokens.numpy().tolist() == [[0, 0, 0], [1, 1, 1]]
    assert search.results(state, 3).counts.numpy().tolist() == [1, 3]


def test_a_wide_beam_finds_the_best_of_all_sequences(generate, make_decoder):
    decoder = make_decoder(vocabulary_size=6)
    compiled = CompiledGeneration(decoder, jit_compile=False)
    options = dict(num_beams=36, max_new_tokens=3)
    [[(found, score)]] = generate(compiled, [[1, 2]], **options)
    every = np.array(list(itertools.product(range(6), repeat=3)), np.int32)
    ids = np.concatenate([np.tile([1, 2], (len(every), 1)), every], axis=1)
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    logits = np.asarray(decoder.logits(decoder(inputs)))[:, 1:-1]
    scores = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    sums = np.take_along_axis(scores, every[..., None], axis=2).sum((1, 2))
    assert found == every[sums.argmax()].tolist()
    assert score == pytest.approx(sums.max() / 3, abs=1e-5)


def test_a_batch_gives_what_each_prompt_gives(compiled, generate, prompts):
    options = dict(num_beams=3, num_return_sequences=2, max_new_tokens=40)
    together = generate(compiled, prompts, end_ids=[3, 9], **options)
    for prompt, group in zip(prompts, together, strict=True):
        [alone] = generate(compiled, [prompt], end_ids=[3, 9], **options)
        assert [ids for ids, _ in alone] == [ids for ids, _ in group]


@pytest.mark.slow
def test_graph_and_xla_agree(decoder, compiled, generate, prompts):
    xla = CompiledGeneration(decoder, jit_compile=True)
    options = dict(num_beams=2, max_new_tokens=35, no_repeat_ngram_size=2)
    ours, graph = (
        generate(xla, prompts, **options),
        generate(compiled, prompts, **options),
    )
    assert [g[0][0] for g in ours] == [g[0][0] for g in graph]


def test_early_stopping_ends_with_the_first_finished_beams(compiled, generate, prompts):
    lengths = {
        stop: sum(
            len(group[0][0])
            for group in generate(
                compiled,
                prompts,
                end_ids=list(range(20)),
                max_new_tokens=30,
                num_beams=2,
                early_stopping=stop,
                length_penalty=2.0,
            )
        )
        for stop in (True, "never")
    }
    assert lengths[True] < lengths["never"]
