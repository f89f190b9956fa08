"""Reads and writes the chat template of a checkpoint."""

from tfzoo.checkpoints.preset_files import MAX_CONFIG_BYTES
from tfzoo.errors import CheckpointError, shown
from tfzoo.files import read_bytes, read_json
from tfzoo.text.tokenizer_files import CONFIG

NAME = "chat_template.jinja"
_FIELD = "chat_template"


def stored_chat_template(directory):
    """The source of the template in a directory, or None.

    It is in `chat_template.jinja`, or in `tokenizer_config.json` of older checkpoints:
    a text, or a list of named templates of which the one named `default` is used.

    Raises:
        CheckpointError: the field is neither.
    """
    own, config = directory / NAME, directory / CONFIG
    if own.is_file():
        return _text(own)
    if not config.is_file():
        return None
    found = read_json(config, CheckpointError).get(_FIELD)
    if isinstance(found, list):
        named = {t.get("name"): t.get("template") for t in found if isinstance(t, dict)}
        found = named.get("default", found)
    if found is not None and not isinstance(found, str):
        raise CheckpointError(
            "Must be a template, or a list of templates of which one is named default. "
            f"Received: {shown(found)}.",
            path=config,
            tensor=_FIELD,
        )
    return found


def _text(path):
    try:
        return read_bytes(path, MAX_CONFIG_BYTES, CheckpointError).decode()
    except UnicodeDecodeError as e:
        raise CheckpointError(
            f"Must be UTF-8. Received: byte {e.object[e.start]:#04x} at {e.start}.",
            path=path,
        ) from None


def write_chat_template(directory, source):
    """Writes `chat_template.jinja`, which `transformers` reads, too."""
    if source is not None:
        (directory / NAME).write_text(source, encoding="utf-8")
