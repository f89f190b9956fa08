"""The mean of the weights of several checkpoints of a training, as a new preset.

Source: Vaswani et al. 2017, section 6.1, https://arxiv.org/abs/1706.03762
"""

import os
import pathlib
import shutil
from typing import NamedTuple

import numpy as np

from tfzoo.checkpoints.preset_files import CARD, CONFIG, read_config, write_preset
from tfzoo.checkpoints.references import local_directory
from tfzoo.checkpoints.safetensors_files import (
    INDEX,
    WEIGHTS,
    SafetensorsFile,
    ShardedSafetensors,
)
from tfzoo.checkpoints.safetensors_writing import write_safetensors
from tfzoo.checkpoints.weights import FLOATING, read_finite
from tfzoo.errors import CheckpointError, printable, shown
from tfzoo.files import entries_below
from tfzoo.weight_files import num_bytes

# How the names of weights end, in formats of all tools
_ENDS = (".safetensors", ".bin", ".h5", ".msgpack", ".ot", ".onnx", ".index.json")


def average_presets(presets, output, *, max_shard_size=None):
    """Writes a preset with the mean of the weights of others.

    Everything else is that of the first. The mean is computed in float64, with a tensor
    of each preset in memory at a time.

    Args:
        presets: At least two presets of one model with safetensors: directories, or
            `hf://ORG/NAME`.
        output: The directory to write; it must not exist yet.
        max_shard_size: As in `save_to_preset`.

    Raises:
        CheckpointError: the presets are of different models, or a tensor is lacking,
            has another shape or dtype, or is not finite; an integer tensor must be
            equal in all.
        OutputError: the output exists or cannot be written.
    """
    if isinstance(presets, str | os.PathLike) or len(presets) < 2:
        raise ValueError(
            f"presets must be a list of at least two. Received: {shown(presets)}"
        )
    directories = [local_directory(preset) for preset in presets]
    configs = [read_config(directory) for directory in directories]
    _require_one_kind(directories, configs)
    files = [_opened(directory) for directory in directories]
    _require_same_tensors(files)
    names = sorted(files[0].names)
    means = [_Mean(n, files[0].dtype(n), files[0].shape(n), files) for n in names]
    first = directories[0]

    def write_rest(beside):
        write_safetensors(beside, means, max_shard_size)
        _copy_others(first, beside)

    size = sum(num_bytes(mean.dtype, mean.shape) for mean in means)
    card = _card(first, [directory.name for directory in directories])
    write_preset(output, configs[0], card, write_rest, size=size)


class _Mean(NamedTuple):
    """A tensor to be written, the mean of those of the files; computed when read."""

    name: str
    dtype: str
    shape: tuple
    files: list

    def read(self):
        first, *others = self.files
        if self.dtype not in FLOATING:
            array = first.read(self.name)
            for file in others:
                if not np.array_equal(file.read(self.name), array):
                    raise CheckpointError(
                        "A tensor of integers has no mean, so it must be equal in all "
                        "presets.",
                        path=file.path,
                        tensor=self.name,
                    )
            return array
        total = np.zeros(self.shape, np.float64)
        for file in self.files:
            total += read_finite(file, self.name).astype(np.float64)
        return (total / len(self.files)).astype(self.dtype)


def _opened(directory):
    if os.path.exists(directory / WEIGHTS):
        return SafetensorsFile(directory / WEIGHTS)
    if os.path.exists(directory / INDEX):
        return ShardedSafetensors(directory)
    raise CheckpointError(
        f"The directory must contain {WEIGHTS} or {INDEX}.", path=directory
    )


def _require_one_kind(directories, configs):
    for field in ("model_type", "architectures"):
        expected = configs[0].get(field)
        for directory, config in zip(directories, configs, strict=True):
            if config.get(field) != expected:
                raise CheckpointError(
                    f"Must be {shown(expected)}, as in the first preset. "
                    f"Received: {shown(config.get(field))}.",
                    path=directory / CONFIG,
                    tensor=field,
                )


def _require_same_tensors(files):
    first = files[0]
    for file in files[1:]:
        if differing := sorted(first.names ^ file.names):
            name = differing[0]
            lacking, having = (first, file) if name in file.names else (file, first)
            raise CheckpointError(
                f"Every file must have the same tensors. {printable(having.path)} has "
                "one that this file lacks.",
                path=lacking.path,
                tensor=name,
            )
        for name in sorted(first.names):
            for what in ("shape", "dtype"):
                expected, found = (getattr(f, what)(name) for f in (first, file))
                if found != expected:
                    raise CheckpointError(
                        f"The {what} must be {expected}, as in the first file. "
                        f"Received: {found}.",
                        path=file.path,
                        tensor=name,
                    )


def _copy_others(directory, beside):
    """Copies all files but weights, configuration and card, which are written anew."""
    for path in sorted(entries_below(directory)):
        name = path.relative_to(directory)
        is_hidden = any(part.startswith(".") for part in name.parts)
        if path.is_dir() or is_hidden or path.name.endswith(_ENDS):
            continue
        if name in (pathlib.Path(CONFIG), pathlib.Path(CARD)):
            continue
        (beside / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, beside / name)


def _card(directory, names):
    """The first preset's card, and of which weights these are the mean."""
    path = directory / CARD
    card = path.read_text(encoding="utf-8") if path.is_file() else ""
    listed = ", ".join(f"`{printable(name, 80)}`" for name in names)
    return (
        f"{card}\nThe weights are the mean of those of {listed}; all else here is of "
        "the first of them.\n"
    )
