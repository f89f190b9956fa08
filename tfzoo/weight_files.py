"""Serialization of safetensors files.

Format: the header's length as a little-endian 64-bit integer; the header, a JSON object
of name -> dtype, shape and byte range in the data; the data, without gaps.

Source: https://github.com/huggingface/safetensors#format
"""

import json
import math

import ml_dtypes  # noqa: F401 (makes NumPy know bfloat16)
import numpy as np

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def num_bytes(dtype, shape):
    """Size of a tensor in bytes.

    Args:
        dtype: NumPy dtype name.
        shape: Dimensions.
    """
    return math.prod(shape) * np.dtype(dtype).itemsize


def num_bytes_of(variables, dtype=None):
    """Total size in bytes of `keras.Variable`s, in their own dtype or in another."""
    return sum(num_bytes(dtype or str(v.dtype), v.shape) for v in variables)


def header(tensors, metadata=None):
    """The header of a file as bytes, preceded by its length.

    Args:
        tensors: (name, NumPy dtype name, shape) of each tensor, in file order.
        metadata: Dict of str -> str, or None.
    """
    content, end = {} if metadata is None else {"__metadata__": metadata}, 0
    for name, dtype, shape in tensors:
        begin, end = end, end + num_bytes(dtype, shape)
        content[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(shape),
            "data_offsets": [begin, end],
        }
    head = json.dumps(content).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head


def data(array):
    """The bytes of an array, as a flat uint8 array."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
