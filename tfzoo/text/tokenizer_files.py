"""What the files of all tokenizers have in common: fields, special tokens, writing."""

import json
import pathlib

from tfzoo import files
from tfzoo.errors import TokenizerError

JSON, CONFIG = "tokenizer.json", "tokenizer_config.json"
MAX_BYTES = 64 << 20
MAX_VOCABULARY_SIZE = 1 << 20
_BOM = b"\xef\xbb\xbf"


def check_field(value, allowed, path, field, of):
    """Raises `TokenizerError` unless a JSON value is one of those allowed.

    Args:
        value: The value.
        allowed: List of possible values.
        path: The file it comes from.
        field: Its name there.
        of: Whose values these are: "BERT's WordPiece".
    """
    choices = [json.dumps(choice) for choice in allowed]
    if json.dumps(value) not in choices:
        raise TokenizerError(
            f"This must be {' or '.join(choices)} for {of}. Received: "
            f"{json.dumps(value)[:80]}.",
            path=path,
            tensor=field,
        )


def parts(content, names):
    """The objects of these names in a JSON object; {} where there is none."""
    found = {name: content.get(name) for name in names}
    return {n: part if isinstance(part, dict) else {} for n, part in found.items()}


def check_ids(ids, path, field):
    """Raises `TokenizerError` unless a JSON value maps tokens to whole numbers."""
    if not isinstance(ids, dict) or any(
        type(index) is not int for index in ids.values()
    ):
        rule = "The vocabulary must map tokens to whole numbers."
        raise TokenizerError(rule, path=path, tensor=field)


def special_token(config, name, path):
    """A special token of tokenizer_config.json, text or an object, or None."""
    token = config.get(name)
    token = token.get("content") if isinstance(token, dict) else token
    if token is not None and not isinstance(token, str):
        raise TokenizerError(
            f"A token must be text. Received: {token!r}.", path=path, tensor=name
        )
    return token


def read_lines(path):
    """The lines of a file of tokens; a carriage return at their end is dropped."""
    content = files.read_bytes(path, MAX_BYTES, TokenizerError)
    lines = []
    for number, line in enumerate(content.removeprefix(_BOM).split(b"\n"), 1):
        try:
            lines.append(line.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError as e:
            raise TokenizerError(
                f"The file must be UTF-8: {e.reason}.", path=path, line=number
            ) from None
    return lines[:-1] if lines[-1] == "" else lines


def write_files(directory, contents):
    """Writes text files into an existing directory, and overwrites none.

    Args:
        directory: The directory.
        contents: Dict of name -> content without the last line's end.
    """
    directory = pathlib.Path(directory)
    for name in contents:
        files.refuse_existing(directory / name)
    for name, content in contents.items():
        with files.written_beside(directory / name) as beside:
            beside.write_bytes(f"{content}\n".encode())
