"""The files of KerasHub's tokenizers, translated to the options of Hugging Face.

KerasHub's `tokenizer.json` contains the class and its options; the vocabulary is in
`assets/tokenizer`. Special tokens in a text are plain text here, whatever
`special_tokens_in_strings` is.
"""

import re

from tfzoo import files
from tfzoo.errors import TokenizerError
from tfzoo.text import tokenizer_files
from tfzoo.text.tokenizer_classes import BYTE_BPE, WORDPIECE, named_class
from tfzoo.text.tokenizer_files import JSON

VOCABULARY = "vocabulary.txt"
PAIR_OF_FILES = ("vocabulary.json", "merges.txt")
_ASSETS = "assets/tokenizer"
# Algorithm -> options of its KerasHub class: the supported values, the default first,
# and the name in Hugging Face's tokenizer_config.json
_OPTIONS = {
    WORDPIECE: {
        "lowercase": ((False, True), "do_lower_case"),
        "strip_accents": ((False, True), "strip_accents"),
        "split_on_cjk": ((True, False), "tokenize_chinese_chars"),
        "split": ((True,), None),
        "suffix_indicator": (("##",), None),
    },
    BYTE_BPE: {"add_prefix_space": ((False, True), "add_prefix_space")},
}


def holds(directory):
    """Whether a directory contains a tokenizer in KerasHub's layout."""
    return (directory / _ASSETS).is_dir()


def is_byte_bpe(directory):
    """Whether that tokenizer is byte-level BPE."""
    return (directory / _ASSETS / PAIR_OF_FILES[0]).exists()


def vocabulary_and_config(directory):
    """The directory of the vocabulary and the content of `tokenizer_config.json`.

    For a KerasHub preset, the content is translated from its `tokenizer.json`.

    Args:
        directory: The `pathlib.Path` of a preset of Hugging Face or KerasHub.

    Returns:
        (`pathlib.Path` of the directory of the vocabulary, dict).

    Raises:
        TokenizerError: the class or an option is not supported.
    """
    if not holds(directory):
        return directory, tokenizer_files.read_config(directory)
    path = directory / JSON
    content = files.read_json(path, TokenizerError)
    name = re.sub(r"^keras_(hub|nlp)>", "", str(content.get("registered_name")))
    algorithm = BYTE_BPE if is_byte_bpe(directory) else WORDPIECE
    known = named_class(name, algorithm, path, "registered_name")
    told = tokenizer_files.parts(content, ["config"])["config"]
    config = {"tokenizer_class": name}
    for option, (values, theirs) in _OPTIONS[algorithm].items():
        if option == "add_prefix_space" and not known.layout.tokens:
            values = values[:1]  # running text may be split anywhere
        value = told.get(option, values[0])
        tokenizer_files.check_field(value, values, path, f"config.{option}", name)
        if theirs is not None:
            config[theirs] = value
    if algorithm == WORDPIECE:
        config["unk_token"] = unknown = told.get("oov_token", "[UNK]")
        if not isinstance(unknown, str):
            raise TokenizerError(
                f"A token must be a string. Received: {unknown!r:.80}.",
                path=path,
                tensor="config.oov_token",
            )
    return directory / _ASSETS, config
