"""Preset directories: config.json, model.safetensors, a model card.

The layout is Hugging Face's; fields of our own are in the `"tfzoo"` object.
"""

import html
import json
import os
import pathlib
import re

import keras

from tfzoo.checkpoints import checksums
from tfzoo.errors import CheckpointError, printable, shown
from tfzoo.files import read_json, remove_leftovers, written_beside

CONFIG = "config.json"
CARD = "README.md"
MAX_CONFIG_BYTES = 4 << 20


def read_config(directory, name=CONFIG):
    """Reads the configuration of a preset directory; checks its `architectures`."""
    directory = pathlib.Path(directory)
    if not os.path.isdir(directory):
        raise CheckpointError("The preset directory does not exist.", path=directory)
    config = read_json(directory / name, CheckpointError, MAX_CONFIG_BYTES)
    names = config.get("architectures") or []
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise CheckpointError(
            f"Must be a list of names. Received: {shown(names)}.",
            path=directory / name,
            tensor="architectures",
        )
    return config


def write_preset(path, config, card, write_rest, *, size=0):
    """Writes a preset directory atomically.

    Args:
        path: The directory; it must not exist yet.
        config: Content of `config.json`.
        card: Text of the model card.
        write_rest: Function of a `pathlib.Path` that writes weights and tokenizer to
            it.
        size: Number of bytes of the weights, which must be free.
    """
    with written_beside(path, directory=True, size=size) as beside:
        (beside / CARD).write_text(card, encoding="utf-8")
        write_rest(beside)
        remove_leftovers(beside)  # which would get checksums
        known = {CONFIG: checksums.UNKNOWN, **checksums.of_files(beside)}
        block = {**config.get(checksums.BLOCK, {}), checksums.FIELD: known}
        config = {**config, checksums.BLOCK: block}
        text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        text = checksums.signed(text, CONFIG)
        (beside / CONFIG).write_text(text, encoding="utf-8")


def model_card(title, *, model_type, facts, tokenizer=None, metrics=None):
    """Text of a model card: YAML front matter, then a table of facts.

    Args:
        title: Name of the model's class and its purpose.
        model_type: Architecture, as in `config.json`.
        facts: Dict of name -> value: sizes, labels, training data. Control characters,
            HTML and Markdown in names and values are escaped, long values cut.
        tokenizer: One line about the tokenizer, or None.
        metrics: Dict of name -> value, or None.
    """
    rows = [("architecture", model_type), *facts.items()]
    if tokenizer:
        rows.append(("tokenizer", tokenizer))
    lines = ["---", "library_name: tfzoo", f"tags: [{model_type}, keras]"]
    lines += ["license: unknown", "---", "", f"# {title}", "", "| | |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows]
    if metrics:
        lines += ["", "| metric | value |", "|---|---|"]
        lines += [f"| {_cell(n)} | {_cell(value)} |" for n, value in metrics.items()]
    lines += ["", f"Saved by tfzoo with Keras {keras.__version__}.", ""]
    return "\n".join(lines)


def _cell(value):
    """A value as the text of a cell, without HTML, links or other Markdown."""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    text = printable(" ".join(text.split()), 500)
    text = html.escape(text, quote=False)
    return re.sub(r"([\\`*|\[\]])", r"\\\1", text)
