"""KerasHub: `keras_hub://NAME`, or the directory of a KerasHub preset.

A preset is `config.json`, `model.weights.h5` and, in `assets/tokenizer`, the vocabulary
files. KerasHub's own classes read the weights. They see nothing of the untrusted
`config.json` except numbers that were checked here: its class name is looked up in a
table, and no object is deserialized from it.

KerasHub computes BERT's activation with the tanh approximation. The published weights
were trained with the error function, which is what tfzoo uses;
`from_preset(..., activation="gelu_tanh")` reproduces KerasHub's outputs.
"""

import pathlib
import re
from typing import Any, NamedTuple

from tfzoo.checkpoints import fields
from tfzoo.checkpoints.keras_hub_weights import KerasHubTensors, fill, stored_sizes
from tfzoo.errors import CheckpointError
from tfzoo.files import read_json

SCHEME = "keras_hub://"
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
TOKENIZER = "tokenizer.json"
_TOKENS = ("assets/tokenizer/vocabulary.txt",)
_PAIR = ("assets/tokenizer/vocabulary.json", "assets/tokenizer/merges.txt")

_ARRAYS_PER_LAYER = 16
_SIZES = {name: fields.size(name) for name in fields.SIZES} | {
    "dropout": fields.share("dropout", 0.1)
}

READABLE = set()  # class names whose weights can be read; filled by `declared`


class KerasHubClass(NamedTuple):
    """KerasHub's implementation of an architecture.

    Args:
        name: Name of the class.
        constant: Constructor arguments of our backbone with a fixed value.
        has_segments: Whether it has segment embeddings.
        has_pooler: Whether it has a pooler.
        pads_positions: Whether Hugging Face's position table, unlike KerasHub's, starts
            with rows up to the padding id, and there is a table for a single segment.
            Both are filled with zeros.
    """

    name: str
    constant: dict[str, Any]
    has_segments: bool = False
    has_pooler: bool = False
    pads_positions: bool = False


def download(reference, *, weights=True):
    """Downloads the files of a KerasHub preset into the cache of `kagglehub`.

    Args:
        reference: `keras_hub://NAME`, such as `keras_hub://bert_tiny_en_uncased`.
        weights: Whether to download the weights.

    Returns:
        The `pathlib.Path` of the directory.

    Raises:
        CheckpointError: KerasHub has no such preset, its class is not supported,
            KerasHub is not installed, or the download failed.
    """
    handle, class_name = _find(reference)
    if weights and class_name not in READABLE:
        raise CheckpointError(
            f"The preset's class must be one of {', '.join(sorted(READABLE))}. "
            f"Received: {class_name}.",
            path=reference,
        )
    import kagglehub

    def fetch(name):
        path = kagglehub.model_download(handle, name)
        return pathlib.Path(path.removesuffix(name))

    try:
        directory = fetch(CONFIG)
        fetch(TOKENIZER)
        for name in [*_vocabulary(directory), *([WEIGHTS] if weights else [])]:
            fetch(name)
    except CheckpointError:
        raise
    except Exception as e:  # from whichever HTTP library kagglehub uses
        raise CheckpointError(
            f"The download from Kaggle failed. {type(e).__name__}: {str(e)[:300]}",
            path=reference,
            fix="Try again.",
        ) from e
    return directory


def _vocabulary(directory):
    """The vocabulary files, which depend on the tokenizer's class."""
    path = directory / TOKENIZER
    name = read_json(path, CheckpointError).get("class_name")
    keras_hub = _keras_hub(path)
    made = getattr(keras_hub.models, name, None) if isinstance(name, str) else None
    kinds = keras_hub.tokenizers
    if isinstance(made, type) and issubclass(made, kinds.WordPieceTokenizer):
        return _TOKENS
    if isinstance(made, type) and issubclass(made, kinds.BytePairTokenizer):
        return _PAIR
    raise CheckpointError(
        "The class must be a WordPiece or byte-pair tokenizer of KerasHub. "
        f"Received: {name!r:.80}.",
        path=path,
        tensor="class_name",
    )


def read_preset(directory, families):
    """Reads configuration and weights from a preset directory.

    Args:
        directory: A `pathlib.Path`.
        families: Families to look the class up in, by their `keras_hub`.

    Returns:
        (The fields of Hugging Face's `config.json` as a dict; the weights as
        `Tensors`).

    Raises:
        CheckpointError: the class is not supported, a field is invalid, the weights do
            not match the sizes, or KerasHub is not installed.
    """
    path, weights = directory / CONFIG, directory / WEIGHTS
    content = read_json(path, CheckpointError)
    family = _family(content, path, families)
    theirs = family.keras_hub
    sizes = _sizes(theirs, content.get("config"), path)
    arguments = {**sizes, **theirs.constant, "attention_dropout": None}
    padding_id = None
    if theirs.pads_positions:
        padding_id = arguments["padding_id"] = _padding_id(directory)
    config = family.to_config(arguments)
    family.from_config(config, path)  # checks that num_heads divides hidden_dim, etc.
    _check_count(sizes, theirs.has_pooler, weights)
    model = getattr(_keras_hub(directory).models, theirs.name)(**sizes, dtype="float32")
    fill(model, weights)
    return config, KerasHubTensors(weights, model, family, padding_id)


def _sizes(theirs, config, path):
    """Constructor arguments of KerasHub's class: valid numbers only."""
    if not isinstance(config, dict):
        raise CheckpointError("Must be an object.", path=path, tensor="config")
    known = dict(_SIZES)
    if theirs.has_segments:
        known["num_segments"] = fields.size("num_segments", 2)
    if unknown := sorted({*config} - {*known} - {"name", "trainable", "dtype"}):
        raise CheckpointError(
            f"{theirs.name} has no such option.",
            path=path,
            tensor=f"config.{unknown[0]}",
        )
    return {name: fields.read_field(config, path, f) for name, f in known.items()}


def _check_count(sizes, has_pooler, path):
    """Raises `CheckpointError` unless the file has as many weights as the model.

    Called before the model is built, so that neither it nor any array can be larger
    than the file.
    """
    width, inner = sizes["hidden_dim"], sizes["intermediate_dim"]
    rows = sizes["vocabulary_size"] + sizes["max_sequence_length"]
    rows += sizes.get("num_segments", 0)
    layer = 4 * width**2 + 2 * width * inner + inner + 9 * width
    count = (rows + 2) * width + sizes["num_layers"] * layer
    count += (width**2 + width) * has_pooler
    stored = stored_sizes(path)
    if count != sum(stored) or _ARRAYS_PER_LAYER * sizes["num_layers"] > len(stored):
        raise CheckpointError(
            f"The file must have the {count} weights of a model with the sizes in "
            f"{CONFIG}, in {_ARRAYS_PER_LAYER} arrays per layer. Received: "
            f"{sum(stored)} weights in {len(stored)} arrays.",
            path=path,
            fix="Use config.json and weights of the same model.",
        )


def _find(reference):
    """The Kaggle handle of a preset, and the name of its class."""
    models, name = _keras_hub(reference).models, reference.removeprefix(SCHEME)
    for class_name in dir(models):
        if re.fullmatch(r"\w+Backbone", class_name):  # `Backbone` itself lists them all
            found = getattr(models, class_name).presets.get(name)
            if found is not None:
                return found["kaggle_handle"].removeprefix("kaggle://"), class_name
    raise CheckpointError(
        "KerasHub has no such preset.",
        path=reference,
        fix="See keras_hub.models.BertBackbone.presets and those of other classes.",
    )


def _keras_hub(path):
    try:
        import keras_hub
    except ImportError as e:
        raise CheckpointError(
            "KerasHub must be installed to read its presets.",
            path=path,
            fix="Install it: pip install keras-hub",
        ) from e
    return keras_hub


def _family(content, path, families):
    """The family of the class named in `config.json`."""
    classes = {f"keras_hub>{f.keras_hub.name}": f for f in families if f.keras_hub}
    name = content.get("registered_name")
    found = name.replace("keras_nlp>", "keras_hub>") if type(name) is str else None
    if found not in classes:
        raise CheckpointError(
            f"The class must be one of {', '.join(classes)}. "
            f"Received: {str(name)[:80]!r}.",
            path=path,
            tensor="registered_name",
        )
    return classes[found]


def _padding_id(directory):
    """RoBERTa's padding id: 1, unless the vocabulary has another."""
    path = directory / _PAIR[0]
    vocabulary = read_json(path, CheckpointError) if path.exists() else {}
    return fields.read_field(vocabulary, path, fields.token("<pad>", 1))
