"""What every reader of a weight file offers, whatever the format."""

from typing import Protocol


class Tensors(Protocol):
    """Named arrays of a checkpoint, under Hugging Face's names and orientation.

    A reader checks what the file says of itself when it is opened; it reads a tensor
    when asked for it, and keeps none.

    Attributes:
        path: The file that holds the tensors, for errors.
        names: Frozen set of their names.
    """

    path: object
    names: frozenset

    def shape(self, name):
        """The shape of a tensor, a tuple of ints, without reading it."""

    def dtype(self, name):
        """NumPy's name of its type without reading it: `"float32"`, `"bfloat16"`."""

    def read(self, name):
        """The tensor, a NumPy array that the caller may keep."""
