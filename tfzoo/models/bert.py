"""BERT: a bidirectional encoder.

Shapes: B batch, S sequence, D hidden_dim.
"""

import keras
from keras import ops

from tfzoo.checkpoints import bert
from tfzoo.layers import (
    Dropout,
    PositionEmbedding,
    TokenEmbedding,
    TransformerLayer,
)
from tfzoo.layers.initializers import truncated_normal
from tfzoo.models.presets import BERT, BackbonePreset

LAYER_NORM_EPSILON = 1e-12


@keras.saving.register_keras_serializable("tfzoo")
class BertEncoder(BackbonePreset, keras.Model):
    """Encoder of token ids: one vector per position and one for the whole input.

    Args:
        vocabulary_size: Number of token ids.
        num_layers: Number of `TransformerLayer`s.
        num_heads: Attention heads per layer; must divide `hidden_dim`.
        hidden_dim: Width D.
        intermediate_dim: Width of the feed-forward networks.
        dropout: Share zeroed while training, 0 to 1.
        max_sequence_length: Number of learned positions, the longest input.
        num_segments: Number of segment ids.
        pooler: Whether to compute `pooled_output`; published checkpoints with a
            masked-word, tagging or question-answering head have no weights for it.

    Inputs (a dict of int32):
        token_ids: (B, S).
        segment_ids: (B, S), 0 for the first text and 1 for the second.
        padding_mask: (B, S), 1 for a token and 0 for padding.

    Returns:
        A dict of `sequence_output` (B, S, D) and, with a pooler, `pooled_output`
        (B, D).

    Source: Devlin et al. 2018, section 3, https://arxiv.org/abs/1810.04805
    """

    sizes = BERT
    checkpoint = bert

    def __init__(
        self,
        vocabulary_size,
        num_layers,
        num_heads,
        hidden_dim,
        intermediate_dim,
        dropout=0.1,
        max_sequence_length=512,
        num_segments=2,
        *,
        pooler=True,
        dtype=None,
        **kwargs,
    ):
        # Layers
        token_embedding = TokenEmbedding(
            vocabulary_size, hidden_dim, dtype=dtype, name="token_embedding"
        )
        position_embedding = PositionEmbedding(
            max_sequence_length, dtype=dtype, name="position_embedding"
        )
        segment_embedding = TokenEmbedding(
            num_segments, hidden_dim, dtype=dtype, name="segment_embedding"
        )
        embeddings_norm = keras.layers.LayerNormalization(
            epsilon=LAYER_NORM_EPSILON, dtype=dtype, name="embeddings_norm"
        )
        embeddings_dropout = Dropout(dropout, dtype=dtype, name="embeddings_dropout")
        transformer_layers = [
            TransformerLayer(
                num_heads,
                intermediate_dim,
                dropout=dropout,
                layer_norm_epsilon=LAYER_NORM_EPSILON,
                dtype=dtype,
                name=f"transformer_layer_{i}",
            )
            for i in range(num_layers)
        ]

        # Graph
        inputs = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("token_ids", "segment_ids", "padding_mask")
        }
        x = token_embedding(inputs["token_ids"])
        x = x + position_embedding(x) + segment_embedding(inputs["segment_ids"])
        x = embeddings_dropout(embeddings_norm(x))
        for layer in transformer_layers:
            x = layer(x, attention_mask=inputs["padding_mask"])
        outputs = {"sequence_output": x}
        if pooler:
            first = ops.take(x, 0, axis=1)
            outputs["pooled_output"] = keras.layers.Dense(
                hidden_dim,
                activation="tanh",
                kernel_initializer=truncated_normal(),
                dtype=dtype,
                name="pooler",
            )(first)
        super().__init__(inputs, outputs, **kwargs)

        # Config
        self.token_embedding = token_embedding
        self.vocabulary_size = vocabulary_size
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.intermediate_dim = intermediate_dim
        self.dropout = dropout
        self.max_sequence_length = max_sequence_length
        self.num_segments = num_segments
        self.pooler = pooler
        self.dtype_name = token_embedding.dtype_policy.name

    def get_config(self):
        return {
            "vocabulary_size": self.vocabulary_size,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "hidden_dim": self.hidden_dim,
            "intermediate_dim": self.intermediate_dim,
            "dropout": self.dropout,
            "max_sequence_length": self.max_sequence_length,
            "num_segments": self.num_segments,
            "pooler": self.pooler,
            "dtype": self.dtype_name,
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)
