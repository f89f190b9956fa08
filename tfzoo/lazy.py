"""Lazy imports: a package's names are imported on first use."""

import importlib


def exports(package, homes):
    """`__getattr__`, `__dir__` and `__all__` for a package.

    Args:
        package: The package's `__name__`.
        homes: Dict of module -> space-separated names defined in it.
    """
    home_of = {name: home for home, names in homes.items() for name in names.split()}

    def get(name):
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(home_of[name]), name)

    def names():
        return sorted([*vars(importlib.import_module(package)), *home_of])

    return get, names, sorted(home_of)
