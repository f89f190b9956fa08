"""Layers that are given to a layer, as what its own are made of."""

import keras


def copied(part, name, policy):
    """A new layer like `part`, which is not built, under another name; None of None.

    Args:
        part: The layer that was given.
        name: Of the new one, which is part of the paths of its weights.
        policy: Its dtype policy.
    """
    if part is None:
        return None
    # By its name, as Keras writes no config of a layer that was given an object.
    config = {**part.get_config(), "name": name, "dtype": policy.name}
    return type(part).from_config(config)


def part_of(layer):
    """A layer as a value of `get_config`."""
    return None if layer is None else keras.saving.serialize_keras_object(layer)


def with_parts(layer_class, config):
    """The layer of a `get_config` that holds what `part_of` gave."""
    return layer_class(
        **{
            name: keras.saving.deserialize_keras_object(value)
            if name in layer_class.parts and isinstance(value, dict)
            else value
            for name, value in config.items()
        }
    )
