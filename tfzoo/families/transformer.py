"""The Transformer of 2017, an encoder-decoder for training from scratch.

Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762. `transformers` has no
such model; the directory has its format, and the tensor names are this package's.

Shapes: B batch, S encoder sequence, T decoder sequence, D hidden_dim.
"""

import functools

from tfzoo.checkpoints import fields
from tfzoo.checkpoints.fields import Field
from tfzoo.checkpoints.names import linear, norm, plain
from tfzoo.families.family import Family, Head, declared
from tfzoo.families.preset_backbone import PresetBackbone
from tfzoo.layers import (
    Attention,
    FeedForward,
    LayerNorm,
    PositionEmbedding,
    SinusoidalPositions,
    TransformerLayer,
)
from tfzoo.layers.initializers import attentive
from tfzoo.models.arguments import own_arguments
from tfzoo.models.encoder_decoder import EncoderDecoder
from tfzoo.text.byte_bpe.tokenizer import ByteBPETokenizer
from tfzoo.text.layout import Layout
from tfzoo.text.sentencepiece.tokenizer import SentencePieceTokenizer

POSITIONS = ("sinusoidal", "learned")


def _layers(side, letter):
    ours, theirs = f"{side}_layer_{{{letter}}}", f"{side}.layers.{{{letter}}}"
    sublayers = ["self_attention", "cross_attention"][: 1 + (side == "decoder")]
    names = {
        **{
            path: stored
            for sublayer in sublayers
            for part in ("query", "key", "value", "output")
            for path, stored in linear(
                f"{ours}/{sublayer}/{part}", f"{theirs}.{sublayer}.{part}"
            ).items()
        },
        **linear(
            f"{ours}/feed_forward/intermediate", f"{theirs}.feed_forward.intermediate"
        ),
        **linear(f"{ours}/feed_forward/output", f"{theirs}.feed_forward.output"),
    }
    for sublayer in (*sublayers, "feed_forward"):
        names |= norm(f"{ours}/{sublayer}_norm", f"{theirs}.{sublayer}_norm")
    return names


def _size(num_layers, num_heads, hidden_dim, vocabulary_size=8192, dropout=0.1):
    return dict(
        vocabulary_size=vocabulary_size,
        num_layers=num_layers,
        num_heads=num_heads,
        hidden_dim=hidden_dim,
        intermediate_dim=4 * hidden_dim,
        dropout=dropout,
    )


class _Transformer(Family):
    """Other than in published formats, `dropout` does not set the attention's."""

    def from_config(self, config, path):
        found = super().from_config(config, path)
        return {"attention_dropout": found["dropout"], **found}  # if they are equal


TRANSFORMER = _Transformer(
    model_type="tfzoo_transformer",
    class_name="TransformerEncoderDecoder",
    prefix="model.",
    fields={
        "vocabulary_size": fields.size("vocab_size"),
        "source_vocabulary_size": fields.size("source_vocab_size", None),
        "num_layers": fields.size("encoder_layers"),
        "num_decoder_layers": fields.size("decoder_layers"),
        "num_heads": fields.size("num_attention_heads"),
        "hidden_dim": fields.size("hidden_size"),
        "intermediate_dim": fields.size("intermediate_size"),
        "dropout": fields.share("dropout"),
        "attention_dropout": fields.share("attention_dropout"),
        "activation_dropout": fields.share("activation_dropout"),
        "max_sequence_length": fields.size("max_position_embeddings"),
        "positions": Field(
            "position_embedding_type",
            lambda value: value in POSITIONS,
            f"one of {', '.join(POSITIONS)}",
        ),
        "norm_first": fields.flag("normalize_before"),
        "activation": fields.activation("hidden_act"),
        "layer_norm_epsilon": fields.epsilon("layer_norm_eps"),
        "ties_output": fields.flag("tie_word_embeddings"),
        "output_bias": fields.flag("output_bias"),
    },
    fixed={"is_encoder_decoder": True},
    names={
        **plain("token_embedding/embeddings", "token_embedding.weight"),
        **plain("source_embedding/embeddings", "source_embedding.weight"),
        **{
            path: stored
            for side in ("encoder", "decoder")
            for path, stored in (
                plain(
                    f"{side}_position_embedding/embeddings",
                    f"{side}.position_embedding.weight",
                )
                | norm(f"{side}_final_norm", f"{side}.final_norm")
            ).items()
        },
        **_layers("encoder", "i"),
        **_layers("decoder", "j"),
    },
    output_names={
        **plain("output_embedding/embeddings", "output_embedding.weight"),
        **plain("next_token_head/bias", "output_bias"),
    },
    heads={"Seq2SeqLM": Head("TransformerSeq2SeqLM")},
    tied={},
    tokenizers=dict.fromkeys(
        (ByteBPETokenizer, SentencePieceTokenizer),
        Layout(last="end", between=("end",), second_segment=0),
    ),
    decoder_start="start",
    sizes={
        # tfzoo's own, for training on a CPU; the tokenizer sets the vocabulary size
        "transformer_tiny": _size(2, 4, 128),
        "transformer_mini": _size(4, 4, 256),
        "transformer_small": _size(6, 6, 384),
        # Table 3, with the vocabulary for English and German
        "transformer_base": _size(6, 8, 512, 37000),
        "transformer_big": _size(6, 16, 1024, 37000, dropout=0.3),
    },
)


@declared(TRANSFORMER)
class TransformerEncoderDecoder(PresetBackbone, EncoderDecoder):
    """The Transformer: an encoder and a decoder, for translation and the like.

    Args:
        vocabulary_size: Number of token ids V.
        num_layers: Number of layers of the encoder.
        num_heads: Number of attention heads N per layer; must divide `hidden_dim`.
        hidden_dim: Width D.
        intermediate_dim: Width of the feed-forward networks.
        dropout: Fraction of each sublayer's output, and of the embeddings, to drop
            during training, in [0, 1).
        max_sequence_length: The most tokens of either side.
        source_vocabulary_size: Number of token ids of the encoder, which then has
            token embeddings of its own; None for those of the decoder.
        num_decoder_layers: Number of layers of the decoder. Defaults to `num_layers`.
        positions: `"sinusoidal"` or `"learned"`.
        norm_first: Normalize the input of each sublayer, and the result of each side,
            instead of the sum after each sublayer (Xiong et al. 2020,
            https://arxiv.org/abs/2002.04745).
        activation: Activation of the feed-forward networks, as in `FeedForward`.
        layer_norm_epsilon: Added to the variance.
        attention_dropout: Fraction of the attention weights to drop.
        activation_dropout: Fraction of the feed-forward networks' inner units to drop.
        ties_output: Whether the output layer shares the decoder's token embeddings.
        output_bias: Whether the output layer has a bias.

    Queries and keys are initialized by Glorot & Bengio 2010, other weights as in BERT.
    Inputs and results are those of `EncoderDecoder`.

    Source: Vaswani et al. 2017, section 3, https://arxiv.org/abs/1706.03762
    """

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
        source_vocabulary_size=None,
        num_decoder_layers=None,
        positions="sinusoidal",
        norm_first=False,
        activation="relu",
        layer_norm_epsilon=1e-5,
        attention_dropout=0.0,
        activation_dropout=0.0,
        ties_output=True,
        output_bias=False,
        dtype=None,
        **kwargs,
    ):
        arguments = own_arguments(locals())
        if positions not in POSITIONS:
            raise ValueError(
                f"positions must be one of {POSITIONS}. Received: {positions!r}"
            )
        norm_layer = LayerNorm(layer_norm_epsilon)
        super().__init__(
            arguments,
            block=functools.partial(
                TransformerLayer,
                Attention(num_heads, attention_dropout),
                FeedForward(intermediate_dim, activation, dropout=activation_dropout),
                norm=norm_layer,
                norm_first=norm_first,
                dropout=dropout,
            ),
            stack=dict(
                embedding_scale=hidden_dim**0.5,
                positions=SinusoidalPositions()
                if positions == "sinusoidal"
                else PositionEmbedding(max_sequence_length),
                final_norm=norm_layer if norm_first else None,
                dropout=dropout,
            ),
            ties_output=ties_output,
            output_bias=output_bias,
            dtype=dtype,
            **kwargs,
        )
        attentive(self.variables)
