"""Heads on a backbone: logits for masked tokens, next tokens, or a whole text.

Shapes: B batch, S sequence, M masked positions, D hidden_dim, V vocabulary_size,
C classes.
"""

import keras
from keras import ops

from tfzoo.layers.dropout import Dropout
from tfzoo.layers.feed_forward import activation_named
from tfzoo.layers.initializers import truncated_normal
from tfzoo.layers.keywords import LayerKeywords
from tfzoo.layers.normalization import LayerNorm


def gather_positions(x, positions):
    """(B, S, D) and (B, M) positions -> (B, M, D)."""
    batch, length, dim = ops.shape(x)
    starts = ops.expand_dims(ops.arange(batch, dtype="int32") * length, 1)
    rows = ops.cast(positions, "int32") + starts
    return ops.take(ops.reshape(x, (-1, dim)), rows, axis=0)


class _Shared(dict):
    """The config of a layer that a head shares with a model.

    Saving and loading turns it into a plain dict. `keras.models.clone_model` passes it
    on as it is, layer by layer, which would untie the head from the model.
    """


def _embedding(config):
    if isinstance(config["token_embedding"], _Shared):
        raise ValueError(
            "A head that shares the token embedding cannot be cloned by itself or "
            "with keras.models.clone_model. Copy the whole task: copy = type(task)."
            "from_config(task.get_config()), then copy.set_weights("
            f"task.get_weights()). Received: {config['name']}"
        )
    return keras.saving.deserialize_keras_object(config["token_embedding"])


@keras.saving.register_keras_serializable("tfzoo")
class MaskedLMHead(LayerKeywords, keras.layers.Layer):
    """Logits over all ids at the masked positions, tied to the token embedding.

    Args:
        token_embedding: The `TokenEmbedding` whose table is the output layer.
        activation: Activation of the transform; BERT uses `"gelu"`.
        layer_norm_epsilon: Added to the variance.

    Call arguments:
        x: (B, S, D) sequence output of the backbone.
        mask_positions: (B, M) integers from 0 to S - 1.

    Returns:
        (B, M, V) float32 logits.

    Source: Devlin et al. 2018, section 3.1 and google-research/bert
        run_pretraining.py `get_masked_lm_output`
    """

    def __init__(
        self, token_embedding, activation="gelu", layer_norm_epsilon=1e-12, **kwargs
    ):
        super().__init__(**kwargs)
        self.token_embedding = token_embedding
        self.activation = activation
        self.activation_function = activation_named(activation)
        self.layer_norm_epsilon = layer_norm_epsilon

    def build(self, x_shape, mask_positions_shape):
        dim = x_shape[-1]
        self.transform = keras.layers.Dense(
            dim,
            kernel_initializer=truncated_normal(),
            dtype=self.dtype_policy,
            name="transform",
        )
        self.transform_norm = LayerNorm(
            self.layer_norm_epsilon, dtype=self.dtype_policy, name="transform_norm"
        )
        self.transform.build((None, None, dim))
        self.transform_norm.build((None, None, dim))
        self.bias = self.add_weight(
            shape=(self.token_embedding.vocabulary_size,),
            initializer="zeros",
            autocast=False,
            name="bias",
        )

    def call(self, x, mask_positions):
        x = gather_positions(x, mask_positions)
        x = self.transform_norm(self.activation_function(self.transform(x)))
        return self.token_embedding.logits(x) + self.bias

    def compute_output_shape(self, x_shape, mask_positions_shape):
        return (*mask_positions_shape, self.token_embedding.vocabulary_size)

    def get_config(self):
        return {
            **super().get_config(),
            "token_embedding": _Shared(
                keras.saving.serialize_keras_object(self.token_embedding)
            ),
            "activation": self.activation,
            "layer_norm_epsilon": self.layer_norm_epsilon,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "token_embedding": _embedding(config)})


@keras.saving.register_keras_serializable("tfzoo")
class ClassificationHead(LayerKeywords, keras.layers.Layer):
    """Class logits of a text, from a single vector for the whole text.

    Args:
        num_outputs: Number of logits C.
        transform: Activation of a dense layer before the output layer: `"tanh"`
            (RoBERTa) or `"relu"` (DistilBERT). None for no such layer: BERT's pooler
            already is one.
        dropout: Fraction of the output layer's input to drop during training, in
            [0, 1).
        input_dropout: Fraction of the transform's input to drop, likewise.

    Call arguments:
        x: (B, D).

    Returns:
        (B, C) float32 logits.

    Source: Devlin et al. 2018, section 4.1; with a transform, the published
        sequence-classification heads of RoBERTa and DistilBERT
    """

    def __init__(
        self, num_outputs, transform=None, dropout=0.1, input_dropout=0.0, **kwargs
    ):
        super().__init__(**kwargs)
        self.num_outputs = num_outputs
        self.transform = transform
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.dropout_layer = Dropout(dropout, dtype=self.dtype_policy, name="dropout")
        self.input_dropout_layer = Dropout(
            input_dropout, dtype=self.dtype_policy, name="input_dropout"
        )

    def build(self, x_shape):
        if self.transform is not None:
            self.transform_layer = keras.layers.Dense(
                x_shape[-1],
                activation=self.transform,
                kernel_initializer=truncated_normal(),
                dtype=self.dtype_policy,
                name="transform",
            )
            self.transform_layer.build(x_shape)
        self.output_layer = keras.layers.Dense(
            self.num_outputs,
            kernel_initializer=truncated_normal(),
            dtype="float32",
            name="output",
        )
        self.output_layer.build(x_shape)

    def call(self, x, training=None):
        if self.transform is not None:
            x = self.input_dropout_layer(x, training=training)
            x = self.transform_layer(x)
        return self.output_layer(self.dropout_layer(x, training=training))

    def compute_output_shape(self, x_shape):
        return (*x_shape[:-1], self.num_outputs)


@keras.saving.register_keras_serializable("tfzoo")
class NextTokenHead(LayerKeywords, keras.layers.Layer):
    """Logits over all ids at every position, tied to the token embedding.

    Args:
        token_embedding: The `TokenEmbedding` whose table is the output layer.
        scale: Factor for the input; T5 has D^-1/2.
        use_bias: Whether there is a bias, as in BART and Marian.

    Call arguments:
        x: (B, S, D) output of the backbone.

    Returns:
        (B, S, V) float32 logits.

    Source: Radford et al. 2018, section 3.1 (GPT)
    """

    def __init__(self, token_embedding, scale=1.0, use_bias=False, **kwargs):
        super().__init__(**kwargs)
        self.token_embedding = token_embedding
        self.scale = scale
        self.use_bias = use_bias

    def build(self, x_shape=None):
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(self.token_embedding.vocabulary_size,),
                initializer="zeros",
                autocast=False,
                name="bias",
            )

    def call(self, x):
        return self.logits(x)

    def logits(self, x, kernels=None):
        """What `call` computes: (..., D) -> (..., V).

        Args:
            x: (..., D).
            kernels: As in `TokenEmbedding.logits`.
        """
        x = x if self.scale == 1 else x * self.scale
        scores = self.token_embedding.logits(x, kernels)
        return scores + self.bias if self.use_bias else scores

    def compute_output_shape(self, x_shape):
        return (*x_shape[:-1], self.token_embedding.vocabulary_size)

    def get_config(self):
        return {
            **super().get_config(),
            "token_embedding": _Shared(
                keras.saving.serialize_keras_object(self.token_embedding)
            ),
            "scale": self.scale,
            "use_bias": self.use_bias,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "token_embedding": _embedding(config)})
