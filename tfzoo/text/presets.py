"""The tokenizer of a preset directory, of the class that its files say."""

import pathlib

from tfzoo import files
from tfzoo.errors import TokenizerError
from tfzoo.text.byte_bpe import ByteBPETokenizer
from tfzoo.text.byte_bpe_files import PAIRS_OF_FILES
from tfzoo.text.tokenizer_files import JSON, parts
from tfzoo.text.wordpiece import WordPieceTokenizer


def tokenizer_from_preset(directory):
    """Reads a `WordPieceTokenizer` or a `ByteBPETokenizer` from a directory.

    Raises:
        TokenizerError: a file is missing, broken or neither one's.
    """
    directory = pathlib.Path(directory)
    if (directory / JSON).exists():
        content = files.read_json(directory / JSON, TokenizerError)
        model = parts(content, ["model"])["model"]
        is_bpe = model.get("type") == "BPE" or "merges" in model
    else:
        is_bpe = any((directory / name).exists() for name, _ in PAIRS_OF_FILES)
    cls = ByteBPETokenizer if is_bpe else WordPieceTokenizer
    return cls.from_preset(directory)
