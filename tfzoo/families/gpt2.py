"""GPT-2: a decoder that predicts the next token.

Sources: Radford et al. 2019,
https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf;
tensor names: `GPT2Model` and `GPT2LMHeadModel` of `transformers`, whose `Conv1D`
kernels are (inputs, outputs), as in Keras.

Shapes: B batch, S sequence, D hidden_dim, V vocabulary_size.
"""

import functools

from tfzoo.checkpoints import fields
from tfzoo.checkpoints.keras_hub import KerasHubClass
from tfzoo.checkpoints.names import norm, plain, side_by_side
from tfzoo.families import gpt2_openai
from tfzoo.families.family import Family, Head, declared
from tfzoo.families.preset_backbone import PresetBackbone
from tfzoo.layers import LayerNorm, TransformerLayer
from tfzoo.models.arguments import own_arguments
from tfzoo.models.decoder import Decoder
from tfzoo.text.byte_bpe.tokenizer import ByteBPETokenizer
from tfzoo.text.layout import Layout

_LAYER, _THEIRS = "transformer_layer_{i}", "h.{i}"


def _size(num_layers, num_heads, hidden_dim, vocabulary_size, max_sequence_length):
    return dict(
        num_layers=num_layers,
        num_heads=num_heads,
        hidden_dim=hidden_dim,
        intermediate_dim=4 * hidden_dim,
        vocabulary_size=vocabulary_size,
        max_sequence_length=max_sequence_length,
        dropout=0.1,
    )


class _Gpt2(Family):
    def from_config(self, config, path):
        # GPT-2's own file omits the width of the feed-forward network or sets it null.
        if config.get("n_inner") is None and type(config.get("n_embd")) is int:
            config = {**config, "n_inner": 4 * config["n_embd"]}
        return super().from_config(config, path)


GPT2 = _Gpt2(
    model_type="gpt2",
    class_name="GPT2Model",
    prefix="transformer.",
    fields={
        "vocabulary_size": fields.size("vocab_size"),
        "num_layers": fields.size("n_layer"),
        "num_heads": fields.size("n_head"),
        "hidden_dim": fields.size("n_embd"),
        "intermediate_dim": fields.size("n_inner"),
        "dropout": fields.share("resid_pdrop", 0.1),
        "attention_dropout": fields.share("attn_pdrop", 0.1),
        "embeddings_dropout": fields.share("embd_pdrop", 0.1),
        "max_sequence_length": fields.size("n_positions"),
        "activation": fields.activation("activation_function", "gelu_new"),
        "layer_norm_epsilon": fields.epsilon("layer_norm_epsilon", 1e-5),
    },
    fixed={
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
        "tie_word_embeddings": True,
        "pruned_heads": {},
    },
    names={
        **plain("token_embedding/embeddings", "wte.weight"),
        **plain("position_embedding/embeddings", "wpe.weight"),
        **norm("final_norm", "ln_f"),
        **norm(f"{_LAYER}/self_attention_norm", f"{_THEIRS}.ln_1"),
        **side_by_side(
            [f"{_LAYER}/self_attention/{part}" for part in ("query", "key", "value")],
            f"{_THEIRS}.attn.c_attn",
        ),
        **side_by_side([f"{_LAYER}/self_attention/output"], f"{_THEIRS}.attn.c_proj"),
        **norm(f"{_LAYER}/feed_forward_norm", f"{_THEIRS}.ln_2"),
        **side_by_side([f"{_LAYER}/feed_forward/intermediate"], f"{_THEIRS}.mlp.c_fc"),
        **side_by_side([f"{_LAYER}/feed_forward/output"], f"{_THEIRS}.mlp.c_proj"),
    },
    heads={"CausalLM": Head("GPT2LMHeadModel")},
    tied={"lm_head.weight": "wte.weight"},
    tokenizers={ByteBPETokenizer: Layout()},
    sizes={
        # tfzoo's own, for training on a CPU; the tokenizer sets the vocabulary size
        "gpt_tiny": _size(2, 2, 128, 8192, 512),
        "gpt_mini": _size(4, 4, 256, 8192, 512),
        "gpt_small": _size(6, 6, 384, 8192, 512),
        # Table 2
        "gpt2": _size(12, 12, 768, 50257, 1024),
        "gpt2_medium": _size(24, 16, 1024, 50257, 1024),
        "gpt2_large": _size(36, 20, 1280, 50257, 1024),
        "gpt2_xl": _size(48, 25, 1600, 50257, 1024),
    },
    constants={"bos_token_id": None, "eos_token_id": None},
    # Causal masks in older files, and the heads of tasks
    unused=(
        r"(transformer\.)?h\.\d+\.attn\.(masked_)?bias$"
        r"|score\.|classifier\.|qa_outputs\.|multiple_choice_head\."
    ),
    foreign={gpt2_openai.CONFIG: lambda tensors: gpt2_openai},
    keras_hub=KerasHubClass(
        "GPT2Backbone",
        dict(activation="gelu_tanh", layer_norm_epsilon=1e-5, embeddings_dropout=None),
    ),
)


@declared(GPT2)
class GPTDecoder(PresetBackbone, Decoder):
    """GPT-2 decoder: one vector per position.

    Args:
        vocabulary_size: Number of token ids V.
        num_layers: Number of `TransformerLayer`s.
        num_heads: Number of attention heads N per layer; must divide `hidden_dim`.
        hidden_dim: Width D.
        intermediate_dim: Width of the feed-forward networks.
        dropout: Fraction of units to drop during training, in [0, 1).
        max_sequence_length: Number of learned positions, the maximum input length.
        activation: Activation of the feed-forward networks, as in `FeedForward`.
        layer_norm_epsilon: Added to the variance.
        attention_dropout: Fraction of the attention weights to drop. Defaults to
            `dropout`.
        embeddings_dropout: Fraction of the embeddings to drop. Defaults to `dropout`.

    Inputs (a dict of int32):
        token_ids: (B, S).
        padding_mask: (B, S), 1 for a token and 0 for padding. If a row contains several
            documents, it is the number of the token's document, from 1: a token attends
            only to its own document, and positions count from the document's start.

    Returns:
        (B, S, D). `logits` converts it to scores.

    Source: Radford et al. 2019, section 2.3,
        https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
    """

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
        arguments = own_arguments(locals())
        super().__init__(
            arguments,
            block=functools.partial(
                TransformerLayer,
                num_heads,
                intermediate_dim,
                dropout=dropout,
                attention_dropout=attention_dropout,
                activation=activation,
                norm_first=True,
                layer_norm_epsilon=layer_norm_epsilon,
                output_stddev=0.02 * (2 * num_layers) ** -0.5,
            ),
            final_norm=LayerNorm(layer_norm_epsilon),
            embeddings_dropout=dropout
            if embeddings_dropout is None
            else embeddings_dropout,
            dtype=dtype,
            **kwargs,
        )
