"""A preset directory: config.json, model.safetensors, a model card.

The layout is Hugging Face's; what is ours alone stands under `"tfzoo"`.
"""

import json
import pathlib

import keras

from tfzoo.errors import CheckpointError
from tfzoo.files import read_json, written_beside

CONFIG = "config.json"
CARD = "README.md"


def read_config(directory):
    """The `config.json` of a preset directory, a dict."""
    directory = pathlib.Path(directory)
    if not directory.is_dir():
        raise CheckpointError("The preset directory does not exist.", path=directory)
    return read_json(directory / CONFIG, CheckpointError)


def backbone_arguments(config, path, model_type, arguments, fixed, optional=()):
    """Constructor arguments of a backbone out of `config.json`.

    Args:
        config: The content of the file.
        path: The file, for the errors.
        model_type: What the file must say that the model is.
        arguments: Dict of argument -> field.
        fixed: Dict of field -> the only value that the backbone computes.
        optional: Fields that may be absent.

    Raises:
        CheckpointError: the model is another one, or a field is absent, not a sensible
            number, or has a value that the backbone does not compute; it is named.
    """
    if config.get("model_type") != model_type:
        raise CheckpointError(
            f"Must be {model_type!r}. Received: {config.get('model_type')!r}.",
            path=path,
            tensor="model_type",
        )
    for field, value in fixed.items():
        if config.get(field, value) != value:
            raise CheckpointError(
                f"Only {value!r} is implemented. Received: {config[field]!r}.",
                path=path,
                tensor=field,
            )
    found = {}
    for argument, field in arguments.items():
        if field not in config:
            if field in optional:
                continue
            raise CheckpointError("The field is missing.", path=path, tensor=field)
        value = config[field]
        if argument == "dropout":
            right = isinstance(value, int | float) and 0 <= value < 1
        else:
            right = type(value) is int and 0 < value < 1 << 24
        if not right:
            raise CheckpointError(
                f"Not a sensible value: {value!r}.", path=path, tensor=field
            )
        found[argument] = value
    if found["hidden_dim"] % found["num_heads"]:
        heads, width = arguments["num_heads"], arguments["hidden_dim"]
        raise CheckpointError(
            f"{heads} must divide {width}. Received: {width}={found['hidden_dim']}, "
            f"{heads}={found['num_heads']}.",
            path=path,
        )
    return found


def write_preset(path, config, card, write_rest):
    """Writes a preset directory whole or not at all.

    Args:
        path: The directory; it must not exist yet.
        config: What goes into `config.json`.
        card: Text of the model card.
        write_rest: Function that writes weights and tokenizer into a `pathlib.Path`.
    """
    with written_beside(path, directory=True) as beside:
        config = json.dumps(config, indent=2, ensure_ascii=False)
        (beside / CONFIG).write_text(config + "\n", encoding="utf-8")
        (beside / CARD).write_text(card, encoding="utf-8")
        write_rest(beside)


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
