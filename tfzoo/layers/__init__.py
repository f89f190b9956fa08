"""Layers: tensors in, tensors out, written with `keras.ops` alone."""

from tfzoo.layers.attention import Attention
from tfzoo.layers.dropout import Dropout
from tfzoo.layers.embeddings import PositionEmbedding, TokenEmbedding
from tfzoo.layers.feed_forward import FeedForward, gelu
from tfzoo.layers.heads import MaskedLMHead
from tfzoo.layers.normalization import LayerNorm
from tfzoo.layers.transformer import TransformerLayer

__all__ = [
    "Attention",
    "Dropout",
    "FeedForward",
    "LayerNorm",
    "MaskedLMHead",
    "PositionEmbedding",
    "TokenEmbedding",
    "TransformerLayer",
    "gelu",
]
