"""Transformers on Keras 3 / TensorFlow: raw text to TF Serving with `model.fit`."""

import os

from tfzoo.lazy import exports

# TensorFlow reads this when it is first imported. Its own kernels multiply the small
# matrices of attention at a quarter of a CPU's speed; oneDNN, which it ships and turns
# on by itself on some processors only, does not. What the user has set stays.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

_HOMES = {
    "tfzoo.families": "BertEncoder DistilBertEncoder GPTDecoder RobertaEncoder",
    "tfzoo.layers": "TransformerLayer MaskedLMHead",
    "tfzoo.text": "ByteBPETokenizer WordPieceTokenizer",
    "tfzoo.tasks": "BertPretrainer CausalLM MaskedLM QuestionAnswerer TextClassifier "
    "TokenClassifier TextEmbedder",
    "tfzoo.errors": "TfzooError",
}
__getattr__, __dir__, __all__ = exports(__name__, _HOMES)
