"""Architectures: one file each, with everything specific to the architecture."""

from tfzoo.families.bert import BertEncoder
from tfzoo.families.distilbert import DistilBertEncoder
from tfzoo.families.family import BACKBONES, class_of
from tfzoo.families.gpt2 import GPTDecoder
from tfzoo.families.llama import (
    LlamaDecoder,
    MistralDecoder,
    Qwen2Decoder,
    Qwen3Decoder,
)
from tfzoo.families.roberta import RobertaEncoder

__all__ = [
    "BACKBONES",
    "BertEncoder",
    "DistilBertEncoder",
    "GPTDecoder",
    "LlamaDecoder",
    "MistralDecoder",
    "Qwen2Decoder",
    "Qwen3Decoder",
    "RobertaEncoder",
    "class_of",
]
