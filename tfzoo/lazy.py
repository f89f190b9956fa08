"""Names of a package that are imported where they are first asked for."""

import importlib


def exports(package, homes):
    """`__getattr__`, `__dir__` and `__all__` of a package.

    Args:
        package: Its `__name__`.
        homes: Dict of a module -> the names that come from it, with spaces between.
    """
    home_of = {name: home for home, names in homes.items() for name in names.split()}

    def get(name):
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(home_of[name]), name)

    def names():
        return sorted([*vars(importlib.import_module(package)), *home_of])

    return get, names, sorted(home_of)
