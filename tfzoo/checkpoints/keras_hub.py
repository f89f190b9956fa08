"""KerasHub: `keras_hub://NAME`, or the directory of a preset of BERT and its kin.

A preset is `config.json`, `model.weights.h5` and, below `assets/tokenizer`, the files
of a vocabulary. KerasHub's own classes read the weights. Of the foreign `config.json`
they see nothing but numbers that were checked here: the class that it names is looked
up in a table, and no object of it is deserialised.

KerasHub computes BERT's activation by a tanh. Published weights were trained with the
error function, which is what opens here; `from_preset(..., activation="gelu_tanh")`
gives KerasHub's numbers.
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
_SIZES = {
    name: fields.size(name)
    for name in (
        "vocabulary_size",
        "num_layers",
        "num_heads",
        "hidden_dim",
        "intermediate_dim",
        "max_sequence_length",
    )
} | {"dropout": fields.share("dropout", 0.1)}


READABLE = set()  # names of the classes whose weights are read; `declared` adds them


class KerasHubClass(NamedTuple):
    """How KerasHub has an architecture.

    Args:
        name: Of its class.
        constant: Constructor arguments of our backbone that such a model always has.
        has_segments: Whether it has a table of segments.
        has_pooler: Whether it has a pooler.
        pads_positions: Whether Hugging Face's table of positions, unlike this, has rows
            up to the padding's id, and a table of one segment; both add nothing here.
    """

    name: str
    constant: dict[str, Any]
    has_segments: bool = False
    has_pooler: bool = False
    pads_positions: bool = False


def download(reference, *, weights=True):
    """The files of a preset that KerasHub names, in the cache of `kagglehub`.

    Args:
        reference: `keras_hub://NAME`, such as `keras_hub://bert_tiny_en_uncased`.
        weights: Whether the weights are needed.

    Returns:
        The `pathlib.Path` of the directory.

    Raises:
        CheckpointError: KerasHub has no such preset, its weights are not read, KerasHub
            is not installed, or the download failed.
    """
    handle, class_name = _find(reference)
    if weights and class_name not in READABLE:
        raise CheckpointError(
            f"The class must be one of {', '.join(sorted(READABLE))}. "
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
    except Exception as e:  # of whichever HTTP library kagglehub stands on
        raise CheckpointError(
            f"The download from Kaggle failed. {type(e).__name__}: {str(e)[:300]}",
            path=reference,
            fix="Try again.",
        ) from e
    return directory


def _vocabulary(directory):
    """The files of the vocabulary, by the class of the tokenizer."""
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
        "The tokenizer must be one of word pieces or of byte pairs. "
        f"Received: {name!r:.80}.",
        path=path,
        tensor="class_name",
    )


def read_preset(directory, families):
    """Configuration and weights of the directory of a preset.

    Args:
        directory: Its `pathlib.Path`.
        families: Those whose `keras_hub` says what may be read.

    Returns:
        (The fields of Hugging Face's `config.json`, a dict; the weights, `Tensors`).

    Raises:
        CheckpointError: the class is another one, a field makes no sense, the weights
            are not those of the sizes, or KerasHub is not installed.
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
    family.from_config(config, path)  # heads divide the width, and the like
    _check_count(sizes, theirs.has_pooler, weights)
    model = getattr(_keras_hub(directory).models, theirs.name)(**sizes, dtype="float32")
    fill(model, weights)
    return config, KerasHubTensors(weights, model, family, padding_id)


def _sizes(theirs, config, path):
    """Constructor arguments of the class, each a number that makes sense."""
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
    """Raises `CheckpointError` unless a file has as many weights as a model of `sizes`.

    Before it is built: neither the model nor an array may be larger than the file says.
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
            f"A model of the sizes of {CONFIG} has {count} weights, in "
            f"{_ARRAYS_PER_LAYER} arrays per layer. Received: {sum(stored)} in "
            f"{len(stored)}.",
            path=path,
            fix="config.json and the weights must be of one model.",
        )


def _find(reference):
    """Where Kaggle has a preset, and the name of its class."""
    models, name = _keras_hub(reference).models, reference.removeprefix(SCHEME)
    for class_name in dir(models):
        if re.fullmatch(r"\w+Backbone", class_name):  # `Backbone` has those of all
            found = getattr(models, class_name).presets.get(name)
            if found is not None:
                return found["kaggle_handle"].removeprefix("kaggle://"), class_name
    raise CheckpointError(
        "KerasHub has no such preset.",
        path=reference,
        fix="Look at keras_hub.models.BertBackbone.presets, and so on.",
    )


def _keras_hub(path):
    try:
        import keras_hub
    except ImportError as e:
        raise CheckpointError(
            "KerasHub, which reads its presets, is not installed.",
            path=path,
            fix="pip install tfzoo[keras-hub]",
        ) from e
    return keras_hub


def _family(content, path, families):
    """The one whose class `config.json` names."""
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
    """The id of RoBERTa's padding: 1, unless the vocabulary says otherwise."""
    path = directory / _PAIR[0]
    vocabulary = read_json(path, CheckpointError) if path.exists() else {}
    return fields.read_field(vocabulary, path, fields.token("<pad>", 1))
