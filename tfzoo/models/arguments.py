"""Constructor arguments of backbones, which are their attributes and their config."""

_OF_KERAS = ("self", "dtype", "kwargs", "__class__")


def own_arguments(names):
    """A dict of a constructor's arguments, without those for Keras.

    Args:
        names: `locals()` on the first line of the constructor.
    """
    return {name: value for name, value in names.items() if name not in _OF_KERAS}
