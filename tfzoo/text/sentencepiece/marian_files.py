"""The files of Marian's tokenizers: a model and a vocabulary for either language.

`source.spm` and `target.spm` are models of SentencePiece. The ids of their pieces are
in `vocab.json`; those of the target are in `target_vocab.json` instead if
`separate_vocabs` is true in `tokenizer_config.json`.
"""

import json

from tfzoo import files
from tfzoo.errors import TokenizerError, about
from tfzoo.text import tokenizer_files
from tfzoo.text.byte_bpe.rules import in_order
from tfzoo.text.sentencepiece import model_file

SOURCE, TARGET = "source.spm", "target.spm"
VOCABULARY, TARGET_VOCABULARY = "vocab.json", "target_vocab.json"
_ARE_SEPARATE = "separate_vocabs"


def read_vocabularies(directory, config, source):
    """Constructor arguments of a `SentencePieceTokenizer`, except for its model.

    Args:
        directory: The directory.
        config: The content of its tokenizer_config.json.
        source: The content of source.spm.
    """
    are_separate = config.get(_ARE_SEPARATE, False)
    path = directory / tokenizer_files.CONFIG
    tokenizer_files.check_field(
        are_separate, [True, False], path, _ARE_SEPARATE, "Marian"
    )
    arguments = {"recognizes_unknown": True, "language_codes": True}
    arguments["vocabulary"] = _read_vocabulary(directory / VOCABULARY)
    path = directory / TARGET
    target = files.read_bytes(path, tokenizer_files.MAX_BYTES, TokenizerError)
    with about(path):
        model_file.read_model(target)
    if are_separate or target != source:
        arguments["target_model"] = target
    if are_separate:
        path = directory / TARGET_VOCABULARY
        arguments["target_vocabulary"] = _read_vocabulary(path)
    return arguments


def _read_vocabulary(path):
    return in_order(files.read_json(path, TokenizerError), path)


def to_write(tokenizer):
    """The contents of the files, and options of tokenizer_config.json."""
    contents = {
        SOURCE: tokenizer.model,
        TARGET: tokenizer.target_model or tokenizer.model,
        VOCABULARY: _written(tokenizer.vocabulary),
    }
    if tokenizer.target_vocabulary is None:
        return contents, {}
    contents[TARGET_VOCABULARY] = _written(tokenizer.target_vocabulary)
    return contents, {_ARE_SEPARATE: True}


def _written(vocabulary):
    ids = {token: i for i, token in enumerate(vocabulary) if token is not None}
    return json.dumps(ids, ensure_ascii=False)
