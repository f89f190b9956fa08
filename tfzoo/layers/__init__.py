"""Layers: tensors in, tensors out, written with `keras.ops` alone."""

from tfzoo.layers.attention import Attention
from tfzoo.layers.causal_mask import CausalMask
from tfzoo.layers.dropout import Dropout
from tfzoo.layers.embeddings import PositionEmbedding, TokenEmbedding
from tfzoo.layers.feed_forward import FeedForward, gelu, gelu_tanh
from tfzoo.layers.heads import ClassificationHead, MaskedLMHead, NextTokenHead
from tfzoo.layers.normalization import LayerNorm
from tfzoo.layers.pooling import SentencePooling
from tfzoo.layers.transformer import TransformerLayer

__all__ = [
    "Attention",
    "CausalMask",
    "ClassificationHead",
    "Dropout",
    "FeedForward",
    "LayerNorm",
    "MaskedLMHead",
    "NextTokenHead",
    "PositionEmbedding",
    "SentencePooling",
    "TokenEmbedding",
    "TransformerLayer",
    "gelu",
    "gelu_tanh",
]
