"""Models: sizes in, `keras.Model` out."""

from tfzoo.models.bert import BertEncoder
from tfzoo.models.gpt import GPTDecoder

__all__ = ["BertEncoder", "GPTDecoder"]
