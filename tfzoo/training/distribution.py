"""Training on several devices of one machine, with the results of a single device."""

import functools

import keras

STRATEGIES = ("none", "mirrored")


def strategy(name):
    """Returns a `tf.distribute` strategy; build and compile the model in its `scope()`.

    Args:
        name: "none": a single device. "mirrored": a replica on every GPU, or on every
            logical CPU device if there is no GPU; the global batch is split among them.
            Several machines are not supported: Keras 3 fails there (keras#20585).
    """
    import tensorflow as tf

    if name not in STRATEGIES:
        raise ValueError(f"strategy must be one of {STRATEGIES}. Received: {name!r}")
    if name == "none":
        return tf.distribute.get_strategy()
    devices = tf.config.list_logical_devices("GPU")
    devices = devices or tf.config.list_logical_devices("CPU")
    return _mirrored(*(device.name for device in devices))


@functools.cache
def _mirrored(*devices):
    """The strategy for some devices, one object per process.

    Every strategy numbers its collective operations from the same start, and TensorFlow
    takes those of two models that are trained under two of them for the same.
    """
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)


def num_replicas():
    """Number of replicas of the current strategy; 1 if there is none."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def require_supported(*, optimizer, jit_compile=False, steps_per_execution=1):
    """Raises `ValueError` for options that do not work with several replicas in Keras.

    Call it in the strategy's scope with the arguments of `compile`.
    """
    replicas = num_replicas()
    if replicas == 1:
        return
    # Keras's loss scaling only checks the first replica's gradients for overflow.
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    refused = {
        "jit_compile": bool(jit_compile) and jit_compile != "auto",
        "steps_per_execution": steps_per_execution > 1,
        "gradient_accumulation_steps": bool(inner.gradient_accumulation_steps),
        "loss scaling (mixed_float16)": inner is not optimizer,
    }
    for option, asked in refused.items():
        if asked:
            raise ValueError(
                f"{option} must not be used with several replicas, where it does not "
                "work in Keras 3; leave it out or train on one device. "
                f"Received: {replicas} replicas"
            )
