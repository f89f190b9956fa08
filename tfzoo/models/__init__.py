"""Models: sizes in, `keras.Model` out."""

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
