"""Code shared by the files of all tokenizers: fields, special tokens, writing."""

import json
import pathlib

from tfzoo import files
from tfzoo.errors import TokenizerError

JSON, CONFIG = "tokenizer.json", "tokenizer_config.json"
NAMES, ADDED = "special_tokens_map.json", "added_tokens.json"
TOKENS = {  # special tokens: name in these files -> constructor argument
    "pad_token": "pad_token",
    "unk_token": "unknown_token",
    "cls_token": "cls_token",
    "sep_token": "sep_token",
    "mask_token": "mask_token",
}
# Generic classes of `transformers`: tokenizer.json has all but the special tokens
IGNORES_OPTIONS = ("PreTrainedTokenizerFast", "TokenizersBackend")
NO_WORDS = (
    "Words added to a vocabulary (tokens that are not special) are not supported."
)
MAX_BYTES = 64 << 20
MAX_VOCABULARY_SIZE = 1 << 20
_BOM = b"\xef\xbb\xbf"


def check_field(value, allowed, path, field, of):
    """Raises `TokenizerError` unless a JSON value is one of the allowed values.

    Args:
        value: The value.
        allowed: List of allowed values.
        path: The file that contains it.
        field: The name of its field.
        of: What requires these values, such as "BERT's WordPiece".
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
    """The objects with these names in a JSON object; {} for a missing one."""
    found = {name: content.get(name) for name in names}
    return {n: part if isinstance(part, dict) else {} for n, part in found.items()}


def check_ids(ids, path, field):
    """Raises `TokenizerError` unless a JSON value maps tokens to integers."""
    if not isinstance(ids, dict) or any(
        type(index) is not int for index in ids.values()
    ):
        rule = "The vocabulary must map tokens to integers."
        raise TokenizerError(rule, path=path, tensor=field)


def read_config(directory):
    """The content of tokenizer_config.json, {} if there is none."""
    path = pathlib.Path(directory) / CONFIG
    return files.read_json(path, TokenizerError) if path.exists() else {}


def named_tokens(directory, config):
    """The special tokens that the files name: dict of name -> object or None.

    special_tokens_map.json takes precedence over tokenizer_config.json, but is not read
    if the latter has `added_tokens_decoder`, as in `transformers`.

    Args:
        directory: The directory.
        config: The content of its tokenizer_config.json.

    Returns:
        The objects have the token as `content`, and optionally other properties.
    """
    directory = pathlib.Path(directory)
    sources = [(config, directory / CONFIG)]
    path = directory / NAMES
    if "added_tokens_decoder" not in config and path.exists():
        sources.append((files.read_json(path, TokenizerError), path))
    found = {}
    for source, path in sources:
        for name in ("bos_token", "eos_token", *TOKENS):
            if name in source:
                found[name] = _token_object(source[name], path, name)
    return found


def added_tokens(directory, config, named):
    """Tokens added to a vocabulary without tokenizer.json, and the file they are in.

    They are in tokenizer_config.json or, before 2023, in added_tokens.json. Tokens of
    the latter are special if the files name them as special tokens.

    Args:
        directory: The directory.
        config: The content of its tokenizer_config.json.
        named: Its `named_tokens`.

    Returns:
        List of objects as in tokenizer.json, and the path.
    """
    path = pathlib.Path(directory) / ADDED
    if "added_tokens_decoder" not in config and path.exists():
        special = {token["content"] for token in named.values() if token}
        ids = files.read_json(path, TokenizerError)
        check_ids(ids, path, None)
        return [
            {"id": index, "content": token, "special": token in special}
            for token, index in sorted(ids.items(), key=lambda item: item[1])
        ], path
    path = pathlib.Path(directory) / CONFIG
    added = config.get("added_tokens_decoder") or {}
    try:
        added = [{**token, "id": int(index)} for index, token in added.items()]
    except (AttributeError, TypeError, ValueError):
        raise TokenizerError(
            "Added tokens must be a map of id -> object.",
            path=path,
            tensor="added_tokens_decoder",
        ) from None
    return sorted(added, key=lambda token: token["id"]), path


def _token_object(token, path, name):
    token = {"content": token} if isinstance(token, str) else token
    if (
        token is None
        or isinstance(token, dict)
        and isinstance(token.get("content"), str)
    ):
        return token
    received = token.get("content") if isinstance(token, dict) else token
    raise TokenizerError(
        f"A token must be a string. Received: {received!r:.80}.", path=path, tensor=name
    )


def read_lines(path):
    """The lines of a file of tokens, without the carriage return at their end."""
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
    """Writes files into an existing directory without overwriting any.

    Args:
        directory: The directory.
        contents: Dict of name -> bytes, or text without the final line feed.
    """
    directory = files.local_path(directory)
    for name in contents:
        files.refuse_existing(directory / name)
    for name, content in contents.items():
        with files.written_beside(directory / name) as beside:
            is_text = isinstance(content, str)
            beside.write_bytes(f"{content}\n".encode() if is_text else content)
