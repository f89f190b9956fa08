"""Constructor arguments of a backbone <-> the fields of a `config.json`."""

from collections.abc import Callable
from typing import Any, NamedTuple

from tfzoo.errors import CheckpointError

REQUIRED = object()
TIED = "tie_word_embeddings"  # says something only of a task with an output layer
# Names of one function in Hugging Face's files -> ours; the first is the one we write.
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
    """A field of `config.json` and how its value is read.

    Args:
        name: Of the field.
        accepts: Function of a JSON value, whether it makes sense.
        rule: What it must be, for the error.
        default: What `transformers` takes where the field is absent or null; REQUIRED
            where the file must say it.
    """

    name: str
    accepts: Callable[[Any], bool]
    rule: str
    default: Any = REQUIRED


def size(name, default=REQUIRED):
    """A field that counts something."""
    return Field(name, _is_whole_from(1), "a whole number from 1 to 16777215", default)


def token(name, default=REQUIRED):
    """A field that names a token id."""
    return Field(name, _is_whole_from(0), "a whole number from 0 to 16777215", default)


def share(name, default=REQUIRED):
    """A field that says which share is dropped."""

    def accepts(value):
        return type(value) in (int, float) and 0 <= value < 1

    return Field(name, accepts, "a number from 0 up to but not including 1", default)


def epsilon(name, default=REQUIRED):
    """A field with the number that a normalisation adds to the variance."""

    def accepts(value):
        return type(value) is float and 0 < value < 1

    return Field(name, accepts, "a number between 0 and 1", default)


def activation(name, default=REQUIRED):
    """A field with the name of a nonlinearity, as Hugging Face names them."""

    def accepts(value):
        return isinstance(value, str) and value in ACTIVATIONS

    rule = f"one of {', '.join(ACTIVATIONS)}, which are implemented"
    return Field(name, accepts, rule, default)


def _is_whole_from(least):
    return lambda value: type(value) is int and least <= value < 1 << 24


def read_arguments(config, path, model_type, fields, fixed):
    """Constructor arguments of a backbone out of `config.json`.

    Args:
        config: The content of the file.
        path: The file, for the errors.
        model_type: What the file must say that the model is.
        fields: Dict of argument -> `Field`.
        fixed: Dict of field -> the only value that the backbone computes; null counts
            as absent. For `TIED` see `refuse_untied`.

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
    config = {name: value for name, value in config.items() if value is not None}
    for name, value in fixed.items():
        if name != TIED:
            _refuse_other(config, path, name, value)
    found = {
        argument: read_field(config, path, field) for argument, field in fields.items()
    }
    heads, width = fields["num_heads"].name, fields["hidden_dim"].name
    if found["hidden_dim"] % found["num_heads"]:
        raise CheckpointError(
            f"{heads} must divide {width}. Received: {width}={found['hidden_dim']}, "
            f"{heads}={found['num_heads']}.",
            path=path,
        )
    found["activation"] = ACTIVATIONS[found["activation"]]
    for name in ("attention_dropout", "embeddings_dropout"):
        # So that an argument `dropout` stands for all of them, unless they differ.
        if name in found and found[name] == found.get("dropout"):
            del found[name]
    return found


def refuse_untied(config, path, copies):
    """Raises `CheckpointError` where the output layer is not the embedding.

    Where the file has a tensor for it, that must be a copy, and the field is not asked.

    Args:
        config: The content of `config.json`.
        path: The file, for the error.
        copies: Names of the tensors that must be copies of others.
    """
    has_copy = any(name.endswith(".weight") for name in copies)
    if config.get(TIED) is not None and not has_copy:
        _refuse_other(config, path, TIED, value=True)


def _refuse_other(config, path, name, value):
    if config.get(name, value) != value:
        raise CheckpointError(
            f"Only {value!r} is implemented. Received: {_short(config[name])}.",
            path=path,
            tensor=name,
        )


def read_field(config, path, field):
    """The value of a `Field` in a `config.json`, or its default."""
    value = config.get(field.name)
    if value is None:
        value = field.default
    if value is None:
        return None
    if value is REQUIRED:
        raise CheckpointError("The field is missing.", path=path, tensor=field.name)
    if not field.accepts(value):
        raise CheckpointError(
            f"Must be {field.rule}. Received: {_short(value)}.",
            path=path,
            tensor=field.name,
        )
    return value


def write_arguments(arguments, fields):
    """Fields of `config.json` of constructor arguments, as `read_arguments` reads them.

    Args:
        arguments: Dict of the arguments, from `get_config` of a backbone.
        fields: Dict of argument -> `Field`.
    """
    values = dict(arguments)
    for name in ("attention_dropout", "embeddings_dropout"):
        if name in values and values[name] is None:
            values[name] = values["dropout"]
    theirs = {ours: name for name, ours in reversed(ACTIVATIONS.items())}
    values["activation"] = theirs[values["activation"]]
    return {field.name: values[argument] for argument, field in fields.items()}


def _short(value):
    return repr(value)[:200]
