import numpy as np
import pytest
import tensorflow as tf

from tfzoo.generation.choosing import drawn_ids, next_ids
from tfzoo.generation.history import history_of_prompts

V, DRAWS = 24, 50_000


def history(rows):
    return history_of_prompts(tf.zeros([rows, 4], tf.int32), tf.ones([rows], tf.int32))


def sampling_rules(rows, temperature=1.0, **others):
    rules = {
        "seeds": tf.zeros([rows], tf.int64) + 5,
        "counters": tf.range(rows),
        "temperature": tf.fill([rows], temperature),
    }
    return {**rules, **others}


@pytest.mark.parametrize("jit_compile", [False, True])
def test_frequencies_follow_the_distribution(jit_compile):
    logits = np.random.default_rng(0).normal(size=V).astype(np.float32)
    rules = sampling_rules(DRAWS, temperature=0.8)
    choose = tf.function(next_ids, autograph=False, jit_compile=jit_compile)
    ids = choose(tf.tile(logits[None], [DRAWS, 1]), history(DRAWS), rules).numpy()
    expected = np.exp(logits / 0.8) / np.exp(logits / 0.8).sum() * DRAWS
    observed = np.bincount(ids, minlength=V)
    chi_square = ((observed - expected) ** 2 / expected).sum()
    assert chi_square < 58  # 23 degrees of freedom: p = 1e-4


def test_frequencies_follow_the_warped_distribution():
    logits = np.random.default_rng(1).normal(size=V).astype(np.float32) * 2
    rules = sampling_rules(DRAWS, top_k=tf.fill([DRAWS], 5))
    ids = next_ids(tf.tile(logits[None], [DRAWS, 1]), history(DRAWS), rules).numpy()
    best = np.argsort(-logits)[:5]
    expected = np.exp(logits[best]) / np.exp(logits[best]).sum() * DRAWS
    observed = np.bincount(ids, minlength=V)
    assert observed.sum() == observed[best].sum()
    assert ((observed[best] - expected) ** 2 / expected).sum() < 24  # 4: p = 1e-4


def test_temperature_0_is_greedy_in_that_row_only():
    logits = tf.tile(tf.constant([[0.0, 0.1, 0.0, 0.0]]), [400, 1])
    rules = sampling_rules(400)
    rules["temperature"] = tf.cast(tf.range(400) % 2, tf.float32)
    ids = next_ids(logits, history(400), rules).numpy()
    assert set(ids[::2]) == {1}
    assert set(ids[1::2]) == {0, 1, 2, 3}


def test_without_seeds_the_most_likely_token_is_taken():
    logits = tf.constant([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    np.testing.assert_array_equal(next_ids(logits, history(2), {}), [1, 0])


@pytest.mark.parametrize("u", [0.0, 0.3, 1 - 2.0**-24])
def test_a_forbidden_token_is_never_drawn(u):
    row = np.full(1000, -np.inf, np.float32)
    row[[3, 500, 700]] = [0.0, -40.0, 0.5]
    assert int(drawn_ids(tf.constant(row[None]), tf.constant([u]))[0]) in (3, 500, 700)


def test_the_cumulative_probability_decides_the_draw():
    logits = tf.math.log(tf.constant([[0.1, 0.2, 0.3, 0.4]] * 5))
    u = tf.constant([0.05, 0.15, 0.35, 0.65, 0.999])
    np.testing.assert_array_equal(drawn_ids(logits, u), [0, 1, 2, 3, 3])
