"""Constructor arguments of a backbone <-> the fields of a `config.json`."""

from collections.abc import Callable
from typing import Any, NamedTuple

from tfzoo.errors import CheckpointError, shown

REQUIRED = object()
SIZES = (  # arguments of every backbone
    "vocabulary_size",
    "num_layers",
    "num_heads",
    "hidden_dim",
    "intermediate_dim",
    "max_sequence_length",
)
TIED = "tie_word_embeddings"  # only meaningful for a task with an output layer
_DEFAULTS = {  # argument -> the one whose value it has if it is None
    "attention_dropout": "dropout",
    "embeddings_dropout": "dropout",
    "num_decoder_layers": "num_layers",
}
# Hugging Face's names of a function -> ours; the first of each is the one we write.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


class Field(NamedTuple):
    """A field of `config.json` and how to read its value.

    Args:
        name: Name of the field.
        accepts: Function of a JSON value; returns whether it is valid.
        rule: What the value must be, for the error message.
        default: Value that `transformers` uses if the field is absent or null.
            REQUIRED if the file must give it.
    """

    name: str
    accepts: Callable[[Any], bool]
    rule: str
    default: Any = REQUIRED


def size(name, default=REQUIRED):
    """A field with a count or a dimension."""
    return Field(name, _is_whole_from(1), "an integer from 1 to 16777215", default)


def token(name, default=REQUIRED):
    """A field with a token id."""
    return Field(name, _is_whole_from(0), "an integer from 0 to 16777215", default)


def share(name, default=REQUIRED):
    """A field with a dropout rate."""

    def accepts(value):
        return type(value) in (int, float) and 0 <= value < 1

    return Field(name, accepts, "a number in [0, 1)", default)


def epsilon(name, default=REQUIRED):
    """A field with the epsilon of a normalization layer."""

    def accepts(value):
        return type(value) is float and 0 < value < 1

    return Field(name, accepts, "a number in (0, 1)", default)


def activation(name, default=REQUIRED):
    """A field with Hugging Face's name of an activation function."""

    def accepts(value):
        return isinstance(value, str) and value in ACTIVATIONS

    rule = f"one of the supported {', '.join(ACTIVATIONS)}"
    return Field(name, accepts, rule, default)


def flag(name, default=False):
    """A field that is true or false."""
    return Field(name, lambda value: type(value) is bool, "true or false", default)


def _is_whole_from(least):
    return lambda value: type(value) is int and least <= value < 1 << 24


def read_arguments(config, path, model_type, fields, fixed):
    """Reads the constructor arguments of a backbone from `config.json`.

    Args:
        config: The content of the file.
        path: The file, for error messages.
        model_type: The `model_type` that the file must have.
        fields: Dict of argument -> `Field`.
        fixed: Dict of field -> the only value that the backbone supports; null counts
            as absent. For `TIED` see `refuse_untied`.

    Raises:
        CheckpointError: the model type is a different one, or a field is missing,
            invalid or unsupported; the message names it.
    """
    if config.get("model_type") != model_type:
        raise CheckpointError(
            f"Must be {model_type!r}. Received: {shown(config.get('model_type'))}.",
            path=path,
            tensor="model_type",
        )
    config = {name: value for name, value in config.items() if value is not None}
    for name, value in fixed.items():
        if name != TIED:
            _refuse_other(config, path, name, value)
    found = {
        argument: read_field(config, path, field) for argument, field in fields.items()
    }
    heads, width = fields["num_heads"].name, fields["hidden_dim"].name
    if found.get("head_dim") is None and found["hidden_dim"] % found["num_heads"]:
        raise CheckpointError(
            f"{heads} must divide {width}. Received: {width}={found['hidden_dim']}, "
            f"{heads}={found['num_heads']}.",
            path=path,
        )
    found["activation"] = ACTIVATIONS[found["activation"]]
    for name in ("attention_dropout", "embeddings_dropout"):
        # `dropout` then sets all of them, unless they differ.
        if name in found and found[name] == found.get("dropout"):
            del found[name]
    return found


def refuse_untied(config, path, copies):
    """Raises `CheckpointError` unless the output layer shares the token embeddings.

    If the file has a tensor for the output layer, that tensor must be a copy, and the
    field in `config.json` is ignored.

    Args:
        config: The content of `config.json`.
        path: The file, for the error message.
        copies: Names of the tensors that must be copies of others.
    """
    has_copy = any(name.endswith(".weight") for name in copies)
    if config.get(TIED) is not None and not has_copy:
        _refuse_other(config, path, TIED, value=True)


def _refuse_other(config, path, name, value):
    if config.get(name, value) != value:
        raise CheckpointError(
            f"Only {value!r} is supported. Received: {shown(config[name])}.",
            path=path,
            tensor=name,
        )


def read_field(config, path, field):
    """Reads the value of a `Field` from `config.json`, or returns its default."""
    value = config.get(field.name)
    if value is None:
        value = field.default
    if value is None:
        return None
    if value is REQUIRED:
        raise CheckpointError("The field is missing.", path=path, tensor=field.name)
    if not field.accepts(value):
        raise CheckpointError(
            f"Must be {field.rule}. Received: {shown(value)}.",
            path=path,
            tensor=field.name,
        )
    return value


def write_arguments(arguments, fields):
    """The inverse of `read_arguments`: constructor arguments to `config.json` fields.

    Args:
        arguments: Dict of the arguments, from `get_config` of a backbone.
        fields: Dict of argument -> `Field`.
    """
    values = dict(arguments)
    for name, other in _DEFAULTS.items():
        if name in values and values[name] is None:
            values[name] = values[other]
    theirs = {ours: name for name, ours in reversed(ACTIVATIONS.items())}
    values["activation"] = theirs[values["activation"]]
    return {field.name: values[argument] for argument, field in fields.items()}
