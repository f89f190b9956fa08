"""Tokenizers: strings to ids and back, in Python and in TensorFlow graphs."""

from tfzoo.lazy import exports

_HOMES = {
    "tfzoo.text.byte_bpe.tokenizer": "ByteBPETokenizer",
    "tfzoo.text.byte_bpe.graph": "ByteBPEGraph",
    "tfzoo.text.tokenizer_classes": "ROBERTA_TOKENS",
    "tfzoo.text.rust_engine": "TokenizedTexts",
    "tfzoo.text.text_stream": "TextStream",
    "tfzoo.text.preset_tokenizer": "tokenizer_from_preset",
    "tfzoo.text.sentencepiece.tokenizer": "SentencePieceTokenizer",
    "tfzoo.text.sentencepiece.graph": "SentencePieceGraph",
    "tfzoo.text.wordpiece.tokenizer": "WordPieceTokenizer",
    "tfzoo.text.wordpiece.graph": "WordPieceGraph",
    "tfzoo.text.layout": "Layout",
    "tfzoo.text.segments": "EncodedBatch Encoding",
}
__getattr__, __dir__, __all__ = exports(__name__, _HOMES)
