"""Any published checkpoint, recognised by its files."""

import functools
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
from tfzoo.families.family import BACKBONES


class Checkpoint(NamedTuple):
    """A model on disk, as Hugging Face would have laid it out.

    Args:
        path: The file that the configuration comes from, for errors.
        config: The fields of Hugging Face's `config.json`, a dict.
        tensors: The weights under Hugging Face's names.
        directory: Where the files of the tokenizer lie.
        has_checksums: Whether the weights are those that tfzoo wrote, with checksums.
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
    model_type = config.get("model_type")
    prefix = f"{model_type}."
    if isinstance(model_type, str) and model_type in BACKBONES:
        family = BACKBONES[model_type].family
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
    raise CheckpointError(
        "A pickle is never opened, since that can run what is in it.",
        path=directory / "pytorch_model.bin",
        fix=f"Convert it there, where PyTorch is installed: {safetensors.FROM_PICKLE}",
    )


def _families():
    return [backbone.family for backbone in BACKBONES.values()]


def _formats():
    """File that tells a format -> function that opens such a directory.

    The first that is there decides.
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
    formats = _formats()
    for name, open_directory in formats.items():
        if (directory / name).exists():
            return open_directory(directory)
    raise CheckpointError(
        f"A checkpoint's directory must hold one of {', '.join([*formats][:-2])}.",
        path=directory,
    )
