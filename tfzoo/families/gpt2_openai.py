"""OpenAI's GPT-2: `hparams.json`, `encoder.json`, `vocab.bpe`, `model.ckpt.*`.

Source of the variable names: openai/gpt-2 src/model.py
"""

import re

from tfzoo.checkpoints.renamed import Renamed, Source

CONFIG = "hparams.json"
_FIELDS = {"n_vocab": "vocab_size", "n_ctx": "n_positions"}
_VARIABLES = {
    "w": "weight",
    "b": "bias",
    "g": "weight",
    "wte": "wte.weight",
    "wpe": "wpe.weight",
}


def to_hugging_face(config, tensors):
    """The fields of `config.json`, given those of `hparams.json`."""
    del tensors
    return {
        "architectures": ["GPT2LMHeadModel"],
        **{_FIELDS.get(name, name): value for name, value in config.items()},
        "model_type": "gpt2",
    }


def rename(tensors):
    """The tensors with Hugging Face's names."""
    return Renamed(tensors, [_source(tensors, name) for name in tensors.names])


def _source(tensors, name):
    path, _, variable = name.removeprefix("model/").rpartition("/")
    path = re.sub(r"^h(\d+)", r"h.\1", path).replace("/", ".")
    todays = ".".join(filter(None, [path, _VARIABLES.get(variable, variable)]))
    shape = tensors.shape(name)
    # A kernel is that of a convolution of width 1: (1, inputs, outputs)
    kernel = shape[1:] if variable == "w" and len(shape) == 3 else None
    return todays, Source(name, shape=kernel)
