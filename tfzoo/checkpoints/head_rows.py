"""Reordering of a head's rows."""


class RowsInOrder:
    """Tensors of a checkpoint, some of them with reordered rows (see `Tensors`).

    Args:
        tensors: `Tensors` of a file.
        names: Names of the tensors to reorder.
        order: For each row of the result, the index of the row in the file.
    """

    def __init__(self, tensors, names, order):
        self.path, self.names = tensors.path, tensors.names
        self._tensors, self._moved, self._order = tensors, frozenset(names), order

    def shape(self, name):
        return self._tensors.shape(name)

    def dtype(self, name):
        return self._tensors.dtype(name)

    def read(self, name):
        array = self._tensors.read(name)
        return array[self._order] if name in self._moved else array
