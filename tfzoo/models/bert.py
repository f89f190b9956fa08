"""BERT: a bidirectional encoder.

Shapes: B batch, S sequence, D hidden_dim.
"""

import keras

from tfzoo.checkpoints import bert
from tfzoo.layers import PositionEmbedding, TokenEmbedding
from tfzoo.models.encoder import Encoder, id_inputs
from tfzoo.models.presets import BERT


@keras.saving.register_keras_serializable("tfzoo")
class BertEncoder(Encoder):
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
        activation: Of the feed-forward networks, as of `FeedForward`.
        layer_norm_epsilon: Added to the variance.
        attention_dropout: Share zeroed of the attention weights; None: as `dropout`.

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
        activation="gelu",
        layer_norm_epsilon=1e-12,
        attention_dropout=None,
        dtype=None,
        **kwargs,
    ):
        position_embedding = PositionEmbedding(
            max_sequence_length, dtype=dtype, name="position_embedding"
        )
        segment_embedding = TokenEmbedding(
            num_segments, hidden_dim, dtype=dtype, name="segment_embedding"
        )
        inputs = id_inputs("token_ids", "segment_ids", "padding_mask")
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
                pooler=pooler,
                activation=activation,
                layer_norm_epsilon=layer_norm_epsilon,
                attention_dropout=attention_dropout,
            ),
            inputs,
            lambda x: (
                x + position_embedding(x) + segment_embedding(inputs["segment_ids"])
            ),
            dtype=dtype,
            **kwargs,
        )
