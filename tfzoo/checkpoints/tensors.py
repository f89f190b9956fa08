"""The interface of weight file readers, whatever the format."""

from typing import Protocol


class Tensors(Protocol):
    """Named arrays of a checkpoint, in Hugging Face's names and orientation.

    A reader checks the file's metadata on opening. It reads tensors on demand and
    caches none.

    Attributes:
        path: The file that holds the tensors, for error messages.
        names: Frozenset of their names.
    """

    path: object
    names: frozenset

    def shape(self, name):
        """Returns a tensor's shape, a tuple of ints, without reading the tensor."""

    def dtype(self, name):
        """Returns a tensor's NumPy dtype name, without reading the tensor."""

    def read(self, name):
        """Reads a tensor into a NumPy array that the caller may keep."""
