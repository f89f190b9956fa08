"""Strings to ids and back, outside and inside the TensorFlow graph."""

from tfzoo.lazy import exports

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

__getattr__, __dir__ = exports(__name__, _HOMES)
