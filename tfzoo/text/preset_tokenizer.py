"""Opens the tokenizer of a preset, of the class that its files specify."""

from tfzoo import files
from tfzoo.checkpoints.references import local_directory
from tfzoo.errors import TokenizerError
from tfzoo.text import keras_hub_files
from tfzoo.text.byte_bpe.asset_files import PAIRS_OF_FILES
from tfzoo.text.byte_bpe.tokenizer import ByteBPETokenizer
from tfzoo.text.sentencepiece.asset_files import MODELS
from tfzoo.text.sentencepiece.json_file import is_sentencepiece
from tfzoo.text.sentencepiece.tokenizer import SentencePieceTokenizer
from tfzoo.text.tokenizer_files import JSON, parts
from tfzoo.text.wordpiece.tokenizer import WordPieceTokenizer


def tokenizer_from_preset(preset):
    """Reads a `WordPieceTokenizer`, `ByteBPETokenizer` or `SentencePieceTokenizer`.

    Args:
        preset: A directory, or a reference as in `open_checkpoint`.

    Raises:
        TokenizerError: a file is missing, invalid or belongs to another kind of
            tokenizer.
        CheckpointError: the download failed.
    """
    directory = local_directory(preset, weights=False)
    if keras_hub_files.holds(directory):
        is_bpe = keras_hub_files.is_byte_bpe(directory)
    elif (directory / JSON).exists():
        content = files.read_json(directory / JSON, TokenizerError)
        model = parts(content, ["model"])["model"]
        if is_sentencepiece(content):
            return SentencePieceTokenizer.from_preset(directory)
        is_bpe = model.get("type") == "BPE" or "merges" in model
    elif any((directory / name).exists() for name in MODELS):
        return SentencePieceTokenizer.from_preset(directory)
    else:
        is_bpe = any((directory / name).exists() for name, _ in PAIRS_OF_FILES)
    cls = ByteBPETokenizer if is_bpe else WordPieceTokenizer
    return cls.from_preset(directory)
