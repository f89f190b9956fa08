"""Bidirectional encoders: embeddings, post-norm layers, an optional pooler.

Shapes: B batch, S sequence, D hidden_dim.
"""

import keras
from keras import ops

from tfzoo.layers import Dropout, LayerNorm, TokenEmbedding, TransformerLayer
from tfzoo.layers.initializers import truncated_normal
from tfzoo.layers.projection import Projection
from tfzoo.models.backbone import Backbone, checked_policy


def id_inputs(*names):
    """Inputs of a functional model: a dict of int32 (B, S) tensors."""
    return {name: keras.Input((None,), dtype="int32", name=name) for name in names}


class Encoder(Backbone):
    """Base class of bidirectional encoders, each of which has its own embeddings.

    Class attributes:
        sentence_transform: Transform that classifiers apply to the first token's vector
            (`transform` of `ClassificationHead`). None: they use `pooled_output`.
        word_transform: Activation of the masked-word head. None: that of the layers.

    Args:
        arguments: Dict of the constructor arguments of the class, which become
            attributes and config. They include `vocabulary_size`, `num_layers`,
            `num_heads`, `hidden_dim`, `intermediate_dim`, `dropout`, `activation` and
            `attention_dropout`. `layer_norm_epsilon` and `pooler` may be missing;
            the class attributes apply then.
        inputs: Dict of the inputs.
        embed: Function that adds to the token embeddings (B, S, D) those of the
            positions and whatever else the class embeds.
        dtype: Keras dtype policy.
    """

    sentence_transform = None
    word_transform = None
    layer_norm_epsilon = 1e-12
    pooler = False

    def __init__(self, arguments, inputs, embed, *, dtype=None, **kwargs):
        policy = checked_policy(dtype)
        dtype = policy.name  # a name, so that Keras can write the layers' configs
        size = arguments.__getitem__
        epsilon = arguments.get("layer_norm_epsilon", self.layer_norm_epsilon)
        dropout = size("dropout")

        # Layers
        token_embedding = TokenEmbedding(
            size("vocabulary_size"),
            size("hidden_dim"),
            dtype=dtype,
            name="token_embedding",
        )
        embeddings_norm = LayerNorm(epsilon, dtype=dtype, name="embeddings_norm")
        embeddings_dropout = Dropout(dropout, dtype=dtype, name="embeddings_dropout")
        transformer_layers = [
            TransformerLayer(
                size("num_heads"),
                size("intermediate_dim"),
                dropout=dropout,
                attention_dropout=size("attention_dropout"),
                activation=size("activation"),
                layer_norm_epsilon=epsilon,
                dtype=dtype,
                name=f"transformer_layer_{i}",
            )
            for i in range(size("num_layers"))
        ]

        # Graph
        x = embed(token_embedding(inputs["token_ids"]))
        x = embeddings_dropout(embeddings_norm(x))
        for layer in transformer_layers:
            x = layer(x, attention_mask=inputs["padding_mask"])
        outputs = {"sequence_output": x}
        if arguments.get("pooler", self.pooler):
            outputs["pooled_output"] = Projection(
                size("hidden_dim"),
                activation="tanh",
                kernel_initializer=truncated_normal(),
                dtype=dtype,
                name="pooler",
            )(ops.take(x, 0, axis=1))
        super().__init__(inputs, outputs, **kwargs)
        self.describe(arguments, policy)
        self.token_embedding = token_embedding
