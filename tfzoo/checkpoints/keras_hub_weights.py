"""The weights of a KerasHub backbone under Hugging Face's names.

KerasHub's own classes read the file, whose layout depends on the Keras version. Before
that, the file is checked to hold only arrays, and how many.
"""

import math
import re
import warnings

import h5py
import numpy as np

from tfzoo.checkpoints.names import of_layers
from tfzoo.checkpoints.transformers_h5 import MAX_TENSORS
from tfzoo.errors import CheckpointError
from tfzoo.files import readable_file

# Parts of a variable's path: KerasHub's -> ours
_RENAMED = (
    (r"^(token_and_position_)?embeddings?/(token|position)_", r"\2_"),
    (r"^embeddings_layer_norm/", "embeddings_norm/"),
    (r"^layer_norm/", "final_norm/"),
    (r"^pooled_dense/", "pooler/"),
    (r"/self_attention_layer/", "/self_attention/"),
    (r"/attention_output/", "/output/"),
    (r"/self_attention_layer_norm/", "/self_attention_norm/"),
    (r"/feedforward_layer_norm/", "/feed_forward_norm/"),
    (r"/feedforward_(intermediate|output)_dense/", r"/feed_forward/\1/"),
)


class KerasHubTensors:
    """The weights of a KerasHub backbone under Hugging Face's names (see `Tensors`).

    Args:
        path: The file they came from.
        model: The backbone, filled.
        family: The family that has the names.
        padding_id: RoBERTa's padding id, otherwise None. Hugging Face's RoBERTa has
            position rows up to this id, and a single segment; both are zeros here.
    """

    def __init__(self, path, model, family, padding_id=None):
        self.path = path
        variables = {_our_path(v): v for v in _weights(model)}
        self._parts = {}  # name -> [(`Stored`, variable)], to be concatenated
        names = of_layers(family.names, {"i": model.num_layers})
        for ours, stored in names.items():
            if ours in variables:
                parts = self._parts.setdefault(stored.name, [])
                parts.append((stored, variables[ours]))
        self._positions, self._segments, self._offset = None, None, 0
        if padding_id is not None:
            self._positions = "embeddings.position_embeddings.weight"
            self._segments = "embeddings.token_type_embeddings.weight"
            self._offset, self._width = padding_id + 1, model.hidden_dim
        self.names = frozenset([*self._parts, *filter(None, [self._segments])])

    def shape(self, name):
        if name == self._segments:
            return 1, self._width
        parts = self._parts[name]
        shape = _matrix_shape(parts[0][1])
        shape = (*shape[:-1], len(parts) * shape[-1])
        if name == self._positions:
            return self._offset + shape[0], shape[1]
        return shape[::-1] if parts[0][0].transposed else shape

    def dtype(self, name):
        del name
        return "float32"

    def read(self, name):
        if name == self._segments:
            return np.zeros(self.shape(name), np.float32)
        parts = self._parts[name]
        arrays = [np.asarray(v).reshape(_matrix_shape(v)) for _, v in parts]
        array = np.concatenate(arrays, axis=-1)
        if name == self._positions:
            return np.pad(array, ((self._offset, 0), (0, 0)))
        return np.ascontiguousarray(array.T) if parts[0][0].transposed else array


def stored_sizes(path):
    """Sizes of the floating-point arrays in an HDF5 file.

    Raises:
        CheckpointError: it is not an HDF5 file, or has links or references to other
            files.
    """
    try:
        with h5py.File(readable_file(path, CheckpointError)) as file:
            return _sizes(file, path, set())
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as e:
        raise CheckpointError(f"Not a complete HDF5 file: {e}.", path=path) from e


def fill(model, path):
    """Loads a file that `stored_sizes` has checked into a KerasHub backbone.

    Raises:
        CheckpointError: the weights are not those of the model.
    """
    try:
        with warnings.catch_warnings():
            # Keras only warns about layers that it did not load.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(path)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, UserWarning) as e:
        raise CheckpointError(
            f"KerasHub cannot read the weights: {str(e)[:300]}",
            path=path,
            fix="Use config.json and weights of the same model.",
        ) from e


def _sizes(group, path, seen):
    if len(seen) + len(group) > MAX_TENSORS:
        raise CheckpointError(
            f"The file must have at most {MAX_TENSORS} arrays and groups.", path=path
        )
    sizes = []
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise CheckpointError(
                "The file must contain no links.", path=path, tensor=name
            )
        item = group[name]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:  # this also stops at groups that contain themselves
            raise CheckpointError(
                "Each object must have a single name.", path=path, tensor=name
            )
        seen.add(address)
        if isinstance(item, h5py.Group):
            sizes += _sizes(item, path, seen)
        elif not isinstance(item, h5py.Dataset):
            raise CheckpointError("This must be an array.", path=path, tensor=name)
        elif item.external or item.is_virtual:
            raise CheckpointError(
                "The file must not refer to other files.", path=path, tensor=name
            )
        elif np.issubdtype(item.dtype, np.inexact):
            sizes.append(item.size)
    return sizes


def _weights(model):
    return [v for v in model.variables if "seed_generator" not in v.path]


def _our_path(variable):
    path = variable.path
    for theirs, ours in _RENAMED:
        path = re.sub(theirs, ours, path)
    return path


def _matrix_shape(variable):
    """The shape without KerasHub's heads axis: (inputs, outputs), or (outputs,)."""
    shape, path = tuple(variable.shape), variable.path
    if path.endswith("/bias"):
        return (math.prod(shape),)
    if "/attention_output/" in path:
        return math.prod(shape[:-1]), shape[-1]
    return (shape[0], math.prod(shape[1:])) if len(shape) > 1 else shape
