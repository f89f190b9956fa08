"""Bidirectional encoders: embeddings, post-norm layers, an optional pooler.

Shapes: B batch, S sequence, D hidden_dim.
"""

import keras
from keras import ops

from tfzoo.layers import Dropout, LayerNorm, TokenEmbedding, TransformerLayer
from tfzoo.layers.initializers import truncated_normal
from tfzoo.layers.projection import Projection
from tfzoo.models.backbone import Backbone, checked_policy
from tfzoo.models.stack import Stack


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


class StackEncoder(Encoder):
    """Base class of encoders that are that of an encoder-decoder, alone.

    Args:
        arguments: As in `Encoder`.
        block: As in `EncoderDecoder`.
        stack: As in `EncoderDecoder`.
        dtype: Keras dtype policy.

    Inputs (a dict of int32):
        token_ids: (B, S).
        padding_mask: (B, S), 1 for a token and 0 for padding.

    Returns:
        A dict with `sequence_output` (B, S, D).
    """

    def __init__(self, arguments, *, block, stack, dtype=None, **kwargs):
        policy = checked_policy(dtype)
        token_embedding = TokenEmbedding(
            arguments["vocabulary_size"],
            arguments["hidden_dim"],
            dtype=policy.name,
            name="token_embedding",
        )
        layers = [
            block(name=f"encoder_layer_{i}", dtype=policy.name)
            for i in range(arguments["num_layers"])
        ]
        encoder = Stack("encoder", token_embedding, layers, policy, **stack)
        inputs = id_inputs("token_ids", "padding_mask")
        x = encoder(inputs["token_ids"], inputs["padding_mask"])
        # Not the layers of `Encoder`
        Backbone.__init__(self, inputs, {"sequence_output": x}, **kwargs)
        self.describe(arguments, policy)
        self.token_embedding = token_embedding
