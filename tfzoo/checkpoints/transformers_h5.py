"""`tf_model.h5`: weights saved by the TensorFlow classes of `transformers` v4.

The file is read with h5py only, never through Keras. A layer's weight is at
`LAYER/MODEL/LAYER/.../VARIABLE:0`; one that two layers share is stored in both.

Source: `transformers` 4 modeling_tf_utils.py `load_tf_weights_from_h5` and
modeling_tf_pytorch_utils.py `convert_tf_weight_name_to_pt_weight_name`
"""

import re

import h5py
import numpy as np

from tfzoo.checkpoints.renamed import Renamed, Source
from tfzoo.errors import CheckpointError
from tfzoo.files import readable_file

WEIGHTS = "tf_model.h5"
MAX_TENSORS, MAX_DEPTH = 5_000, 16  # with groups; large models have 1,500
_VARIABLES = {
    "kernel": "weight",
    "embeddings": "weight",
    "gamma": "weight",
    "beta": "bias",
}


class H5File:
    """The tensors of an HDF5 file under its own names (see `Tensors`).

    Supports only what such files need: groups, and contiguous data in the file itself.
    Links to other files are rejected.

    Args:
        path: The file.

    Raises:
        CheckpointError: it is not such a file, or not complete.
    """

    def __init__(self, path):
        self.path = readable_file(path, CheckpointError)
        self._places = {}  # name -> paths in the file, dtype, shape
        with self._open() as file:
            self._collect(file, (), [0])
        self.names = frozenset(self._places)

    def shape(self, name):
        return self._places[name][2]

    def dtype(self, name):
        return self._places[name][1]

    def read(self, name):
        paths, _, shape = self._places[name]
        with self._open() as file:
            try:
                array = np.asarray(file[paths[0]][()])
                copies = [np.asarray(file[path][()]) for path in paths[1:]]
            except (OSError, RuntimeError, ValueError, KeyError) as e:
                raise self._error(f"The tensor cannot be read: {e}.", name) from None
        if array.shape != shape or not all(
            np.array_equal(array, copy, equal_nan=True) for copy in copies
        ):
            raise self._error(
                "A weight shared by layers must be the same in all of them.", name
            )
        return array

    def _open(self):
        try:
            return h5py.File(self.path, "r")
        except (OSError, RuntimeError, ValueError) as e:
            raise self._error(
                f"Not a complete HDF5 file: {e}.", fix="Copy the file again."
            ) from None

    def _error(self, rule, name=None, fix=None):
        return CheckpointError(rule, path=self.path, tensor=name, fix=fix)

    def _collect(self, group, above, count):
        for part, item in self._items(group, above, count):
            here = (*above, part)
            if isinstance(item, h5py.Group):
                self._collect(item, here, count)
            elif isinstance(item, h5py.Dataset):
                self._add(item, here)

    def _items(self, group, above, count):
        """Names and objects in a group; rejects links."""
        try:
            count[0] += len(group)
            if count[0] > MAX_TENSORS or len(above) == MAX_DEPTH:
                raise self._error(
                    f"The file must have at most {MAX_TENSORS} tensors and groups, at "
                    f"most {MAX_DEPTH} levels deep.",
                )
            for part in group:
                link = group.get(part, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    raise self._error(
                        "The file must contain no links.", "/".join((*above, part))
                    )
                yield part, group[part]
        except UnicodeDecodeError:
            rule = "The names in the file must be UTF-8."
            raise self._error(rule, "/".join(above) or None) from None
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as e:
            raise self._error(
                f"Not a complete HDF5 file: {e}.",
                "/".join(above) or None,
                fix="Copy the file again.",
            ) from None

    def _add(self, data, place):
        name = "/".join(place[1:]).removesuffix(":0")
        path = "/".join(place)
        try:
            dtype, shape = data.dtype.name, data.shape
            # The offset is None for chunked, filtered and external data
            offset, size = data.id.get_offset(), data.id.get_storage_size()
        except (OSError, RuntimeError, ValueError, TypeError, OverflowError) as e:
            raise self._error(f"The tensor cannot be read: {e}.", path) from None
        if shape is None or offset is None or data.external or data.is_virtual:
            raise self._error("A tensor must be stored contiguously.", path)
        if size != data.nbytes or offset + size > self.path.stat().st_size:
            raise self._error("A tensor must end within the file.", path)
        first = self._places.setdefault(name, ([], dtype, shape))
        if first[1:] != (dtype, shape):
            raise self._error(
                "A weight shared by layers must be the same in all of them.", path
            )
        first[0].append(path)


def open_transformers_h5(path):
    """Opens a `tf_model.h5`; its tensors get Hugging Face's names."""
    file = H5File(path)
    return Renamed(
        file, [_hugging_face(name, file.shape(name)) for name in sorted(file.names)]
    )


def _hugging_face(name, shape):
    """Hugging Face's name for `MODEL/LAYER/.../VARIABLE`, and its `Source`."""
    # `A___B` is B; `layer_._0` is an item of a list
    named = re.sub(r"/[^/]*___([^/]*)/", r"/\1/", name).replace("_._", "/")
    *parts, variable = named.split("/")[1:] or [named]
    todays = ".".join([*parts, _VARIABLES.get(variable, variable)])
    # GPT-2's `Conv1D` stores (inputs, outputs) in both; here its bias is (1, outputs)
    row = shape[1:] if variable == "bias" and len(shape) == 2 else None
    return todays, Source(name, transposed=variable == "kernel", shape=row)
