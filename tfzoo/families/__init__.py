"""Architectures: one file each, with everything specific to the architecture."""

from tfzoo.families.bart import BartEncoderDecoder
from tfzoo.families.bert import BertEncoder
from tfzoo.families.distilbert import DistilBertEncoder
from tfzoo.families.family import BACKBONES, ENCODERS, backbone_classes, class_of
from tfzoo.families.gpt2 import GPTDecoder
from tfzoo.families.llama import (
    LlamaDecoder,
    MistralDecoder,
    Qwen2Decoder,
    Qwen3Decoder,
)
from tfzoo.families.marian import MarianEncoderDecoder
from tfzoo.families.roberta import RobertaEncoder
from tfzoo.families.t5 import T5EncoderDecoder
from tfzoo.families.t5_encoder import T5Encoder
from tfzoo.families.transformer import TransformerEncoderDecoder

__all__ = [
    "BACKBONES",
    "BartEncoderDecoder",
    "BertEncoder",
    "DistilBertEncoder",
    "ENCODERS",
    "GPTDecoder",
    "LlamaDecoder",
    "MarianEncoderDecoder",
    "MistralDecoder",
    "Qwen2Decoder",
    "Qwen3Decoder",
    "RobertaEncoder",
    "T5Encoder",
    "T5EncoderDecoder",
    "TransformerEncoderDecoder",
    "backbone_classes",
    "class_of",
]
