"""Transformers on Keras 3 / TensorFlow: raw text to TF Serving with `model.fit`."""

import importlib
import os

# TensorFlow reads this when it is first imported. Its own kernels multiply the small
# matrices of attention at a quarter of a CPU's speed; oneDNN, which it ships and turns
# on by itself on some processors only, does not. What the user has set stays.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

_HOMES = {
    "BertEncoder": "tfzoo.families",
    "DistilBertEncoder": "tfzoo.families",
    "GPTDecoder": "tfzoo.families",
    "RobertaEncoder": "tfzoo.families",
    "TransformerLayer": "tfzoo.layers",
    "MaskedLMHead": "tfzoo.layers",
    "ByteBPETokenizer": "tfzoo.text",
    "WordPieceTokenizer": "tfzoo.text",
    "BertPretrainer": "tfzoo.tasks",
    "CausalLM": "tfzoo.tasks",
    "MaskedLM": "tfzoo.tasks",
    "QuestionAnswerer": "tfzoo.tasks",
    "TextClassifier": "tfzoo.tasks",
    "TokenClassifier": "tfzoo.tasks",
    "TextEmbedder": "tfzoo.tasks",
    "TfzooError": "tfzoo.errors",
}
__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'tfzoo' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__():
    return sorted([*globals(), *_HOMES])
