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

from tfzoo.checkpoints import bert, distilbert, fields, gpt2, roberta
from tfzoo.checkpoints.keras_hub_weights import KerasHubTensors, fill, stored_sizes
from tfzoo.errors import CheckpointError
from tfzoo.files import read_json

SCHEME = "keras_hub://"
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
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
# Class in KerasHub -> module that knows Hugging Face's names, what such a model always
# is, and the files of its vocabulary.
_CLASSES = {
    "BertBackbone": (
        bert,
        dict(activation="gelu", layer_norm_epsilon=1e-12),
        _TOKENS,
    ),
    "RobertaBackbone": (
        roberta,
        dict(activation="gelu", layer_norm_epsilon=1e-5, num_segments=1),
        _PAIR,
    ),
    "DistilBertBackbone": (distilbert, dict(activation="gelu"), _TOKENS),
    "GPT2Backbone": (
        gpt2,
        dict(activation="gelu_tanh", layer_norm_epsilon=1e-5, embeddings_dropout=None),
        _PAIR,
    ),
}


def download(reference, *, weights=True):
    """The files of a preset that KerasHub names, in the cache of `kagglehub`.

    Args:
        reference: `keras_hub://NAME`, such as `keras_hub://bert_tiny_en_uncased`.
        weights: Whether the weights are needed.

    Returns:
        The `pathlib.Path` of the directory.

    Raises:
        CheckpointError: KerasHub has no such preset of these classes or is not
            installed, or the download failed.
    """
    handle, vocabulary = _find(reference)
    import kagglehub

    names = [CONFIG, "tokenizer.json", *vocabulary]
    try:
        for name in [*names, *([WEIGHTS] if weights else [])]:
            path = kagglehub.model_download(handle, name)
            directory = pathlib.Path(path.removesuffix(name))
    except Exception as e:  # of whichever HTTP library kagglehub stands on
        raise CheckpointError(
            f"The download from Kaggle failed. {type(e).__name__}: {str(e)[:300]}",
            path=reference,
            fix="Try again.",
        ) from e
    return directory


def read_preset(directory):
    """Configuration and weights of the directory of a preset.

    Args:
        directory: Its `pathlib.Path`.

    Returns:
        (The fields of Hugging Face's `config.json`, a dict; the weights, `Tensors`).

    Raises:
        CheckpointError: the class is another one, a field makes no sense, the weights
            are not those of the sizes, or KerasHub is not installed.
    """
    path, weights = directory / CONFIG, directory / WEIGHTS
    content = read_json(path, CheckpointError)
    class_name = _class_name(content, path)
    module, constant, _ = _CLASSES[class_name]
    sizes = _sizes(class_name, content.get("config"), path)
    arguments = {**sizes, **constant, "attention_dropout": None}
    padding_id = None
    if module is roberta:
        padding_id = arguments["padding_id"] = _padding_id(directory)
    config = module.to_config(arguments, module.ARCHITECTURES["backbone"])
    module.from_config(config, path)  # heads divide the width, and the like
    _check_count(sizes, class_name == "BertBackbone", weights)
    model = getattr(_keras_hub(directory).models, class_name)(**sizes, dtype="float32")
    fill(model, weights)
    return config, KerasHubTensors(weights, model, module, padding_id)


def _sizes(class_name, config, path):
    """Constructor arguments of the class, each a number that makes sense."""
    if not isinstance(config, dict):
        raise CheckpointError("Must be an object.", path=path, tensor="config")
    known = dict(_SIZES)
    if class_name == "BertBackbone":
        known["num_segments"] = fields.size("num_segments", 2)
    if unknown := sorted({*config} - {*known} - {"name", "trainable", "dtype"}):
        raise CheckpointError(
            f"{class_name} has no such option.",
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
    """Where Kaggle has a preset, and the files of its vocabulary."""
    models, name = _keras_hub(reference).models, reference.removeprefix(SCHEME)
    for class_name, (*_, vocabulary) in _CLASSES.items():
        found = getattr(models, class_name).presets.get(name)
        if found is not None:
            return found["kaggle_handle"].removeprefix("kaggle://"), vocabulary
    raise CheckpointError(
        f"KerasHub has no such preset of {', '.join(_CLASSES)}.",
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


def _class_name(content, path):
    """The class that `config.json` names, if it is one of the table."""
    name = content.get("registered_name")
    found = re.fullmatch(r"keras_(?:hub|nlp)>(\w+)", name if type(name) is str else "")
    if not found or found[1] not in _CLASSES:
        known = ", ".join(f"keras_hub>{name}" for name in _CLASSES)
        raise CheckpointError(
            f"The class must be one of {known}. Received: {str(name)[:80]!r}.",
            path=path,
            tensor="registered_name",
        )
    return found[1]


def _padding_id(directory):
    """The id of RoBERTa's padding: 1, unless the vocabulary says otherwise."""
    path = directory / _PAIR[0]
    vocabulary = read_json(path, CheckpointError) if path.exists() else {}
    return fields.read_field(vocabulary, path, fields.token("<pad>", 1))
