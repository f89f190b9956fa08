"""The files of KerasHub's tokenizers, told in the words of Hugging Face's.

`tokenizer.json` there has the class and its options; the vocabulary lies below
`assets/tokenizer`. Special tokens written in a text are plain text here, whatever
`special_tokens_in_strings` says.
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
# Algorithm -> options of KerasHub's class of it: the values that are computed here, the
# default first, and the name in Hugging Face's tokenizer_config.json
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
    """Whether a directory has a tokenizer as KerasHub lays it out."""
    return (directory / _ASSETS).is_dir()


def is_byte_bpe(directory):
    """Whether that is one of byte-level BPE."""
    return (directory / _ASSETS / PAIR_OF_FILES[0]).exists()


def vocabulary_and_config(directory):
    """Where the vocabulary lies, and what `tokenizer_config.json` says or would say.

    Args:
        directory: The `pathlib.Path` of a preset, Hugging Face's or KerasHub's.

    Returns:
        (`pathlib.Path` of the directory of the vocabulary, dict).

    Raises:
        TokenizerError: the class or an option is one that tfzoo does not have.
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
            values = values[:1]  # running text may be cut anywhere
        value = told.get(option, values[0])
        tokenizer_files.check_field(value, values, path, f"config.{option}", name)
        if theirs is not None:
            config[theirs] = value
    if algorithm == WORDPIECE:
        config["unk_token"] = unknown = told.get("oov_token", "[UNK]")
        if not isinstance(unknown, str):
            raise TokenizerError(
                f"A token must be text. Received: {unknown!r:.80}.",
                path=path,
                tensor="config.oov_token",
            )
    return directory / _ASSETS, config
