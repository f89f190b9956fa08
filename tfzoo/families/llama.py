"""Llama and decoders like it: Mistral, Qwen 2 and Qwen 3.

They have RMSNorm before each sublayer, rotary positions, grouped queries and a gated
feed-forward network, and differ in biases, norms of queries and keys, and the window.
SmolLM2 and TinyLlama are Llamas.

Sources: Touvron et al. 2023, https://arxiv.org/abs/2307.09288 (Llama 2); Grattafiori et
al. 2024, https://arxiv.org/abs/2407.21783 (Llama 3); Jiang et al. 2023,
https://arxiv.org/abs/2310.06825 (Mistral); Yang et al. 2024,
https://arxiv.org/abs/2407.10671 (Qwen 2); Yang et al. 2025,
https://arxiv.org/abs/2505.09388 (Qwen 3); tensor names: `LlamaModel` and
`LlamaForCausalLM` of `transformers`, and likewise of the others.

Shapes: B batch, S sequence, D hidden_dim, N num_heads, V vocabulary_size.
"""

import functools

from tfzoo.checkpoints import fields
from tfzoo.checkpoints.names import linear, plain
from tfzoo.families.family import Head, declared
from tfzoo.families.llama_config import (
    ATTENTION_BIAS,
    FIELDS,
    WINDOW,
    LlamaFamily,
    MistralFamily,
    QwenFamily,
)
from tfzoo.families.preset_backbone import PresetBackbone
from tfzoo.layers import (
    Attention,
    GatedFeedForward,
    RMSNorm,
    Rotary,
    TransformerLayer,
)
from tfzoo.models.arguments import own_arguments
from tfzoo.models.decoder import Decoder

_LAYER, _THEIRS = "transformer_layer_{i}", "layers.{i}"


def _attention(ours, theirs):
    return linear(f"{_LAYER}/self_attention/{ours}", f"{_THEIRS}.self_attn.{theirs}")


def _feed_forward(ours, theirs):
    return linear(f"{_LAYER}/feed_forward/{ours}", f"{_THEIRS}.mlp.{theirs}")


def _norm(ours, theirs):
    return plain(f"{_LAYER}/{ours}/gamma", f"{_THEIRS}.{theirs}.weight")


_NAMES = {
    **plain("token_embedding/embeddings", "embed_tokens.weight"),
    **plain("final_norm/gamma", "norm.weight"),
    **_norm("self_attention_norm", "input_layernorm"),
    **_attention("query", "q_proj"),
    **_attention("key", "k_proj"),
    **_attention("value", "v_proj"),
    **_attention("output", "o_proj"),
    **_norm("self_attention/query_norm", "self_attn.q_norm"),
    **_norm("self_attention/key_norm", "self_attn.k_norm"),
    **_norm("feed_forward_norm", "post_attention_layernorm"),
    **_feed_forward("gate", "gate_proj"),
    **_feed_forward("intermediate", "up_proj"),
    **_feed_forward("output", "down_proj"),
}


def _size(
    num_layers,
    num_heads,
    num_key_value_heads,
    hidden_dim,
    intermediate_dim,
    vocabulary_size,
    max_sequence_length,
    **others,
):
    return dict(
        num_layers=num_layers,
        num_heads=num_heads,
        num_key_value_heads=num_key_value_heads,
        hidden_dim=hidden_dim,
        intermediate_dim=intermediate_dim,
        vocabulary_size=vocabulary_size,
        max_sequence_length=max_sequence_length,
        **others,
    )


def _family(kind, model_type, class_name, own_fields, sizes):
    """What all of them have in common.

    Texts have the layout that the tokenizer's files state: `<s> a` for Llama 2 and
    Mistral, `<|begin_of_text|> a` for Llama 3, no tokens for SmolLM2 and Qwen.
    """
    return kind(
        model_type=model_type,
        class_name=f"{class_name}Model",
        prefix="model.",
        fields={**FIELDS, **own_fields},
        fixed={},
        names=_NAMES,
        output_names=plain("output_embedding/embeddings", "lm_head.weight"),
        heads={"CausalLM": Head(f"{class_name}ForCausalLM")},
        tied={"lm_head.weight": "embed_tokens.weight"},
        sizes=sizes,
        constants={"bos_token_id": None, "eos_token_id": None},
        # Buffers in older files, and the heads of other tasks
        unused=r"(model\.)?layers\.\d+\.self_attn\.rotary_emb\.inv_freq$"
        r"|score\.|qa_outputs\.",
    )


_LLAMA_3_2 = dict(
    rope_type="llama3",
    factor=32.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=8192,
)
LLAMA = _family(
    LlamaFamily,
    "llama",
    "Llama",
    {"attention_bias": ATTENTION_BIAS, "feed_forward_bias": fields.flag("mlp_bias")},
    {
        # tfzoo's own, for training on a CPU; the tokenizer sets the vocabulary size
        "llama_tiny": _size(2, 2, 1, 128, 344, 8192, 512, ties_output=True),
        "llama_mini": _size(4, 4, 2, 256, 688, 8192, 512, ties_output=True),
        "llama_small": _size(6, 6, 2, 384, 1024, 8192, 512, ties_output=True),
        # From the `config.json` of the published models
        **{
            name: _size(
                *sizes,
                *(49152, 8192),
                rope_theta=theta,
                layer_norm_epsilon=1e-5,
                ties_output=True,
            )
            for name, sizes, theta in (
                ("smollm2_135m", (30, 9, 3, 576, 1536), 100000.0),
                ("smollm2_360m", (32, 15, 5, 960, 2560), 100000.0),
                ("smollm2_1.7b", (24, 32, 32, 2048, 8192), 130000.0),
            )
        },
        "tinyllama_1.1b": _size(
            *(22, 32, 4, 2048, 5632, 32000, 2048), layer_norm_epsilon=1e-5
        ),
        **{
            name: _size(
                *sizes,
                *(128256, 131072),
                rope_theta=500000.0,
                rope_scaling=_LLAMA_3_2,
                layer_norm_epsilon=1e-5,
                ties_output=True,
            )
            for name, sizes in (
                ("llama3.2_1b", (16, 32, 8, 2048, 8192)),
                ("llama3.2_3b", (28, 24, 8, 3072, 8192)),
            )
        },
    },
)
MISTRAL = _family(
    MistralFamily,
    "mistral",
    "Mistral",
    {
        "num_key_value_heads": fields.size("num_key_value_heads"),
        "window": WINDOW,
    },
    {
        "mistral_7b": _size(
            *(32, 32, 8, 4096, 14336, 32000, 32768),
            window=4096,
            layer_norm_epsilon=1e-5,
        )
    },
)
QWEN2 = _family(
    QwenFamily,
    "qwen2",
    "Qwen2",
    {
        "num_key_value_heads": fields.size("num_key_value_heads"),
        "window": WINDOW,
    },
    {
        "qwen2.5_0.5b": _size(
            *(24, 14, 2, 896, 4864, 151936, 32768),
            rope_theta=1000000.0,
            ties_output=True,
        )
    },
)
QWEN3 = _family(
    QwenFamily,
    "qwen3",
    "Qwen3",
    {
        "num_key_value_heads": fields.size("num_key_value_heads"),
        "head_dim": fields.size("head_dim", 128),
        "attention_bias": ATTENTION_BIAS,
        "window": WINDOW,
    },
    {
        "qwen3_0.6b": _size(
            *(28, 16, 8, 1024, 3072, 151936, 40960),
            head_dim=128,
            rope_theta=1000000.0,
            ties_output=True,
        )
    },
)


class _Llama(PresetBackbone, Decoder):
    """The decoder of all of these families.

    Args:
        arguments: Dict of the constructor arguments of the class.
        use_bias: Whether queries, keys and values have a bias.
        output_bias: Whether the output projection of attention has one.
        head_norm: Whether queries and keys are normalized.
        dtype: Keras dtype policy.
    """

    def __init__(
        self, arguments, *, use_bias, output_bias, head_norm=False, dtype=None, **kwargs
    ):
        norm = RMSNorm(arguments["layer_norm_epsilon"])
        attention = Attention(
            arguments["num_heads"],
            arguments["attention_dropout"],
            num_key_value_heads=arguments["num_key_value_heads"],
            head_dim=arguments["head_dim"],
            use_bias=use_bias,
            output_bias=output_bias,
            head_norm=norm if head_norm else None,
            rotary=Rotary(arguments["rope_theta"], arguments["rope_scaling"]),
            window=arguments.get("window"),
        )
        feed_forward = GatedFeedForward(
            arguments["intermediate_dim"],
            arguments["activation"],
            use_bias=arguments.get("feed_forward_bias", False),
        )
        super().__init__(
            arguments,
            block=functools.partial(
                TransformerLayer,
                attention,
                feed_forward,
                norm=norm,
                norm_first=True,
                dropout=0.0,
            ),
            final_norm=norm,
            learned_positions=False,
            ties_output=arguments["ties_output"],
            dtype=dtype,
            **kwargs,
        )


@declared(LLAMA)
class LlamaDecoder(_Llama):
    """Llama decoder: one vector per position.

    Args:
        vocabulary_size: Number of token ids V.
        num_layers: Number of `TransformerLayer`s.
        num_heads: Number of attention heads N per layer; must divide `hidden_dim`.
        hidden_dim: Width D.
        intermediate_dim: Width of the feed-forward networks.
        max_sequence_length: Context: the most tokens that tasks give it. The network
            itself has no limit, but was not trained beyond its context.
        num_key_value_heads: Number of key-value heads, which must divide N. Defaults to
            N.
        head_dim: Size of a head, even. Defaults to D / N.
        attention_bias: Whether the projections of attention have a bias.
        feed_forward_bias: Whether the layers of the feed-forward networks have a bias.
        attention_dropout: Fraction of the attention weights to drop during training, in
            [0, 1).
        activation: Activation of the feed-forward networks, as in `FeedForward`.
        layer_norm_epsilon: Added to the mean square.
        rope_theta: Base of the wavelengths of positions, as in `Rotary`.
        rope_scaling: Dict that scales the positions, as in `Rotary`; None for none.
        ties_output: Whether the output layer shares the token embeddings.

    Inputs (a dict of int32):
        token_ids: (B, S).
        padding_mask: (B, S), 1 for a token and 0 for padding. If a row contains several
            documents, it is the number of the token's document, from 1: a token attends
            only to its own document, and positions count from the document's start.

    Returns:
        (B, S, D). `logits` converts it to scores.

    Source: Touvron et al. 2023, section 2.2, https://arxiv.org/abs/2307.09288;
        Grattafiori et al. 2024, section 3.2, https://arxiv.org/abs/2407.21783
    """

    def __init__(
        self,
        vocabulary_size,
        num_layers,
        num_heads,
        hidden_dim,
        intermediate_dim,
        max_sequence_length=2048,
        *,
        num_key_value_heads=None,
        head_dim=None,
        attention_bias=False,
        feed_forward_bias=False,
        attention_dropout=0.0,
        activation="silu",
        layer_norm_epsilon=1e-6,
        rope_theta=10000.0,
        rope_scaling=None,
        ties_output=False,
        dtype=None,
        **kwargs,
    ):
        super().__init__(
            own_arguments(locals()),
            use_bias=attention_bias,
            output_bias=attention_bias,
            dtype=dtype,
            **kwargs,
        )


@declared(MISTRAL)
class MistralDecoder(_Llama):
    """Mistral decoder: a Llama without biases, whose attention may have a window.

    Arguments, inputs and result are those of `LlamaDecoder` except for the biases, and
    `window`, the number of most recent positions that a token attends to, its own
    included; None for no limit. Training windows of several documents may be longer
    than `window`, which counts positions within a document.

    Source: Jiang et al. 2023, section 2, https://arxiv.org/abs/2310.06825
    """

    projection_bias = False  # of queries, keys and values

    def __init__(
        self,
        vocabulary_size,
        num_layers,
        num_heads,
        hidden_dim,
        intermediate_dim,
        max_sequence_length=2048,
        *,
        num_key_value_heads=None,
        head_dim=None,
        window=None,
        attention_dropout=0.0,
        activation="silu",
        layer_norm_epsilon=1e-6,
        rope_theta=10000.0,
        rope_scaling=None,
        ties_output=False,
        dtype=None,
        **kwargs,
    ):
        super().__init__(
            own_arguments(locals()),
            use_bias=self.projection_bias,
            output_bias=False,
            dtype=dtype,
            **kwargs,
        )


@declared(QWEN2)
class Qwen2Decoder(MistralDecoder):
    """Qwen 2 decoder (and 2.5): queries, keys and values have a bias.

    Otherwise as `MistralDecoder`.

    Source: Yang et al. 2024, section 2.2, https://arxiv.org/abs/2407.10671
    """

    projection_bias = True


@declared(QWEN3)
class Qwen3Decoder(_Llama):
    """Qwen 3 decoder: queries and keys are normalized per head, before they are turned.

    `attention_bias` is that of `LlamaDecoder`; otherwise as `MistralDecoder`.

    Source: Yang et al. 2025, section 2, https://arxiv.org/abs/2505.09388
    """

    def __init__(
        self,
        vocabulary_size,
        num_layers,
        num_heads,
        hidden_dim,
        intermediate_dim,
        max_sequence_length=2048,
        *,
        num_key_value_heads=None,
        head_dim=None,
        attention_bias=False,
        window=None,
        attention_dropout=0.0,
        activation="silu",
        layer_norm_epsilon=1e-6,
        rope_theta=10000.0,
        rope_scaling=None,
        ties_output=False,
        dtype=None,
        **kwargs,
    ):
        super().__init__(
            own_arguments(locals()),
            use_bias=attention_bias,
            output_bias=attention_bias,
            head_norm=True,
            dtype=dtype,
            **kwargs,
        )
