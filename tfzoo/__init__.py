"""Transformers on Keras 3 / TensorFlow: raw text to TF Serving with `model.fit`.

Importing this package has one effect on the process: it sets the environment variable
TF_ENABLE_ONEDNN_OPTS to 1, unless it is set, or TensorFlow, which reads it once, is
already imported. Processes that are started later inherit it.
"""

import os
import sys

from tfzoo.lazy import exports

# TensorFlow reads this on first import. Its own kernels multiply the small matrices of
# attention at a quarter of a CPU's speed; oneDNN, which it ships but enables by default
# on some processors only, does not. A value set by the user is kept.
if "tensorflow" not in sys.modules:
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

_HOMES = {
    "tfzoo.families": "BartEncoderDecoder BertEncoder DistilBertEncoder GPTDecoder "
    "LlamaDecoder MarianEncoderDecoder MistralDecoder Qwen2Decoder Qwen3Decoder "
    "RobertaEncoder T5Encoder T5EncoderDecoder TransformerEncoderDecoder",
    "tfzoo.layers": "TransformerLayer MaskedLMHead",
    "tfzoo.text": "ByteBPETokenizer SentencePieceTokenizer WordPieceTokenizer",
    "tfzoo.tasks": "BertPretrainer CausalLM MaskedLM QuestionAnswerer Seq2SeqLM "
    "TextClassifier TokenClassifier TextEmbedder",
    "tfzoo.errors": "TfzooError",
}
__getattr__, __dir__, __all__ = exports(__name__, _HOMES)
