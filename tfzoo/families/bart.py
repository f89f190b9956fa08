"""BART: an encoder-decoder pretrained to restore corrupted text.

Sources: Lewis et al. 2019, https://arxiv.org/abs/1910.13461; tensor names: `BartModel`
and `BartForConditionalGeneration` of `transformers`.

Shapes: B batch, S encoder sequence, T decoder sequence, D hidden_dim.
"""

import functools

from tfzoo.checkpoints import fields
from tfzoo.checkpoints.names import Stored, linear, norm, plain
from tfzoo.errors import CheckpointError
from tfzoo.families.family import Family, Head, declared
from tfzoo.families.preset_backbone import PresetBackbone
from tfzoo.layers import (
    Attention,
    FeedForward,
    LayerNorm,
    PositionEmbedding,
    TransformerLayer,
)
from tfzoo.models.arguments import own_arguments
from tfzoo.models.encoder_decoder import EncoderDecoder
from tfzoo.text.byte_bpe.tokenizer import ByteBPETokenizer
from tfzoo.text.layout import Layout

EPSILON = 1e-5  # of the normalization layers; not in the format
OFFSET = 2  # rows of the position tables before that of position 0, as in fairseq
_SIDES = {"encoder": "i", "decoder": "j"}
_EQUAL = (  # fields that must be equal for both sides
    ("encoder_attention_heads", "decoder_attention_heads"),
    ("encoder_ffn_dim", "decoder_ffn_dim"),
)


def _attention(ours, theirs):
    parts = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}
    return {
        path: stored
        for part, name in (*parts.items(), ("output", "out_proj"))
        for path, stored in linear(f"{ours}/{part}", f"{theirs}.{name}").items()
    }


def _layers(side):
    """The names of the layers of a side."""
    letter = _SIDES[side]
    ours, theirs = f"{side}_layer_{{{letter}}}", f"{side}.layers.{{{letter}}}"
    names = {
        **_attention(f"{ours}/self_attention", f"{theirs}.self_attn"),
        **norm(f"{ours}/self_attention_norm", f"{theirs}.self_attn_layer_norm"),
        **linear(f"{ours}/feed_forward/intermediate", f"{theirs}.fc1"),
        **linear(f"{ours}/feed_forward/output", f"{theirs}.fc2"),
        **norm(f"{ours}/feed_forward_norm", f"{theirs}.final_layer_norm"),
    }
    if side == "decoder":
        names |= {
            **_attention(f"{ours}/cross_attention", f"{theirs}.encoder_attn"),
            **norm(f"{ours}/cross_attention_norm", f"{theirs}.encoder_attn_layer_norm"),
        }
    return names


LAYERS = {**_layers("encoder"), **_layers("decoder")}
OUTPUT_NAMES = {"next_token_head/bias": Stored("final_logits_bias", is_row=True)}
FIELDS = {
    "vocabulary_size": fields.size("vocab_size"),
    "num_layers": fields.size("encoder_layers"),
    "num_decoder_layers": fields.size("decoder_layers"),
    "num_heads": fields.size("encoder_attention_heads"),
    "hidden_dim": fields.size("d_model"),
    "intermediate_dim": fields.size("encoder_ffn_dim"),
    "dropout": fields.share("dropout", 0.1),
    "attention_dropout": fields.share("attention_dropout", 0.0),
    "activation_dropout": fields.share("activation_dropout", 0.0),
    "max_sequence_length": fields.size("max_position_embeddings", 1024),
    "activation": fields.activation("activation_function", "gelu"),
    "scales_embedding": fields.flag("scale_embedding"),
}
FIXED = {
    "is_encoder_decoder": True,
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
    "normalize_before": False,
    "add_final_layer_norm": False,
    "tie_word_embeddings": True,
}
CONSTANTS = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
SHARED = {
    f"{prefix}{side}.embed_tokens.weight": "shared.weight"
    for prefix in ("", "model.")
    for side in _SIDES
}


class BartFamily(Family):
    """A family whose sides differ in nothing but their number of layers."""

    def from_config(self, config, path):
        for ours, theirs in _EQUAL:
            if config.get(theirs) not in (None, config.get(ours)):
                raise CheckpointError(
                    f"Must equal {ours}. Received: {config[theirs]!r:.20} and "
                    f"{config.get(ours)!r:.20}.",
                    path=path,
                    tensor=theirs,
                )
        return super().from_config(config, path)

    def to_config(self, arguments, class_name=None, extra=None):
        config = super().to_config(arguments, class_name, extra)
        return {**config, **{theirs: config[ours] for ours, theirs in _EQUAL}}


def _size(num_layers, num_heads, hidden_dim):
    return dict(
        vocabulary_size=50265,
        num_layers=num_layers,
        num_heads=num_heads,
        hidden_dim=hidden_dim,
        intermediate_dim=4 * hidden_dim,
    )


BART = BartFamily(
    model_type="bart",
    class_name="BartModel",
    prefix="model.",
    fields=FIELDS,
    fixed={**FIXED, "normalize_embedding": True, "static_position_embeddings": False},
    names={
        **plain("token_embedding/embeddings", "shared.weight"),
        **{
            path: stored
            for side in _SIDES
            for path, stored in (
                plain(
                    f"{side}_position_embedding/embeddings",
                    f"{side}.embed_positions.weight",
                )
                | norm(f"{side}_embeddings_norm", f"{side}.layernorm_embedding")
            ).items()
        },
        **LAYERS,
    },
    output_names=OUTPUT_NAMES,
    heads={"Seq2SeqLM": Head("BartForConditionalGeneration")},
    tied={"lm_head.weight": "shared.weight"},
    shared=SHARED,
    # The decoder starts with the end token, from which the text's start is predicted.
    tokenizers={
        ByteBPETokenizer: Layout("cls", "sep", between=("sep", "sep"), second_segment=0)
    },
    decoder_start="end",
    # Section 5, and Table 6 of the released models
    sizes={"bart_base": _size(6, 12, 768), "bart_large": _size(12, 16, 1024)},
    constants=CONSTANTS,
    token_fields={"bos_token_id": "cls"},
    # Versions in older files, and the heads of other tasks
    unused=r"(model\.)?(encoder|decoder)\.version$|classification_head\.|qa_outputs\.",
)


def block(arguments):
    """The function of the layers' names that BART and Marian have in common."""
    attention_dropout = arguments["attention_dropout"]
    return functools.partial(
        TransformerLayer,
        Attention(
            arguments["num_heads"],
            arguments["dropout"] if attention_dropout is None else attention_dropout,
        ),
        FeedForward(
            arguments["intermediate_dim"],
            arguments["activation"],
            dropout=arguments["activation_dropout"],
        ),
        norm=LayerNorm(EPSILON),
        dropout=arguments["dropout"],
    )


@declared(BART)
class BartEncoderDecoder(PresetBackbone, EncoderDecoder):
    """BART: an encoder and a decoder with learned positions, normalized afterwards.

    Args:
        vocabulary_size: Number of token ids V.
        num_layers: Number of layers of the encoder.
        num_heads: Number of attention heads N per layer; must divide `hidden_dim`.
        hidden_dim: Width D.
        intermediate_dim: Width of the feed-forward networks.
        dropout: Fraction of units to drop during training, in [0, 1).
        max_sequence_length: Number of learned positions of either side.
        num_decoder_layers: Number of layers of the decoder. Defaults to `num_layers`.
        activation: Activation of the feed-forward networks, as in `FeedForward`.
        attention_dropout: Fraction of the attention weights to drop. Defaults to
            `dropout`.
        activation_dropout: Fraction of the feed-forward networks' inner units to drop.
        scales_embedding: Whether token embeddings are multiplied by D^1/2.

    Inputs and results are those of `EncoderDecoder`.

    Source: Lewis et al. 2019, section 2.1, https://arxiv.org/abs/1910.13461
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
        num_decoder_layers=None,
        activation="gelu",
        attention_dropout=None,
        activation_dropout=0.0,
        scales_embedding=False,
        dtype=None,
        **kwargs,
    ):
        arguments = own_arguments(locals())
        super().__init__(
            arguments,
            block=block(arguments),
            stack=dict(
                embedding_scale=hidden_dim**0.5 if scales_embedding else 1.0,
                positions=PositionEmbedding(max_sequence_length + OFFSET),
                position_offset=OFFSET,
                embeddings_norm=LayerNorm(EPSILON),
                dropout=dropout,
            ),
            output_bias=True,
            dtype=dtype,
            **kwargs,
        )
