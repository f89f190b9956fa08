"""Tensors of other layouts under Hugging Face's names and orientation."""

from typing import NamedTuple

import numpy as np

from tfzoo.errors import CheckpointError, printable

_OLD_NORM = {"gamma": "weight", "beta": "bias"}


class Source(NamedTuple):
    """How a tensor is stored in a file of another layout.

    Args:
        name: Name in that file.
        transposed: Whether its axes are in reverse order there.
        shape: Shape to reshape it to before transposing, or None.
    """

    name: str
    transposed: bool = False
    shape: tuple | None = None


class Renamed:
    """Tensors that are renamed, and optionally reshaped and transposed (see `Tensors`).

    Args:
        tensors: `Tensors` of a file.
        sources: Iterable of (name, `Source`).

    Raises:
        CheckpointError: two tensors of the file would get the same name.
    """

    def __init__(self, tensors, sources):
        self.path = tensors.path
        self._tensors, self._sources = tensors, {}
        for name, source in sources:
            first = self._sources.setdefault(name, source)
            if first != source:
                raise CheckpointError(
                    "A weight must be stored once. Received: "
                    f"{printable(first.name, 80)} and {printable(source.name, 80)}.",
                    path=self.path,
                    tensor=name,
                )
        self.names = frozenset(self._sources)

    def shape(self, name):
        source = self._sources[name]
        shape = source.shape or self._tensors.shape(source.name)
        return shape[::-1] if source.transposed else shape

    def dtype(self, name):
        return self._tensors.dtype(self._sources[name].name)

    def read(self, name):
        source = self._sources[name]
        array = self._tensors.read(source.name)
        if source.shape is not None:
            array = np.reshape(array, source.shape)
        return array.T if source.transposed else array


def in_todays_names(tensors, prefix):
    """Hugging Face's tensors, with old names of normalization weights updated.

    Args:
        tensors: `Tensors` of a file.
        prefix: Prefix that all or none of the backbone's names have.

    Raises:
        CheckpointError: a weight is stored twice, under an old and a new name or with
            and without the prefix.
    """
    for name in sorted(tensors.names):
        bare = name.removeprefix(prefix)
        if bare != name and bare in tensors.names:
            raise CheckpointError(
                "A weight must be stored once. Received: "
                f"{printable(name, 80)} and {printable(bare, 80)}.",
                path=tensors.path,
                tensor=name,
            )
    todays = {name: _todays_name(name) for name in sorted(tensors.names)}
    if all(name == todays_name for name, todays_name in todays.items()):
        return tensors
    return Renamed(tensors, [(new, Source(old)) for old, new in todays.items()])


def _todays_name(name):
    head, dot, last = name.rpartition(".")
    if last in _OLD_NORM and head.lower().replace("_", "").endswith("layernorm"):
        return head + dot + _OLD_NORM[last]
    return name
