"""The number formats that a backbone computes in."""

import keras

COMPUTE_DTYPES = ("float32", "bfloat16", "float16")


def policy_with_float32_weights(dtype):
    """Keras's dtype policy, whose variables are float32.

    Norms, softmax, logits and losses read them as they are.

    Args:
        dtype: Name of a policy, or one; None is that of `keras.config`.

    Raises:
        ValueError: it is another policy, or none at all.
    """
    dtype = keras.config.dtype_policy() if dtype is None else dtype
    try:
        policy = keras.dtype_policies.get(dtype)
        known = policy.variable_dtype == "float32"
        known = known and policy.compute_dtype in COMPUTE_DTYPES
        known = known and policy.quantization_mode is None
    except (ValueError, TypeError, AttributeError):  # no policy, or a map of several
        known = False
    if not known:
        raise ValueError(
            "dtype must be 'float32', 'mixed_bfloat16' or 'mixed_float16': weights are "
            "float32, and the arithmetic may have less. "
            f"Received: {getattr(dtype, 'name', dtype)!r}"
        )
    return policy
