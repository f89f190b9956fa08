"""Transformers on Keras 3 / TensorFlow: raw text to TF Serving with `model.fit`."""

import os

from tfzoo.lazy import exports

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

__getattr__, __dir__ = exports(__name__, _HOMES)
