"""RoBERTa: BERT without segments, whose positions count from beyond the padding's id.

Shapes: B batch, S sequence, D hidden_dim.
"""

import keras
from keras import ops

from tfzoo.checkpoints import roberta
from tfzoo.layers import PositionEmbedding, TokenEmbedding
from tfzoo.models.encoder import Encoder, id_inputs
from tfzoo.models.presets import ROBERTA


@keras.saving.register_keras_serializable("tfzoo")
class RobertaEncoder(Encoder):
    """Encoder of token ids: one vector per position and one for the whole input.

    The first token has position `padding_id` + 1, and padding has position
    `padding_id`, as fairseq counts: the table of positions has that many rows more than
    an input can have tokens.

    Args:
        vocabulary_size: Number of token ids.
        num_layers: Number of `TransformerLayer`s.
        num_heads: Attention heads per layer; must divide `hidden_dim`.
        hidden_dim: Width D.
        intermediate_dim: Width of the feed-forward networks.
        dropout: Share zeroed while training, 0 to 1.
        max_sequence_length: The longest input in tokens.
        num_segments: Rows of the table of segments, as published checkpoints have one.
            Every token is in segment 0.
        padding_id: Id of the padding, from which positions count.
        pooler: Whether to compute `pooled_output`.
        activation: Of the feed-forward networks, as of `FeedForward`.
        layer_norm_epsilon: Added to the variance.
        attention_dropout: Share zeroed of the attention weights; None: as `dropout`.

    Inputs (a dict of int32):
        token_ids: (B, S).
        padding_mask: (B, S), 1 for a token and 0 for padding.

    Returns:
        A dict of `sequence_output` (B, S, D) and, with a pooler, `pooled_output`
        (B, D).

    Source: Liu et al. 2019, https://arxiv.org/abs/1907.11692
    """

    sizes = ROBERTA
    checkpoint = roberta
    sentence_transform = "tanh"

    def __init__(
        self,
        vocabulary_size,
        num_layers,
        num_heads,
        hidden_dim,
        intermediate_dim,
        dropout=0.1,
        max_sequence_length=512,
        num_segments=1,
        padding_id=1,
        *,
        pooler=True,
        activation="gelu",
        layer_norm_epsilon=1e-5,
        attention_dropout=None,
        dtype=None,
        **kwargs,
    ):
        position_embedding = PositionEmbedding(
            max_sequence_length + padding_id + 1,
            dtype=dtype,
            name="position_embedding",
        )
        segment_embedding = TokenEmbedding(
            num_segments, hidden_dim, dtype=dtype, name="segment_embedding"
        )
        inputs = id_inputs("token_ids", "padding_mask")

        def embed(x):
            mask = inputs["padding_mask"]
            positions = ops.cumsum(mask, axis=1) * mask + padding_id
            segments = ops.zeros_like(inputs["token_ids"])
            return x + position_embedding(x, positions) + segment_embedding(segments)

        super().__init__(
            dict(
                vocabulary_size=vocabulary_size,
                num_layers=num_layers,
                num_heads=num_heads,
                hidden_dim=hidden_dim,
                intermediate_dim=intermediate_dim,
                dropout=dropout,
                max_sequence_length=max_sequence_length,
                num_segments=num_segments,
                padding_id=padding_id,
                pooler=pooler,
                activation=activation,
                layer_norm_epsilon=layer_norm_epsilon,
                attention_dropout=attention_dropout,
            ),
            inputs,
            embed,
            dtype=dtype,
            **kwargs,
        )
