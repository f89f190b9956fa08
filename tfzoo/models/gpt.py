"""GPT: a decoder that predicts the next token.

Shapes: B batch, S sequence, T new positions, P earlier positions, D hidden_dim,
N num_heads, H = D / N head size, V vocabulary_size.
"""

import keras
from keras import ops

from tfzoo.checkpoints import gpt2
from tfzoo.layers import (
    CausalMask,
    Dropout,
    LayerNorm,
    PositionEmbedding,
    TokenEmbedding,
    TransformerLayer,
)
from tfzoo.models.frozen import frozen_config, with_frozen
from tfzoo.models.precision import policy_with_float32_weights
from tfzoo.models.presets import GPT, BackbonePreset


@keras.saving.register_keras_serializable("tfzoo")
class GPTDecoder(BackbonePreset, keras.Model):
    """Decoder of token ids as GPT-2 has it: one vector per position.

    Args:
        vocabulary_size: Number of token ids V.
        num_layers: Number of `TransformerLayer`s.
        num_heads: Attention heads N per layer; must divide `hidden_dim`.
        hidden_dim: Width D.
        intermediate_dim: Width of the feed-forward networks.
        dropout: Share zeroed while training, 0 to 1.
        max_sequence_length: Number of learned positions, the longest input.
        activation: Of the feed-forward networks, as of `FeedForward`.
        layer_norm_epsilon: Added to the variance.
        attention_dropout: Share zeroed of the attention weights; None: as `dropout`.
        embeddings_dropout: Share zeroed of the embeddings; None: as `dropout`.

    Inputs (a dict of int32):
        token_ids: (B, S).
        padding_mask: (B, S), 1 for a token and 0 for padding. Where a row holds
            several documents, it is the number of each token's document, from 1: a
            token sees its own document alone, and positions count from its beginning.

    Returns:
        (B, S, D). `logits` makes scores of it.

    Source: Radford et al. 2019, section 2.3,
        https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
    """

    sizes = GPT
    checkpoint = gpt2
    ties_output = True

    def __init__(
        self,
        vocabulary_size,
        num_layers,
        num_heads,
        hidden_dim,
        intermediate_dim,
        dropout=0.1,
        max_sequence_length=1024,
        *,
        activation="gelu_tanh",
        layer_norm_epsilon=1e-5,
        attention_dropout=None,
        embeddings_dropout=None,
        dtype=None,
        **kwargs,
    ):
        policy = policy_with_float32_weights(dtype)
        dtype = policy.name  # of which Keras writes a layer's config by itself

        # Layers
        token_embedding = TokenEmbedding(
            vocabulary_size, hidden_dim, dtype=dtype, name="token_embedding"
        )
        position_embedding = PositionEmbedding(
            max_sequence_length, dtype=dtype, name="position_embedding"
        )
        drop_embeddings = Dropout(
            dropout if embeddings_dropout is None else embeddings_dropout,
            dtype=dtype,
            name="embeddings_dropout",
        )
        transformer_layers = [
            TransformerLayer(
                num_heads,
                intermediate_dim,
                dropout=dropout,
                attention_dropout=attention_dropout,
                activation=activation,
                norm_first=True,
                layer_norm_epsilon=layer_norm_epsilon,
                output_stddev=0.02 * (2 * num_layers) ** -0.5,
                dtype=dtype,
                name=f"transformer_layer_{i}",
            )
            for i in range(num_layers)
        ]
        final_norm = LayerNorm(layer_norm_epsilon, dtype=dtype, name="final_norm")

        # Graph
        inputs = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("token_ids", "padding_mask")
        }
        # Once for all layers, instead of once in each
        seen = CausalMask(name="causal_mask")(inputs["padding_mask"])
        positions = ops.sum(ops.cast(seen, "int32"), axis=-1) - 1
        x = token_embedding(inputs["token_ids"])
        x = drop_embeddings(x + position_embedding(x, positions))
        for layer in transformer_layers:
            x = layer(x, attention_mask=seen)
        super().__init__(inputs, final_norm(x), **kwargs)
        self.trainable = self.trainable  # of the layers, too, tracked only now

        # Config
        self.dtype_policy = policy  # which Keras's functional models leave out
        self.token_embedding = token_embedding
        self.position_embedding = position_embedding
        self.transformer_layers = transformer_layers
        self.final_norm = final_norm
        self.vocabulary_size = vocabulary_size
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.intermediate_dim = intermediate_dim
        self.dropout = dropout
        self.max_sequence_length = max_sequence_length
        self.activation = activation
        self.layer_norm_epsilon = layer_norm_epsilon
        self.attention_dropout = attention_dropout
        self.embeddings_dropout = embeddings_dropout
        self.dtype_name = policy.name

    def call(self, inputs, training=None, mask=None):
        # Keras's own takes any other keyword, and drops it.
        return super().call(inputs, training=training, mask=mask)

    def logits(self, hidden, kernels=None):
        """Scores of the next token, float32: (..., D) -> (..., V).

        For tensors; in a functional graph, `NextTokenHead` is the layer that does it.

        Args:
            hidden: (..., D).
            kernels: As `step_kernels` gives them, or None.
        """
        return self.token_embedding.logits(hidden, kernels)

    def step(
        self,
        token_ids,
        positions,
        past_keys,
        past_values,
        mask,
        kernels=None,
    ):
        """The decoder at a few positions, given keys and values of those before them.

        What the model computes there when it does not train. With P = 0 it reads a
        whole prompt, and what it returns is the past of the next step.

        Args:
            token_ids: (B, T) integers.
            positions: (B, T) integers, 0 to `max_sequence_length` - 1.
            past_keys: A list of one (B, N, P, H) per layer, in the compute dtype.
            past_values: As `past_keys`.
            mask: Boolean, broadcasts to (B, N, T, P + T), past keys first; False
                hides a key. It alone says what is seen, also among the T new ones.
            kernels: As `step_kernels` gives them, or None.

        Returns:
            A tuple of the hidden states (B, T, D) and lists of the keys and the values
            of the T positions, one (B, N, T, H) per layer. The past is not written.
        """
        x = self.token_embedding(token_ids)
        x = x + self.position_embedding(x, positions)
        new_keys, new_values = [], []
        for layer, keys, values in zip(
            self.transformer_layers, past_keys, past_values, strict=True
        ):
            x, keys, values = layer.step(x, keys, values, mask, kernels)
            new_keys.append(keys)
            new_values.append(values)
        return self.final_norm(x), new_keys, new_values

    def step_kernels(self, transposed):
        """The weights in the form in which `step` and `logits` multiply fastest.

        On a CPU, see `tfzoo.layers.few_rows`. They are copies: for few rows of the
        output table and a quarter of the layers' kernels, for more of all kernels. Made
        once, outside of the loop.

        Args:
            transposed: Whether for four rows (B times T) and more, or for fewer.

        Returns:
            A dict.
        """
        layers = (self.token_embedding, *self.transformer_layers)
        return {
            path: kernel
            for layer in layers
            for path, kernel in layer.step_kernels(transposed).items()
        }

    def get_config(self):
        return {
            "vocabulary_size": self.vocabulary_size,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "hidden_dim": self.hidden_dim,
            "intermediate_dim": self.intermediate_dim,
            "dropout": self.dropout,
            "max_sequence_length": self.max_sequence_length,
            "activation": self.activation,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "attention_dropout": self.attention_dropout,
            "embeddings_dropout": self.embeddings_dropout,
            "dtype": self.dtype_name,
            "name": self.name,
            "trainable": self.trainable,
            **frozen_config(self),
        }

    @classmethod
    def from_config(cls, config):
        return with_frozen(cls, config)
