"""Any published checkpoint, recognised by its files."""

import pathlib
from typing import NamedTuple

from tfzoo.checkpoints import (
    bert,
    distilbert,
    google_bert,
    gpt2,
    keras_hub_presets,
    model_garden,
    openai_gpt2,
    roberta,
)
from tfzoo.checkpoints import safetensors_files as safetensors
from tfzoo.checkpoints.extra_tensors import refuse_wrapped
from tfzoo.checkpoints.presets import CONFIG, read_config
from tfzoo.checkpoints.references import local_directory
from tfzoo.checkpoints.renamed import in_todays_names
from tfzoo.checkpoints.tensorflow_files import TensorFlowCheckpoint
from tfzoo.checkpoints.tensors import Tensors
from tfzoo.checkpoints.transformers_h5 import WEIGHTS as H5
from tfzoo.checkpoints.transformers_h5 import open_transformers_h5
from tfzoo.errors import CheckpointError

_LAYOUTS = {layout.MODEL_TYPE: layout for layout in (bert, roberta, distilbert, gpt2)}


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
    if isinstance(model_type, str) and model_type in _LAYOUTS:
        layout = _LAYOUTS[model_type]
        prefix, names = layout.PREFIX, layout.backbone_names(0)
        refuse_wrapped(tensors, prefix, names["token_embedding/embeddings"].name)
    return Checkpoint(
        path=directory / CONFIG,
        config=config,
        tensors=in_todays_names(tensors, prefix),
        directory=directory,
        has_checksums=getattr(tensors, "has_checksums", False),
    )


def _open_keras_hub(directory):
    config, tensors = keras_hub_presets.read_preset(directory)
    return Checkpoint(
        path=directory / CONFIG, config=config, tensors=tensors, directory=directory
    )


def _open_bert(directory):
    tensors = TensorFlowCheckpoint(directory)
    layout = model_garden if model_garden.GRAPH in tensors.names else google_bert
    return _tensorflow(directory, google_bert.CONFIG, layout, tensors)


def _open_gpt2(directory):
    tensors = TensorFlowCheckpoint(directory)
    return _tensorflow(directory, openai_gpt2.CONFIG, openai_gpt2, tensors)


def _tensorflow(directory, name, layout, tensors):
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


# File that tells a format -> function that opens such a directory; the first that is
# there decides.
_FORMATS = {
    safetensors.WEIGHTS: _open_safetensors,
    safetensors.INDEX: _open_shards,
    H5: _open_h5,
    keras_hub_presets.WEIGHTS: _open_keras_hub,
    google_bert.CONFIG: _open_bert,  # of Google and of the Model Garden
    openai_gpt2.CONFIG: _open_gpt2,
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
    for name, open_directory in _FORMATS.items():
        if (directory / name).exists():
            return open_directory(directory)
    raise CheckpointError(
        f"A checkpoint's directory must hold one of {', '.join([*_FORMATS][:-2])}.",
        path=directory,
    )
