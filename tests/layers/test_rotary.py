"""Scaled rotary positions, against the papers' formulas, pair by pair."""

import math

import numpy as np
import pytest

from tfzoo.layers import Rotary

H, THETA, ORIGINAL = 16, 10000.0, 64
LLAMA_3 = dict(
    rope_type="llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=ORIGINAL,
)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=ORIGINAL)


def unscaled(i):
    return THETA ** (-2 * i / H)


def linear(i):
    return unscaled(i) / 3.0


def llama3(i):
    """Grattafiori et al. 2024, by wavelengths."""
    frequency = unscaled(i)
    length = 2 * math.pi / frequency
    if length < ORIGINAL / 4.0:
        return frequency
    if length > ORIGINAL / 1.0:
        return frequency / 8.0
    smooth = (ORIGINAL / length - 1.0) / (4.0 - 1.0)
    return (1 - smooth) * frequency / 8.0 + smooth * frequency


def yarn(i):
    """Peng et al. 2023, section 3.2, with the pairs' indices as bounds."""

    def index(turns):
        length = ORIGINAL / turns
        return H / 2 * math.log(length / (2 * math.pi)) / math.log(THETA)

    low, high = max(0, math.floor(index(32))), math.ceil(index(1))
    ramp = min(1, max(0, (i - low) / (high - low)))
    return (1 - ramp) * unscaled(i) + ramp * unscaled(i) / 4.0


@pytest.mark.parametrize(
    ("scaling", "expected", "factor"),
    [
        (None, unscaled, 1),
        ({"rope_type": "default"}, unscaled, 1),
        ({"rope_type": "linear", "factor": 3.0}, linear, 1),
        (LLAMA_3, llama3, 1),
        (YARN, yarn, 0.1 * math.log(4) + 1),
        ({**YARN, "attention_factor": 0.5}, yarn, 0.5),
        ({**YARN, "mscale": 2.0, "mscale_all_dim": 0.0}, yarn, 0.1 * math.log(4) + 1),
        (
            {**YARN, "mscale": 2, "mscale_all_dim": 3},
            yarn,
            (0.2 * math.log(4) + 1) / (0.3 * math.log(4) + 1),
        ),
    ],
)
def test_frequencies_are_those_of_the_paper(scaling, expected, factor):
    found, scale = Rotary(THETA, scaling).frequencies(H)
    np.testing.assert_allclose(found, [expected(i) for i in range(H // 2)], rtol=1e-12)
    assert scale == pytest.approx(factor)


def test_every_number_of_yarn_changes_the_frequencies():
    first, _ = Rotary(THETA, YARN).frequencies(H)
    for change in (
        dict(factor=5),
        dict(original_max_position_embeddings=9 * ORIGINAL),
        dict(beta_fast=2.0),
        dict(beta_slow=0.1),
        dict(truncate=False),
    ):
        other, _ = Rotary(THETA, {**YARN, **change}).frequencies(H)
        assert np.abs(other / first - 1).max() > 0.01, change


def test_a_layer_turns_and_scales_by_them():
    layer = Rotary(THETA, YARN)
    x = np.random.default_rng(0).normal(size=(1, 1, 3, H)).astype(np.float32)
    turned = np.asarray(layer(x, np.array([0, 7, 300])))
    pairs, before = (
        y[0, 0, :, : H // 2] + 1j * y[0, 0, :, H // 2 :] for y in (turned, x)
    )
    frequencies, factor = layer.frequencies(H)
    angles = np.array([[0], [7], [300]]) * frequencies
    np.testing.assert_allclose(pairs, before * factor * np.exp(1j * angles), atol=1e-5)
    copy = Rotary.from_config(layer.get_config())
    np.testing.assert_array_equal(copy(x, np.array([0, 7, 300])), turned)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(theta=1), ValueError, "theta must be a number > 1. Received: 1"),
        (dict(theta="10"), ValueError, "theta must be a number > 1. Received: '10'"),
        (dict(scaling=2), ValueError, "scaling must be a dict or None. Received: 2"),
        (
            dict(scaling={"rope_type": "dynamic", "factor": 2.0}),
            ValueError,
            "rope_type must be one of 'default', 'linear', 'llama3', 'yarn'. "
            "Received: 'dynamic'",
        ),
        (dict(scaling={"factor": 2.0}), ValueError, "rope_type must be .* None"),
        (
            dict(scaling={"rope_type": "linear"}),
            ValueError,
            "rope_type 'linear' requires factor. Received: {}",
        ),
        (
            dict(scaling={"rope_type": "linear", "factor": 0.5}),
            ValueError,
            "factor must be a number >= 1. Received: 0.5",
        ),
        (
            dict(scaling={"rope_type": "linear", "factor": float("inf")}),
            ValueError,
            "factor must be a number >= 1. Received: inf",
        ),
        (
            dict(scaling={"rope_type": "linear", "factor": 2, "beta_fast": 1}),
            TypeError,
            "rope_type 'linear' takes no argument 'beta_fast'. It takes factor.",
        ),
        (
            dict(scaling={**LLAMA_3, "high_freq_factor": 1.0}),
            ValueError,
            "high_freq_factor must be a number > 1.0. Received: 1.0",
        ),
        (
            dict(scaling={**YARN, "original_max_position_embeddings": 64.0}),
            ValueError,
            "original_max_position_embeddings must be an integer >= 1. Received: 64.0",
        ),
        (
            dict(scaling={**YARN, "beta_fast": True}),
            ValueError,
            "beta_fast must be a number > 1. Received: True",
        ),
        (
            dict(scaling={**YARN, "truncate": 1}),
            ValueError,
            "truncate must be True or False. Received: 1",
        ),
        (
            dict(scaling={**YARN, "attention_factor": -1.0}),
            ValueError,
            "attention_factor must be a number >= 0. Received: -1.0",
        ),
    ],
    ids=str,
)
def test_an_invalid_number_is_named(options, error, message):
    with pytest.raises(error, match=message.replace("{}", r"\{\}")):
        Rotary(**options)
