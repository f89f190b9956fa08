"""Weights in the safetensors format."""

import ml_dtypes  # noqa: F401 (makes NumPy know bfloat16)
import safetensors

from tfzoo.errors import CheckpointError
from tfzoo.files import readable_file

WEIGHTS = "model.safetensors"
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
}


class SafetensorsFile:
    """The tensors of one safetensors file (see `Tensors`).

    Args:
        path: The file.

    Raises:
        CheckpointError: it is not a whole safetensors file.
    """

    def __init__(self, path):
        self.path = readable_file(path, CheckpointError)
        try:
            self._file = safetensors.safe_open(self.path, framework="np")
        except (safetensors.SafetensorError, OSError) as e:
            raise CheckpointError(
                f"Not a whole safetensors file: {e}.", path=path, fix="Copy it again."
            ) from e
        self.names = frozenset(self._file.keys())

    def shape(self, name):
        return tuple(self._file.get_slice(name).get_shape())

    def dtype(self, name):
        dtype = self._file.get_slice(name).get_dtype()
        return _DTYPES.get(dtype, dtype)

    def read(self, name):
        return self._file.get_tensor(name)
