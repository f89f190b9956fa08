"""The files of a byte-level BPE tokenizer, as Hugging Face and OpenAI lay them out.

`tokenizer.json`; or `vocab.json` (token -> id) and `merges.txt` (a pair of tokens per
line, after a line with the version), which OpenAI calls `encoder.json` and `vocab.bpe`.
Beside either, `tokenizer_config.json` names the end token.
"""

import json

from tfzoo import files
from tfzoo.checkpoints.references import local_directory
from tfzoo.errors import TokenizerError
from tfzoo.text import (
    byte_bpe_check,
    byte_bpe_json,
    keras_hub_files,
    tokenizer_files,
)
from tfzoo.text.tokenizer_files import CONFIG, JSON

PAIRS_OF_FILES = (
    ("vocab.json", "merges.txt"),
    ("encoder.json", "vocab.bpe"),
    keras_hub_files.PAIR_OF_FILES,
)
_VERSION = "#version: 0.2"
_CLASSES = [None, "GPT2Tokenizer", "GPT2TokenizerFast", "TokenizersBackend"]
_CLASSES.append("PreTrainedTokenizerFast")


def read_preset(directory):
    """What `ByteBPETokenizer` is constructed from, read from a directory.

    Returns:
        Dictionary of constructor arguments.

    Raises:
        TokenizerError: a file is missing, broken or not GPT-2's byte-level BPE.
    """
    directory = local_directory(directory, weights=False)
    config = {}
    if keras_hub_files.holds(directory):
        directory, config = keras_hub_files.translated(directory)
    config_path = directory / CONFIG
    if config_path.exists():
        config = files.read_json(config_path, TokenizerError)
    byte_bpe_json.check(
        config.get("add_prefix_space", False), [False], config_path, "add_prefix_space"
    )
    if (directory / JSON).exists():
        arguments = byte_bpe_json.read_json(directory / JSON)
    else:
        arguments = _read_pair(directory, config, config_path)
    end_token = tokenizer_files.special_token(config, "eos_token", config_path)
    if end_token is not None:
        arguments["end_token"] = end_token
    return arguments


def write_preset(tokenizer, directory, max_sequence_length=None):
    """Writes the four files into an existing directory, and overwrites none."""
    end_token = None if tokenizer.end_id is None else tokenizer.end_token
    added = byte_bpe_json.added_tokens(tokenizer)
    config = {
        "tokenizer_class": "GPT2Tokenizer",
        "add_prefix_space": False,
        "added_tokens_decoder": {str(token.pop("id")): token for token in added},
        **dict.fromkeys(("bos_token", "eos_token", "unk_token"), end_token),
    }
    if max_sequence_length is not None:
        config["model_max_length"] = max_sequence_length
    vocabulary, merges = PAIRS_OF_FILES[0]
    contents = {
        JSON: byte_bpe_json.to_json(tokenizer),
        vocabulary: json.dumps(byte_bpe_json.ids(tokenizer), ensure_ascii=False),
        merges: "\n".join([_VERSION, *map(" ".join, tokenizer.merges)]),
        CONFIG: json.dumps(config, indent=2, ensure_ascii=False),
    }
    tokenizer_files.write_files(directory, contents)


def _read_pair(directory, config, config_path):
    for names in PAIRS_OF_FILES:
        if (directory / names[0]).exists():
            vocabulary_path, merges_path = (directory / name for name in names)
            break
    else:
        raise TokenizerError(
            f"A tokenizer's directory must hold {JSON}, or "
            + ", or ".join(map(" and ".join, PAIRS_OF_FILES))
            + ".",
            path=directory,
        )
    byte_bpe_json.check(
        config.get("tokenizer_class"), _CLASSES, config_path, "tokenizer_class"
    )
    ids = files.read_json(vocabulary_path, TokenizerError)
    vocabulary = byte_bpe_check.in_order(ids, vocabulary_path)
    added = byte_bpe_json.read_added(
        _added_tokens(config, config_path), vocabulary, config_path
    )
    ids = byte_bpe_check.check_vocabulary(vocabulary, vocabulary_path)
    merges, first_line = _read_merges(merges_path)
    byte_bpe_check.check_merges(
        merges, ids, merges_path, lambda rank: {"line": rank + first_line}
    )
    byte_bpe_check.check_special(added, merges, ids, config_path)
    return {"vocabulary": vocabulary, "merges": merges, "special_tokens": added}


def _read_merges(path):
    """Pairs of tokens, and the number of the line of the first."""
    lines = tokenizer_files.read_lines(path)
    first_line = 2 if lines and lines[0].startswith("#version") else 1
    return [tuple(line.split(" ")) for line in lines[first_line - 1 :]], first_line


def _added_tokens(config, path):
    """The field `added_tokens_decoder` as tokenizer.json has added tokens: a list."""
    added = config.get("added_tokens_decoder") or {}
    try:
        return [{**token, "id": int(index)} for index, token in added.items()]
    except (AttributeError, TypeError, ValueError):
        raise TokenizerError(
            "Added tokens must be objects by their ids.",
            path=path,
            tensor="added_tokens_decoder",
        ) from None
