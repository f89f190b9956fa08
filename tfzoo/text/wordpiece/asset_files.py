"""The files of a WordPiece tokenizer, in the layout of Hugging Face.

`tokenizer.json` (vocabulary and options) or `vocab.txt` (a token per line, in the order
of the ids). With either, the options in `tokenizer_config.json` take precedence, and so
do the special tokens named there and in `special_tokens_map.json`, as in
`transformers`.
"""

import json

from tfzoo.checkpoints.references import local_directory
from tfzoo.errors import TokenizerError, printable, shown
from tfzoo.text import keras_hub_files, templates, tokenizer_files
from tfzoo.text.layout import Layout
from tfzoo.text.tokenizer_classes import WORDPIECE, class_to_write, named_class
from tfzoo.text.tokenizer_files import CONFIG, IGNORES_OPTIONS, JSON, TOKENS
from tfzoo.text.wordpiece import json_file

_TEXT = "vocab.txt"
_TEXTS = (_TEXT, keras_hub_files.VOCABULARY)
_OPTIONS = {  # field of tokenizer_config.json: constructor argument, allowed values
    "do_lower_case": ("lowercase", (True, False)),
    "strip_accents": ("strip_accents", (True, False, None)),
    "tokenize_chinese_chars": ("split_cjk", (True, False)),
}


def read_preset(directory):
    """Reads the constructor arguments of a `WordPieceTokenizer` from a directory.

    Returns:
        Dictionary of constructor arguments.

    Raises:
        TokenizerError: a file is missing, invalid or not BERT's WordPiece.
    """
    directory = local_directory(directory, weights=False)
    directory, config = keras_hub_files.vocabulary_and_config(directory)
    config_path = directory / CONFIG
    named = tokenizer_files.named_tokens(directory, config)
    name = config.get("tokenizer_class")
    if (directory / JSON).exists():
        path, by_line = directory / JSON, False
        arguments, template = json_file.read_json(path)
        if name in IGNORES_OPTIONS:
            config = {key: config[key] for key in config if key not in _OPTIONS}
            arguments["layout"] = Layout()  # unless tokenizer.json states one
    elif texts := [n for n in _TEXTS if (directory / n).exists()]:
        path, by_line, template = directory / texts[0], True, None
        arguments = {"vocabulary": tokenizer_files.read_lines(path)}
        if name is not None:
            known = named_class(name, WORDPIECE, config_path, "tokenizer_class")
            arguments |= {**known.tokens, "layout": known.layout}
        added = tokenizer_files.added_tokens(directory, config, named)
        json_file.read_added(added[0], arguments["vocabulary"], added[1])
    else:
        raise TokenizerError(
            f"The directory of a tokenizer must contain {JSON} or {_TEXT}.",
            path=directory,
        )
    arguments.update(_options(config, config_path))
    tokens = {TOKENS[theirs]: named[theirs] for theirs in TOKENS if named.get(theirs)}
    arguments.update({ours: token["content"] for ours, token in tokens.items()})
    if template is not None:
        between = {
            "cls": arguments.get("cls_token", "[CLS]"),
            "sep": arguments.get("sep_token", "[SEP]"),
        }
        arguments["layout"] = templates.with_roles(
            template, "cls", "sep", between, directory / JSON
        )
    unknown_token = arguments.get("unknown_token", "[UNK]")
    check_vocabulary(arguments["vocabulary"], unknown_token, path, by_line=by_line)
    return arguments


def write_preset(tokenizer, directory, max_sequence_length=None):
    """Writes the three files into an existing directory without overwriting any."""
    config = {"tokenizer_class": class_to_write(WORDPIECE, tokenizer.layout)}
    for theirs, (ours, _) in _OPTIONS.items():
        config[theirs] = getattr(tokenizer, ours)
    for theirs, ours in TOKENS.items():
        config[theirs] = getattr(tokenizer, ours)
    if max_sequence_length is not None:
        config["model_max_length"] = max_sequence_length
    contents = {
        JSON: json_file.to_json(tokenizer),
        _TEXT: "\n".join(tokenizer.vocabulary),
        CONFIG: json.dumps(config, indent=2, ensure_ascii=False),
    }
    tokenizer_files.write_files(directory, contents)


def check_vocabulary(vocabulary, unknown_token, path=None, *, by_line=False):
    """Raises `TokenizerError` unless the vocabulary is valid for ids 0, 1, 2, ...

    Args:
        vocabulary: Sequence of tokens.
        unknown_token: The token that the vocabulary must contain.
        path: The file that contains them.
        by_line: Whether the token of id i is on line i + 1 of that file.
    """

    def error(rule, index=None):
        line = index + 1 if by_line and index is not None else None
        return TokenizerError(rule, path=path, line=line)

    if not vocabulary:
        raise error("The vocabulary must not be empty.")
    ids = {}
    for index, token in enumerate(vocabulary):
        if not token or not _is_one_line(token):
            raise error(
                "A token must be a non-empty line of valid Unicode. Received: "
                f"{shown(token)} with id {index}.",
                index,
            )
        if ids.setdefault(token, index) != index:
            raise error(
                f"Tokens must be unique. Received: {shown(token)} with ids "
                f"{ids[token]} and {index}.",
                index,
            )
    if unknown_token not in ids:
        name = printable(unknown_token, 80)
        raise error(f"The vocabulary must contain the unknown token {name}.")


def _is_one_line(token):
    try:
        return not {10, 13}.intersection(token.encode("utf-8"))
    except (AttributeError, UnicodeEncodeError):
        return False


def _options(config, path):
    """Constructor arguments that tokenizer_config.json sets."""
    arguments = {}
    for theirs, (ours, allowed) in _OPTIONS.items():
        if theirs in config:
            json_file.check(config[theirs], allowed, path, theirs)
            arguments[ours] = config[theirs]
    return arguments
