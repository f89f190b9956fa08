"""Names of a package that are imported where they are first asked for."""

import importlib


def exports(package, homes):
    """`__getattr__` and `__dir__` of a package.

    Args:
        package: Its `__name__`.
        homes: Dict of a name -> the module that it is imported from.
    """

    def get(name):
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    def names():
        return sorted([*vars(importlib.import_module(package)), *homes])

    return get, names
