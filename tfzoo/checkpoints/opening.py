"""Any published checkpoint, recognised by its files."""

import pathlib
from typing import NamedTuple

from tfzoo.checkpoints import keras_hub_presets
from tfzoo.checkpoints.presets import CONFIG, read_config
from tfzoo.checkpoints.references import local_directory
from tfzoo.checkpoints.safetensors_files import WEIGHTS, SafetensorsFile
from tfzoo.checkpoints.tensors import Tensors
from tfzoo.errors import CheckpointError


class Checkpoint(NamedTuple):
    """A model on disk, as Hugging Face would have laid it out.

    Args:
        path: The file that the configuration comes from, for errors.
        config: The fields of Hugging Face's `config.json`, a dict.
        tensors: The weights under Hugging Face's names.
        directory: Where the files of the tokenizer lie.
    """

    path: pathlib.Path
    config: dict
    tensors: Tensors
    directory: pathlib.Path


def _open_safetensors(directory):
    return Checkpoint(
        path=directory / CONFIG,
        config=read_config(directory),
        tensors=SafetensorsFile(directory / WEIGHTS),
        directory=directory,
    )


def _open_keras_hub(directory):
    config, tensors = keras_hub_presets.read_preset(directory)
    return Checkpoint(
        path=directory / CONFIG, config=config, tensors=tensors, directory=directory
    )


# File that tells a format -> function that opens such a directory; the first that is
# there decides.
_FORMATS = {
    WEIGHTS: _open_safetensors,
    keras_hub_presets.WEIGHTS: _open_keras_hub,
}


def open_checkpoint(reference):
    """Opens a checkpoint of whichever format.

    Args:
        reference: A directory, `hf://ORG/NAME[@REVISION]` or `keras_hub://NAME`; the
            network is used for these alone.

    Returns:
        A `Checkpoint`. Its tensors are read when they are asked for.

    Raises:
        CheckpointError: it is of no known format, or breaks a rule of its own.
    """
    directory = local_directory(reference)
    if not directory.is_dir():
        raise CheckpointError("The preset directory does not exist.", path=directory)
    for name, open_directory in _FORMATS.items():
        if (directory / name).exists():
            return open_directory(directory)
    raise CheckpointError(
        f"A checkpoint's directory must hold {' or '.join(_FORMATS)}.", path=directory
    )
