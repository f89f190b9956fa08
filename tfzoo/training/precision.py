"""The number formats that one trains in."""

import keras

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


def policy(name):
    """Keras's policy of that name; variables, softmax, losses stay in float32.

    Raises:
        ValueError: the name is none of `POLICIES`.
    """
    if name not in POLICIES:
        raise ValueError(f"dtype must be one of {POLICIES}. Received: {name!r}")
    return keras.dtype_policies.get(name)


def scaled(optimizer, dtype):
    """The optimizer, wrapped where the policy needs its loss scaled (float16)."""
    has_scale = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if policy(dtype).name != "mixed_float16" or has_scale:
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)
