"""What encoders and decoders share: their arguments, which are all of their config."""

import keras

from tfzoo.models.frozen import frozen_config, with_frozen


class Backbone(keras.Model):
    """A functional model that is rebuilt of its constructor's arguments."""

    ties_output = False  # whether it has an output layer, and that is its embedding

    def describe(self, arguments, policy):
        """Notes what the model is, once it is built.

        Args:
            arguments: Dict of the constructor arguments of the class, which become its
                attributes and its config.
            policy: Its dtype policy, which Keras's functional models leave out.
        """
        self.trainable = self.trainable  # of the layers, too, tracked only now
        self.dtype_policy, self.dtype_name = policy, policy.name
        self.argument_names = tuple(arguments)
        for name, value in arguments.items():
            setattr(self, name, value)

    def call(self, inputs, training=None, mask=None):
        # Keras's own takes any other keyword, and drops it.
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
