"""Strings to ids and back, outside and inside the TensorFlow graph."""

import importlib

_HOMES = {
    "ByteBPETokenizer": "tfzoo.text.byte_bpe.tokenizer",
    "ByteBPEGraph": "tfzoo.text.byte_bpe.graph",
    "ROBERTA_TOKENS": "tfzoo.text.byte_bpe.asset_files",
    "TokenizedTexts": "tfzoo.text.byte_bpe.rust",
    "TextStream": "tfzoo.text.text_stream",
    "tokenizer_from_preset": "tfzoo.text.preset_tokenizer",
    "WordPieceTokenizer": "tfzoo.text.wordpiece.tokenizer",
    "WordPieceGraph": "tfzoo.text.wordpiece.graph",
    "EncodedBatch": "tfzoo.text.segments",
    "Encoding": "tfzoo.text.segments",
}
__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'tfzoo.text' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__():
    return sorted([*globals(), *_HOMES])
