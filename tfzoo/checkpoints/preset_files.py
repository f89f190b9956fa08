"""A preset directory: config.json, model.safetensors, a model card.

The layout is Hugging Face's; what is ours alone stands under `"tfzoo"`.
"""

import json
import pathlib

import keras

from tfzoo.checkpoints import checksums
from tfzoo.errors import CheckpointError
from tfzoo.files import read_json, written_beside

CONFIG = "config.json"
CARD = "README.md"
MAX_CONFIG_BYTES = 4 << 20


def read_config(directory, name=CONFIG):
    """The configuration of a preset directory, a dict; `architectures` are text."""
    directory = pathlib.Path(directory)
    if not directory.is_dir():
        raise CheckpointError("The preset directory does not exist.", path=directory)
    config = read_json(directory / name, CheckpointError, MAX_CONFIG_BYTES)
    names = config.get("architectures") or []
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise CheckpointError(
            f"Must be a list of names. Received: {repr(names)[:200]}.",
            path=directory / name,
            tensor="architectures",
        )
    return config


def write_preset(path, config, card, write_rest):
    """Writes a preset directory whole or not at all.

    Args:
        path: The directory; it must not exist yet.
        config: What goes into `config.json`.
        card: Text of the model card.
        write_rest: Function that writes weights and tokenizer into a `pathlib.Path`.
    """
    with written_beside(path, directory=True) as beside:
        (beside / CARD).write_text(card, encoding="utf-8")
        write_rest(beside)
        known = {CONFIG: checksums.UNKNOWN, **checksums.of_files(beside)}
        block = {**config.get(checksums.BLOCK, {}), checksums.FIELD: known}
        config = {**config, checksums.BLOCK: block}
        text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        text = checksums.signed(text, CONFIG)
        (beside / CONFIG).write_text(text, encoding="utf-8")


def model_card(title, *, model_type, facts, tokenizer=None, metrics=None):
    """Text of a model card: YAML front matter, then what is known, as a table.

    Args:
        title: Name of the model's class and what it is for.
        model_type: Architecture, as in `config.json`.
        facts: Dict of name -> value: sizes, labels, training data.
        tokenizer: One line on the tokenizer, None where there is none.
        metrics: Dict of name -> figure, None where nothing was measured.
    """
    rows = [("architecture", model_type), *facts.items()]
    if tokenizer:
        rows.append(("tokenizer", tokenizer))
    lines = ["---", "library_name: tfzoo", f"tags: [{model_type}, keras]"]
    lines += ["license: unknown", "---", "", f"# {title}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in rows]
    if metrics:
        lines += ["", "| metric | figure |", "|---|---|"]
        lines += [f"| {name} | {_cell(value)} |" for name, value in metrics.items()]
    lines += ["", f"Written by tfzoo with Keras {keras.__version__}.", ""]
    return "\n".join(lines)


def _cell(value):
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")[:500]
