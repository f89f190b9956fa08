"""Base class of encoders and decoders: the config is the constructor's arguments."""

import keras

from tfzoo.models.frozen import frozen_config, with_frozen


class Backbone(keras.Model):
    """A functional model that can be rebuilt from its constructor's arguments."""

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
