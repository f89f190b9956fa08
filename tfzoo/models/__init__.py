"""Models: sizes in, `keras.Model` out."""

from tfzoo.errors import CheckpointError
from tfzoo.models.bert import BertEncoder
from tfzoo.models.distilbert import DistilBertEncoder
from tfzoo.models.gpt import GPTDecoder
from tfzoo.models.roberta import RobertaEncoder

__all__ = ["BertEncoder", "DistilBertEncoder", "GPTDecoder", "RobertaEncoder"]

# `model_type` of a config.json -> class
BACKBONES = {
    backbone.checkpoint.MODEL_TYPE: backbone
    for backbone in (BertEncoder, RobertaEncoder, DistilBertEncoder, GPTDecoder)
}


def class_of(config, path):
    """The class of the backbone of a `config.json`.

    Args:
        config: The content of the file.
        path: The file, for the error.

    Raises:
        CheckpointError: there is none for its `model_type`.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in BACKBONES:
        raise CheckpointError(
            f"Must be one of {', '.join(BACKBONES)}. Received: {model_type!r:.80}.",
            path=path,
            tensor="model_type",
        )
    return BACKBONES[model_type]
