"""Layers passed to another layer's constructor as templates for its sublayers."""

import keras


def copied(part, name, policy):
    """An unbuilt copy of `part` under another name; None for None.

    Args:
        part: The layer to copy.
        name: Name of the copy, which becomes part of its weights' paths.
        policy: Dtype policy of the copy.
    """
    if part is None:
        return None
    # The policy's name: Keras writes no config for a layer that was given an object.
    config = {**part.get_config(), "name": name, "dtype": policy.name}
    return type(part).from_config(config)


def part_of(layer):
    """Serializes a layer as a value of `get_config`."""
    return None if layer is None else keras.saving.serialize_keras_object(layer)


def with_parts(layer_class, config):
    """Builds a layer from a config whose parts were serialized by `part_of`."""
    return layer_class(
        **{
            name: keras.saving.deserialize_keras_object(value)
            if name in layer_class.parts and isinstance(value, dict)
            else value
            for name, value in config.items()
        }
    )
