"""TensorFlow checkpoints: `NAME.index` and `NAME.data-00000-of-00001`.

TensorFlow is only imported when such a file is opened.
"""

import math

from tfzoo.errors import CheckpointError
from tfzoo.files import read_bytes, utf8_path

MAX_INDEX_BYTES = 8 << 20


class TensorFlowCheckpoint:
    """The tensors of a TensorFlow checkpoint under its own names (see `Tensors`).

    Args:
        directory: The directory, which must contain one checkpoint.

    Raises:
        CheckpointError: it contains none or several, or an incomplete one.
    """

    def __init__(self, directory):
        import tensorflow as tf

        found = sorted(directory.glob("*.index"))
        if len(found) != 1:
            raise CheckpointError(
                "The directory must contain one file *.index. Received: "
                f"{[path.name for path in found[:5]]}.",
                path=directory,
            )
        self.path = found[0]
        read_bytes(self.path, MAX_INDEX_BYTES, CheckpointError)
        prefix = self.path.with_suffix("")
        self._errors = (tf.errors.OpError, RuntimeError, ValueError, IndexError)
        try:
            self._reader = tf.train.load_checkpoint(utf8_path(prefix, CheckpointError))
            dtypes = self._reader.get_variable_to_dtype_map()
            shapes = self._reader.get_variable_to_shape_map()
        except self._errors as e:
            raise self._unreadable(e) from None
        self._dtypes = dtypes
        self._shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.names = frozenset(self._shapes)
        data = directory.glob(f"{prefix.name}.data-*")
        room = sum(path.stat().st_size for path in data)
        for name, shape in sorted(self._shapes.items()):
            if math.prod(shape) * max(dtypes[name].size, 1) > room:
                raise CheckpointError(
                    f"The data must include shape {shape} of {dtypes[name].name}. "
                    f"Received: {room} bytes in total.",
                    path=self.path,
                    tensor=name,
                    fix="Copy the files again.",
                )

    def shape(self, name):
        return self._shapes[name]

    def dtype(self, name):
        return self._dtypes[name].name

    def read(self, name):
        try:
            return self._reader.get_tensor(name)
        except self._errors as e:
            raise self._unreadable(e, name) from None

    def _unreadable(self, error, name=None):
        return CheckpointError(
            f"Not a complete checkpoint: {str(error)[:300]}.",
            path=self.path,
            tensor=name,
            fix="Copy the files again.",
        )
