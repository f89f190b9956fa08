"""DistilBERT: BERT without segments and pooler.

Shapes: B batch, S sequence, D hidden_dim.
"""

import keras

from tfzoo.checkpoints import distilbert
from tfzoo.layers import PositionEmbedding
from tfzoo.models.encoder import Encoder, id_inputs
from tfzoo.models.presets import DISTILBERT


@keras.saving.register_keras_serializable("tfzoo")
class DistilBertEncoder(Encoder):
    """Encoder of token ids: one vector per position.

    Args:
        vocabulary_size: Number of token ids.
        num_layers: Number of `TransformerLayer`s.
        num_heads: Attention heads per layer; must divide `hidden_dim`.
        hidden_dim: Width D.
        intermediate_dim: Width of the feed-forward networks.
        dropout: Share zeroed while training, 0 to 1.
        max_sequence_length: Number of learned positions, the longest input.
        activation: Of the feed-forward networks, as of `FeedForward`.
        attention_dropout: Share zeroed of the attention weights; None: as `dropout`.

    Inputs (a dict of int32):
        token_ids: (B, S).
        padding_mask: (B, S), 1 for a token and 0 for padding.

    Returns:
        A dict of `sequence_output` (B, S, D).

    Source: Sanh et al. 2019, https://arxiv.org/abs/1910.01108
    """

    sizes = DISTILBERT
    checkpoint = distilbert
    sentence_transform = "relu"
    may_pool = False

    def __init__(
        self,
        vocabulary_size,
        num_layers,
        num_heads,
        hidden_dim,
        intermediate_dim,
        dropout=0.1,
        max_sequence_length=512,
        *,
        activation="gelu",
        attention_dropout=None,
        dtype=None,
        **kwargs,
    ):
        position_embedding = PositionEmbedding(
            max_sequence_length, dtype=dtype, name="position_embedding"
        )
        super().__init__(
            dict(
                vocabulary_size=vocabulary_size,
                num_layers=num_layers,
                num_heads=num_heads,
                hidden_dim=hidden_dim,
                intermediate_dim=intermediate_dim,
                dropout=dropout,
                max_sequence_length=max_sequence_length,
                activation=activation,
                attention_dropout=attention_dropout,
            ),
            id_inputs("token_ids", "padding_mask"),
            lambda x: x + position_embedding(x),
            dtype=dtype,
            **kwargs,
        )
