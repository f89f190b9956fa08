"""Rotary position embeddings, and their scaling to longer contexts.

Shapes: B batch, N heads, T positions, H head size, even.
"""

import inspect
import math
from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from tfzoo.errors import refuse_unknown, require_flags, require_whole, shown
from tfzoo.layers.keywords import LayerKeywords


@keras.saving.register_keras_serializable("tfzoo")
class Rotary(LayerKeywords, keras.layers.Layer):
    """Rotates feature pairs (i, i + H / 2) by an angle that grows with position.

    The dot product of a query and a key then depends only on their distance. Computed
    in float32 regardless of the compute dtype; only the weights' dtype, if it is
    bfloat16, is also that of the rotation, as in published models.

    Args:
        theta: Base of the wavelengths, > 1; the slowest pair rotates by
            theta^(2 / H - 1) radians per position.
        scaling: Dict that changes the wavelengths for longer contexts, as Hugging
            Face's `rope_scaling`: its `rope_type` is the name of one of the functions
            `linear`, `llama3` and `yarn`, its other entries are their arguments; or it
            is "default", which is no scaling, as is None.

    Call arguments:
        x: (B, N, T, H).
        positions: (B, T) integers, or (T,) for all rows.

    Returns:
        As `x`.

    Source: Su et al. 2021, section 3.2, https://arxiv.org/abs/2104.09864; the pairing:
        Touvron et al. 2023, as in `transformers` (`rotate_half`)
    """

    def __init__(self, theta=10000.0, scaling=None, **kwargs):
        super().__init__(**kwargs)
        _require_number("theta", theta, above=1)
        self.theta = theta
        self.scaling = scaling
        self._scaled(np.ones(2))  # raises for what `scaling` must not be

    def frequencies(self, head_size):
        """Radians per position of each pair, float64 (H / 2,), and a factor.

        The factor scales queries and keys.
        """
        half, odd = divmod(head_size, 2)
        if odd:
            raise ValueError(f"The head size must be even. Received: {head_size}")
        return self._scaled(self.theta ** (-np.arange(half) / half))

    def _scaled(self, frequencies):
        scaling = {"rope_type": "default"} if self.scaling is None else self.scaling
        if not isinstance(scaling, Mapping):
            raise ValueError(
                f"scaling must be a dict or None. Received: {shown(scaling)}"
            )
        numbers = dict(scaling)
        kind = numbers.pop("rope_type", None)
        if not isinstance(kind, str) or kind not in SCALINGS:
            names = ", ".join(map(repr, SCALINGS))
            raise ValueError(
                f"rope_type must be one of {names}. Received: {shown(kind)}"
            )
        scale = SCALINGS[kind]
        parameters = [*inspect.signature(scale).parameters.values()][2:]
        names = [parameter.name for parameter in parameters]
        refuse_unknown(f"rope_type {kind!r}", numbers, names)
        for parameter in parameters:
            if parameter.default is parameter.empty and parameter.name not in numbers:
                raise ValueError(
                    f"rope_type {kind!r} requires {parameter.name}. "
                    f"Received: {shown(numbers)}"
                )
        return scale(frequencies, self.theta, **numbers)

    def call(self, x, positions):
        return self.turn(x, self.turns(positions, x.shape[-1]))

    def turns(self, positions, head_size):
        """Cosines of the angles, and their sines, signed, of both halves, for `turn`.

        Float32 (B, 1, T, H), or (T, H).
        """
        frequencies, factor = self.frequencies(head_size)
        frequencies = ops.convert_to_tensor(frequencies, "float32")
        angles = ops.expand_dims(ops.cast(positions, "float32"), -1) * frequencies
        if len(angles.shape) == 3:
            angles = ops.expand_dims(angles, 1)  # the same for all heads
        cosine, sine = ops.cos(angles), ops.sin(angles)
        if factor != 1.0:
            cosine, sine = cosine * factor, sine * factor
        cosines, sines = [cosine, cosine], [-sine, sine]
        return tuple(ops.concatenate(halves, axis=-1) for halves in (cosines, sines))

    def turn(self, x, turns):
        """Rotates `x` (B, N, T, H) by the result of `turns`."""
        cosines, sines = (ops.cast(y, self.variable_dtype) for y in turns)
        y = ops.cast(x, self.variable_dtype)
        first, second = ops.split(y, 2, axis=-1)
        other = ops.concatenate([second, first], axis=-1)
        return ops.cast(y * cosines + other * sines, x.dtype)

    def compute_output_shape(self, x_shape, positions_shape=None):
        return x_shape


def default(frequencies, theta):
    """The wavelengths of the paper."""
    return frequencies, 1.0


def linear(frequencies, theta, factor):
    """Position interpolation: all pairs are slower by `factor`, >= 1.

    Source: Chen et al. 2023, section 3.2, https://arxiv.org/abs/2306.15595
    """
    _require_number("factor", factor, least=1)
    return frequencies / factor, 1.0


def llama3(
    frequencies,
    theta,
    factor,
    low_freq_factor,
    high_freq_factor,
    original_max_position_embeddings,
):
    """Llama 3.1: only pairs that turn rarely within the original context are slower.

    Those with fewer than `low_freq_factor` turns are slower by `factor`, >= 1, those
    with more than `high_freq_factor` are unchanged, the others in between.

    Source: Grattafiori et al. 2024, https://arxiv.org/abs/2407.21783; the formula:
        `apply_scaling` of meta-llama/llama-models
    """
    _require_number("factor", factor, least=1)
    _require_number("low_freq_factor", low_freq_factor, above=0)
    _require_number("high_freq_factor", high_freq_factor, above=low_freq_factor)
    original = original_max_position_embeddings
    require_whole("original_max_position_embeddings", original, 1)
    turns = original * frequencies / (2 * math.pi)
    kept = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor)
    return _between(frequencies / factor, frequencies, kept), 1.0


def yarn(
    frequencies,
    theta,
    factor,
    original_max_position_embeddings,
    beta_fast=32,
    beta_slow=1,
    attention_factor=None,
    mscale=None,
    mscale_all_dim=None,
    truncate=True,
):
    """YaRN: interpolates by the number of turns within the original context.

    Pairs with fewer than `beta_slow` turns are slower by `factor`, >= 1, those with
    more than `beta_fast` are unchanged, those in between linear in their index, of
    whose bounds `truncate` takes the whole numbers outside. Queries and keys are scaled
    by `attention_factor`. It defaults to 0.1 log(factor) + 1; with `mscale` and
    `mscale_all_dim`, to the quotient of two of these whose logarithms they multiply.

    Source: Peng et al. 2023, section 3, https://arxiv.org/abs/2309.00071; the last
        three arguments: `transformers`
    """
    _require_number("factor", factor, least=1)
    _require_number("beta_slow", beta_slow, above=0)
    _require_number("beta_fast", beta_fast, above=beta_slow)
    require_flags(truncate=truncate)
    original = original_max_position_embeddings
    require_whole("original_max_position_embeddings", original, 1)
    for name, value in (
        ("attention_factor", attention_factor),
        ("mscale", mscale),
        ("mscale_all_dim", mscale_all_dim),
    ):
        if value is not None:
            _require_number(name, value, least=0)

    def temperature(multiple):
        return 0.1 * multiple * math.log(factor) + 1

    if attention_factor is None:
        attention_factor = temperature(1)
        if mscale and mscale_all_dim:
            attention_factor = temperature(mscale) / temperature(mscale_all_dim)
    size = 2 * len(frequencies)

    def index_with(turns):
        slowest = original / (turns * 2 * math.pi)
        return size * math.log(slowest) / (2 * math.log(theta))

    low, high = index_with(beta_fast), index_with(beta_slow)
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, size - 1)
    if low == high:
        high += 0.001  # as in `transformers`
    kept = 1 - (np.arange(len(frequencies)) - low) / (high - low)
    return _between(frequencies / factor, frequencies, kept), attention_factor


SCALINGS = {"default": default, "linear": linear, "llama3": llama3, "yarn": yarn}


def _between(slow, fast, share):
    """`slow` where the share is 0 or less, `fast` where it is 1 or more."""
    share = np.clip(share, 0, 1)
    return (1 - share) * slow + share * fast


def _require_number(name, value, *, least=None, above=None):
    """Raises `ValueError` unless a value is a finite number, bounded from below."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and abs(value) < 1e30:
        if (least is None or value >= least) and (above is None or value > above):
            return
    bound = f"> {above}" if least is None else f">= {least}"
    raise ValueError(f"{name} must be a number {bound}. Received: {shown(value)}")
