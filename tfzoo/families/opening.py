"""Opens published checkpoints of all formats, recognized by their files."""

import functools
import glob
import os
import pathlib
from typing import NamedTuple

from tfzoo.checkpoints import keras_hub
from tfzoo.checkpoints import safetensors_files as safetensors
from tfzoo.checkpoints.extra_tensors import refuse_wrapped
from tfzoo.checkpoints.preset_files import CONFIG, read_config
from tfzoo.checkpoints.references import local_directory
from tfzoo.checkpoints.renamed import in_todays_names
from tfzoo.checkpoints.tensorflow_files import TensorFlowCheckpoint
from tfzoo.checkpoints.tensors import Tensors
from tfzoo.checkpoints.transformers_h5 import WEIGHTS as H5
from tfzoo.checkpoints.transformers_h5 import open_transformers_h5
from tfzoo.errors import CheckpointError
from tfzoo.families.family import BACKBONES, class_named_in, class_of


class Checkpoint(NamedTuple):
    """A model on disk, converted to Hugging Face's layout.

    Args:
        path: The file with the configuration, for errors.
        config: The fields of Hugging Face's `config.json`, a dict.
        tensors: The weights with Hugging Face's names.
        directory: The directory with the files of the tokenizer.
        has_checksums: Whether tfzoo wrote the weights, with checksums.
    """

    path: pathlib.Path
    config: dict
    tensors: Tensors
    directory: pathlib.Path
    has_checksums: bool = False


def _open_safetensors(directory):
    return _hugging_face(
        directory, safetensors.SafetensorsFile(directory / safetensors.WEIGHTS)
    )


def _open_shards(directory):
    return _hugging_face(directory, safetensors.ShardedSafetensors(directory))


def _open_h5(directory):
    return _hugging_face(directory, open_transformers_h5(directory / H5))


def _hugging_face(directory, tensors):
    config = read_config(directory)
    prefix = f"{config.get('model_type')}."
    if backbone_class := class_named_in(config):
        family = backbone_class.family
        prefix, anchor = family.prefix, family.names["token_embedding/embeddings"]
        refuse_wrapped(tensors, prefix, anchor.name)
    return Checkpoint(
        path=directory / CONFIG,
        config=config,
        tensors=in_todays_names(tensors, prefix),
        directory=directory,
        has_checksums=getattr(tensors, "has_checksums", False),
    )


def _open_keras_hub(directory):
    config, tensors = keras_hub.read_preset(directory, _families())
    return Checkpoint(
        path=directory / CONFIG, config=config, tensors=tensors, directory=directory
    )


def _open_foreign(directory, name, layout_of):
    tensors = TensorFlowCheckpoint(directory)
    layout = layout_of(tensors)
    return Checkpoint(
        path=directory / name,
        config=layout.to_hugging_face(read_config(directory, name), tensors),
        tensors=layout.rename(tensors),
        directory=directory,
    )


def _refuse_pytorch(directory):
    if os.path.exists(directory / CONFIG):  # no use in converting what is not supported
        class_of(read_config(directory), directory / CONFIG)
    raise CheckpointError(
        "Pickle files are not supported, because opening one can run code in it.",
        path=directory / "pytorch_model.bin",
        fix=f"Convert it where PyTorch is installed: {safetensors.FROM_PICKLE}",
    )


def _families():
    return [backbone.family for backbone in BACKBONES.values()]


def _formats():
    """Dict of the file that identifies a format -> function that opens a directory.

    The first file that exists decides.
    """
    return {
        safetensors.WEIGHTS: _open_safetensors,
        safetensors.INDEX: _open_shards,
        H5: _open_h5,
        keras_hub.WEIGHTS: _open_keras_hub,
        **{
            name: functools.partial(_open_foreign, name=name, layout_of=layout_of)
            for family in _families()
            for name, layout_of in family.foreign.items()
        },
        "pytorch_model.bin": _refuse_pytorch,
        "pytorch_model.bin.index.json": _refuse_pytorch,
    }


def open_checkpoint(reference):
    """Opens a checkpoint of any supported format.

    Args:
        reference: A directory, `hf://ORG/NAME[@REVISION]` or `keras_hub://NAME`; only
            the latter two use the network.

    Returns:
        A `Checkpoint`. Its tensors are read on demand.

    Raises:
        CheckpointError: the format is unknown, or the checkpoint is invalid.
    """
    directory = local_directory(reference)
    if not os.path.isdir(directory):
        raise CheckpointError(
            "The preset directory does not exist.",
            path=directory,
            fix="Give the directory that contains the file."
            if any(map(os.path.isfile, glob.glob(f"{glob.escape(str(directory))}*")))
            else "For a repository of the Hugging Face Hub, give hf://ORG/NAME.",
        )
    formats = _formats()
    for name, open_directory in formats.items():
        if os.path.exists(directory / name):
            return open_directory(directory)
    raise CheckpointError(
        "The directory of a checkpoint must contain one of "
        f"{', '.join([*formats][:-2])}.",
        path=directory,
    )
