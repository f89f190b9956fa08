"""Weights in the safetensors format: a single file, or shards with an index.

Files written by tfzoo have checksums in the header's metadata: one for the header, and
one for each tensor, which is verified when the tensor is read.

For the format see `tfzoo.weight_files`.
"""

import math
import pathlib
from typing import NamedTuple

import numpy as np

from tfzoo.checkpoints.checksums import is_signed, sha256
from tfzoo.errors import CheckpointError, shown
from tfzoo.files import parse_json, read_json, readable_file
from tfzoo.weight_files import DTYPES

# Command that converts PyTorch's file, to be run in its directory
FROM_PICKLE = (
    'python -c "import torch, safetensors.torch as s; s.save_file({n: t.clone() for '
    "n, t in torch.load('pytorch_model.bin', weights_only=True).items()}, "
    "'model.safetensors', {'format': 'pt'})\""
)
CHECKSUM = "tfzoo.sha256"  # prefix of our metadata names
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
MAX_HEADER_BYTES = MAX_INDEX_BYTES = 4 << 20
MAX_TENSORS = 20_000  # large models have 600
MAX_ARRAY_BYTES = (1 << 63) - 1
_FIELDS = {"dtype", "shape", "data_offsets"}
_WIDTHS = {name: np.dtype(dtype).itemsize for name, dtype in DTYPES.items()}
_FOREIGN = {
    b"PK": "a zip file, such as PyTorch's",
    b"\x80": "a pickle, which is never opened",
    b"\x89HDF": "an HDF5 file",
    b"version https://git-lfs": "a Git LFS pointer; fetch the file itself",
}


class _Place(NamedTuple):
    """Where a tensor is, in bytes from the beginning of the file."""

    dtype: str
    shape: tuple
    begin: int
    end: int


class SafetensorsFile:
    """The tensors of one safetensors file (see `Tensors`).

    The `safetensors` library accepts duplicate names and maps the whole file into
    memory: opening a BERT-base then peaks at 628 MB instead of 560.

    Args:
        path: The file.

    Raises:
        CheckpointError: the file is not valid safetensors.
    """

    def __init__(self, path):
        self.path = readable_file(path, CheckpointError)
        content, start = _read_header(self.path)
        count = content.count(b'"data_offsets"')  # before objects are made of them
        if count > MAX_TENSORS:
            raise CheckpointError(
                f"The file must have at most {MAX_TENSORS} tensors. Received: {count}.",
                path=self.path,
            )
        header = parse_json(content, self.path, CheckpointError)
        self._checksums = _checksums(header.pop("__metadata__", None))
        self.has_checksums = bool(self._checksums)
        if self.has_checksums and not is_signed(content, self._checksums.get("")):
            raise _changed(self.path, None)
        self._places = {
            name: _place(self.path, name, entry, start)
            for name, entry in header.items()
        }
        _check_cover(self.path, self._places, start)
        self.names = frozenset(self._places)

    def shape(self, name):
        return self._places[name].shape

    def dtype(self, name):
        return self._places[name].dtype

    def read(self, name):
        place = self._places[name]
        content = np.empty(place.end - place.begin, np.uint8)
        with open(self.path, "rb") as file:
            file.seek(place.begin)
            if file.readinto(content) != len(content):
                raise CheckpointError(
                    "The file was truncated while open.", path=self.path, tensor=name
                )
        if self.has_checksums and sha256(content) != self._checksums.get(f".{name}"):
            raise _changed(self.path, name)
        return content.view(place.dtype).reshape(place.shape)


class ShardedSafetensors:
    """The tensors of the safetensors files listed in an index (see `Tensors`).

    Args:
        directory: The directory of the index and the files.

    Raises:
        CheckpointError: the index or a file is invalid, or they do not match.
    """

    def __init__(self, directory):
        self.path = directory / INDEX
        index = read_json(self.path, CheckpointError, MAX_INDEX_BYTES)
        shards = index.get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise CheckpointError(
                "The index must map tensors to files.",
                path=self.path,
                tensor="weight_map",
            )
        files = {}
        for name, shard in shards.items():
            if not isinstance(shard, str):
                raise CheckpointError(
                    f"A file name must be a string. Received: {shown(shard)}.",
                    path=self.path,
                    tensor=name,
                )
            if shard not in files:
                path = _shard(directory, shard, self.path, name)
                files[shard] = SafetensorsFile(path)
        self.has_checksums = any(file.has_checksums for file in files.values())
        self._files = {name: files[shard] for name, shard in shards.items()}
        self.names = frozenset(self._files)
        for name, file in self._files.items():
            if name not in file.names:
                raise CheckpointError(
                    "The index lists a tensor that this file lacks.",
                    path=file.path,
                    tensor=name,
                )
        for file in files.values():
            for name in sorted(file.names):
                if self._files.get(name) is not file:
                    raise CheckpointError(
                        "The file has a tensor that the index does not list for it.",
                        path=file.path,
                        tensor=name,
                    )

    def shape(self, name):
        return self._files[name].shape(name)

    def dtype(self, name):
        return self._files[name].dtype(name)

    def read(self, name):
        return self._files[name].read(name)


def _shard(directory, name, index, tensor):
    """The path of a file listed in an index; it must be in the same directory.

    The only exception is the Hugging Face cache, whose files are links to
    `../../blobs`.
    """
    path = directory / name
    plain = name not in ("", ".", "..") and not {"/", "\\", "\0"} & {*name}
    try:
        parent, home = path.resolve().parent, directory.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, or not a file's name
        plain = False
    if plain and parent != home:
        plain = home.parent.name == "snapshots" and parent == home.parents[1] / "blobs"
    if not plain:
        raise CheckpointError(
            f"A file must be in the directory of the index. Received: {shown(name)}.",
            path=index,
            tensor=tensor,
        )
    return readable_file(path, CheckpointError)


def _read_header(path):
    """Returns the header of a file, as bytes, and the offset of the first tensor."""
    size = pathlib.Path(path).stat().st_size
    with open(path, "rb") as file:
        start = file.read(32)
        for magic, kind in _FOREIGN.items():
            if start.startswith(magic) and start[4:8] != bytes(4):
                raise CheckpointError(
                    f"Not a safetensors file. Received: {kind}.", path=path
                )
        length = int.from_bytes(start[:8], "little")
        if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
            raise CheckpointError(
                f"Not a complete safetensors file: the header must be at most "
                f"{MAX_HEADER_BYTES} bytes and end within the file. Received: "
                f"{length} bytes in a file of {size}.",
                path=path,
                fix="Copy the file again.",
            )
        file.seek(8)
        return file.read(length), 8 + length


def _checksums(metadata):
    """The checksums that tfzoo wrote: "" -> the header's, .NAME -> a tensor's."""
    metadata = metadata if isinstance(metadata, dict) else {}
    found = {k: v for k, v in metadata.items() if k.startswith(CHECKSUM)}
    return {name.removeprefix(CHECKSUM): value for name, value in found.items()}


def _changed(path, name):
    return CheckpointError(
        "The checksum does not match: the file has changed since tfzoo wrote it.",
        path=path,
        tensor=name,
        fix="Copy the file again. If the change is intended, save it without the "
        f"metadata whose names begin with {CHECKSUM}.",
    )


def _place(path, name, entry, start):
    def wrong(rule):
        return CheckpointError(rule, path=path, tensor=name)

    if not isinstance(entry, dict) or entry.keys() != _FIELDS:
        raise wrong("A tensor must have dtype, shape and data_offsets, nothing else.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise wrong(
            f"The dtype must be one of {', '.join(DTYPES)}. "
            f"Received: {str(dtype)[:40]!r}."
        )
    if not _are_counts(shape) or len(shape) > 8:
        raise wrong("The shape must be a list of at most 8 integers >= 0.")
    width = _WIDTHS[dtype]
    counted = [n or 1 for n in shape] if 0 in shape else shape
    if math.prod(counted) * width > MAX_ARRAY_BYTES:  # NumPy's rule
        raise wrong(
            f"The shape, with each 0 counted as 1, must be that of at most "
            f"{MAX_ARRAY_BYTES} bytes. Received: {shape}."
        )
    if not _are_counts(offsets) or len(offsets) != 2:
        raise wrong("The offsets must be a list of two integers >= 0.")
    size = math.prod(shape) * width
    if offsets[1] - offsets[0] != size:
        raise wrong(
            f"The offsets must span {size} bytes for shape {shape} and dtype "
            f"{DTYPES[dtype]}. Received: {offsets[0]} to {offsets[1]}."
        )
    return _Place(DTYPES[dtype], (*shape,), start + offsets[0], start + offsets[1])


def _are_counts(values):
    if not isinstance(values, list):
        return False
    for value in values:
        if type(value) is not int or not 0 <= value <= MAX_ARRAY_BYTES:
            return False
    return True


def _check_cover(path, places, start):
    """Raises `CheckpointError` unless the tensors cover the file without gaps."""
    end = start
    for name, place in sorted(places.items(), key=lambda item: item[1][2:]):
        if place.begin != end:
            raise CheckpointError(
                "Tensors must be contiguous, without gaps or overlap. Received: a "
                f"tensor that begins at byte {place.begin}, after one that ends at "
                f"{end}.",
                path=path,
                tensor=name,
            )
        end = place.end
    if end != path.stat().st_size:
        raise CheckpointError(
            f"Not a complete safetensors file: the tensors must end where the file "
            f"does, at byte {path.stat().st_size}. Received: {end}.",
            path=path,
            fix="Copy the file again.",
        )
