"""Layers: tensors in, tensors out, written only with `keras.ops`."""

from tfzoo.layers.attention import Attention
from tfzoo.layers.causal_mask import CausalMask
from tfzoo.layers.dropout import Dropout
from tfzoo.layers.embeddings import (
    PositionEmbedding,
    SinusoidalPositions,
    TokenEmbedding,
)
from tfzoo.layers.feed_forward import (
    FeedForward,
    GatedFeedForward,
    gelu,
    gelu_tanh,
)
from tfzoo.layers.heads import ClassificationHead, MaskedLMHead, NextTokenHead
from tfzoo.layers.normalization import LayerNorm, RMSNorm
from tfzoo.layers.pooling import SentencePooling
from tfzoo.layers.relative_bias import RelativePositionBias
from tfzoo.layers.rotary import Rotary
from tfzoo.layers.transformer import TransformerLayer

__all__ = [
    "Attention",
    "CausalMask",
    "ClassificationHead",
    "Dropout",
    "FeedForward",
    "GatedFeedForward",
    "LayerNorm",
    "MaskedLMHead",
    "NextTokenHead",
    "PositionEmbedding",
    "RMSNorm",
    "RelativePositionBias",
    "Rotary",
    "SentencePooling",
    "SinusoidalPositions",
    "TokenEmbedding",
    "TransformerLayer",
    "gelu",
    "gelu_tanh",
]
