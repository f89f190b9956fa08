"""Dtype policies for training."""

import keras

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


def policy(name):
    """Returns Keras's policy of that name; variables, softmax and losses are float32.

    Raises:
        ValueError: the name is not one of `POLICIES`.
    """
    if name not in POLICIES:
        raise ValueError(f"dtype must be one of {POLICIES}. Received: {name!r}")
    return keras.dtype_policies.get(name)


def scaled(optimizer, dtype):
    """Wraps the optimizer for loss scaling if the policy needs it (float16)."""
    has_scale = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if policy(dtype).name != "mixed_float16" or has_scale:
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)
