"""Writes safetensors files, with one tensor in memory at a time."""

import json

import numpy as np

from tfzoo.checkpoints.checksums import UNKNOWN, sha256, signed
from tfzoo.checkpoints.safetensors_files import CHECKSUM, INDEX, WEIGHTS
from tfzoo.errors import require_whole
from tfzoo.weight_files import data, header, num_bytes


def write_safetensors(directory, tensors, max_shard_size=None):
    """Writes `model.safetensors`, or shards with an index like `transformers`.

    Args:
        directory: An existing `pathlib.Path`.
        tensors: List of objects with `name`, `dtype` (NumPy's name), `shape` and
            `read()`, which returns the array.
        max_shard_size: Maximum bytes of tensors per file; a larger tensor gets a file
            of its own. None writes a single file.
    """
    require_whole("max_shard_size", max_shard_size, 1, optional=True)
    shards = _shards(sorted(tensors, key=lambda t: t.name), max_shard_size)
    if len(shards) == 1:
        write_file(directory / WEIGHTS, shards[0])
        return
    places = {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_file(directory / name, shard)
        places |= {tensor.name: name for tensor in shard}
    total = sum(_size(tensor) for tensor in tensors)
    index = {"metadata": {"total_size": total}, "weight_map": places}
    text = json.dumps(index, indent=2, sort_keys=True) + "\n"
    (directory / INDEX).write_text(text, encoding="utf-8")


def _shards(tensors, limit):
    shards, room = [[]], limit
    for tensor in tensors:
        size = _size(tensor)
        if limit is not None:
            if size > room and shards[-1]:
                shards.append([])
                room = limit
            room -= size
        shards[-1].append(tensor)
    return shards


def _size(tensor):
    return num_bytes(tensor.dtype, tensor.shape)


def write_file(path, tensors):
    """Writes one safetensors file; `tensors` as in `write_safetensors`."""
    # The widest dtypes first, so that every tensor is aligned to its item size
    tensors = sorted(tensors, key=lambda t: -np.dtype(t.dtype).itemsize)
    known = {tensor.name: UNKNOWN for tensor in tensors}
    with open(path, "wb") as file:
        file.write(_header(tensors, known))
        for tensor in tensors:
            content = data(tensor.read())
            known[tensor.name] = sha256(content)
            file.write(content)
        head = _header(tensors, known)
        file.seek(8)
        file.write(signed(head[8:].decode(), CHECKSUM).encode())


def _header(tensors, known):
    """The header, whose length does not depend on the checksums."""
    sums = {f"{CHECKSUM}.{name}": checksum for name, checksum in known.items()}
    return header(
        [(tensor.name, tensor.dtype, tensor.shape) for tensor in tensors],
        {"format": "pt", CHECKSUM: UNKNOWN, **sums},
    )
