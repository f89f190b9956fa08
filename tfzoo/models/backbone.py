"""Base class of encoders and decoders: the config is the constructor's arguments."""

import keras

from tfzoo.models.frozen import frozen_config, with_frozen

COMPUTE_DTYPES = ("float32", "bfloat16", "float16")


class Backbone(keras.Model):
    """A functional model that can be rebuilt from its constructor's arguments."""

    ties_output = False  # whether it has an output layer that shares its embedding

    def describe(self, arguments, policy):
        """Records the arguments and dtype policy of the built model.

        Args:
            arguments: Dict of the constructor arguments of the class, which become
                attributes and config.
            policy: Dtype policy, which Keras's functional models do not record.
        """
        self.trainable = self.trainable  # also of the layers, which are tracked by now
        self.dtype_policy, self.dtype_name = policy, policy.name
        self.argument_names = tuple(arguments)
        for name, value in arguments.items():
            setattr(self, name, value)

    @property
    def layer_counts(self):
        """Dict of the placeholder in the names of layers -> their number."""
        return {"i": self.num_layers}

    @property
    def input_vocabulary_size(self):
        """Number of token ids of its first input."""
        return self.vocabulary_size

    def call(self, inputs, training=None, mask=None):
        # Keras's own `call` accepts any other keyword and ignores it.
        return super().call(inputs, training=training, mask=mask)

    def get_config(self):
        return {
            **{name: getattr(self, name) for name in self.argument_names},
            "dtype": self.dtype_name,
            "name": self.name,
            "trainable": self.trainable,
            **frozen_config(self),
        }

    @classmethod
    def from_config(cls, config):
        return with_frozen(cls, config)


def checked_policy(dtype, *, for_inference=()):
    """Returns the Keras dtype policy, which must have float32 variables.

    Norms, softmax, logits and losses use the weights in float32.

    Args:
        dtype: A policy or its name. None for the global one of `keras.config`.
        for_inference: Names of policies with other variables, which cannot be trained.

    Raises:
        ValueError: it is not a policy, or not a supported one.
    """
    dtype = keras.config.dtype_policy() if dtype is None else dtype
    try:
        policy = keras.dtype_policies.get(dtype)
        known = policy.variable_dtype == "float32"
        known = known and policy.compute_dtype in COMPUTE_DTYPES
        known = known or policy.name in for_inference
        known = known and policy.quantization_mode is None
    except (ValueError, TypeError, AttributeError):  # no policy, or a map of several
        known = False
    if not known:
        others = "".join(f"; without training, {name!r}" for name in for_inference)
        raise ValueError(
            "dtype must be 'float32', 'mixed_bfloat16' or 'mixed_float16': weights "
            f"must be float32; only computation may use lower precision{others}. "
            f"Received: {getattr(dtype, 'name', dtype)!r}"
        )
    return policy
