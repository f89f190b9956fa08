"""The dtype policies that backbones support."""

import keras

COMPUTE_DTYPES = ("float32", "bfloat16", "float16")


def policy_with_float32_weights(dtype):
    """Returns the Keras dtype policy, which must have float32 variables.

    Norms, softmax, logits and losses use the weights in float32.

    Args:
        dtype: A policy or its name. None for the global one of `keras.config`.

    Raises:
        ValueError: it is not a policy, or not a supported one.
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
            "dtype must be 'float32', 'mixed_bfloat16' or 'mixed_float16': weights "
            "must be float32; only computation may use lower precision. "
            f"Received: {getattr(dtype, 'name', dtype)!r}"
        )
    return policy
