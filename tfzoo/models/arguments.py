"""The constructor arguments of a backbone: its attributes, its config, its sizes."""

_OF_KERAS = ("self", "dtype", "kwargs", "__class__")


def own_arguments(names):
    """Those of a constructor that are the backbone's own, a dict.

    Args:
        names: `locals()` of the constructor's first line.
    """
    return {name: value for name, value in names.items() if name not in _OF_KERAS}
