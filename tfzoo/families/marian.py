"""Marian: the encoder-decoders that OPUS-MT publishes for translation.

Sources: Junczys-Dowmunt et al. 2018, https://arxiv.org/abs/1804.00344; Tiedemann and
Thottingal 2020, https://aclanthology.org/2020.eamt-1.61; tensor names: `MarianModel`
and `MarianMTModel` of `transformers`.

Shapes: B batch, S encoder sequence, T decoder sequence, D hidden_dim.
"""

from tfzoo.checkpoints import fields
from tfzoo.checkpoints.names import plain
from tfzoo.families import bart
from tfzoo.families.family import Head, declared
from tfzoo.families.preset_backbone import PresetBackbone
from tfzoo.layers import SinusoidalPositions
from tfzoo.models.arguments import own_arguments
from tfzoo.models.encoder_decoder import EncoderDecoder
from tfzoo.text.layout import Layout
from tfzoo.text.sentencepiece.tokenizer import SentencePieceTokenizer

_SHARES = fields.flag("share_encoder_decoder_embeddings", default=True)
_OF_DECODER = fields.size("decoder_vocab_size", None)
_OF_TARGETS = "decoder.embed_tokens.weight"  # if there is a table for each language


class _Marian(bart.BartFamily):
    """One vocabulary for both languages, or one for each."""

    def from_config(self, config, path):
        found = super().from_config(config, path)
        shares, decoders = (
            fields.read_field(config, path, field) for field in (_SHARES, _OF_DECODER)
        )
        if not shares:
            found["source_vocabulary_size"] = found["vocabulary_size"]
            found["vocabulary_size"] = decoders or found["vocabulary_size"]
        return found

    def to_config(self, arguments, class_name=None, extra=None):
        config = super().to_config(arguments, class_name, extra)
        source, target = (
            arguments[name] for name in ("source_vocabulary_size", "vocabulary_size")
        )
        return config | {
            "vocab_size": source or target,
            _OF_DECODER.name: target,
            _SHARES.name: source is None,
        }

    def names_of(self, backbone):
        if backbone is None or backbone.source_vocabulary_size is None:
            return self.names
        return {
            **self.names,
            **plain("source_embedding/embeddings", "encoder.embed_tokens.weight"),
            **plain("token_embedding/embeddings", _OF_TARGETS),
        }

    def tied_in(self, backbone):
        if backbone.source_vocabulary_size is None:
            return self.tied
        return dict.fromkeys(self.tied, _OF_TARGETS)

    def shared_in(self, backbone):
        return self.shared if backbone.source_vocabulary_size is None else {}


MARIAN = _Marian(
    model_type="marian",
    class_name="MarianModel",
    prefix="model.",
    fields=bart.FIELDS,
    fixed={
        **bart.FIXED,
        "normalize_embedding": False,
        "static_position_embeddings": True,
    },
    names={**plain("token_embedding/embeddings", "shared.weight"), **bart.LAYERS},
    output_names=bart.OUTPUT_NAMES,
    heads={"Seq2SeqLM": Head("MarianMTModel")},
    tied={"lm_head.weight": "shared.weight"},
    shared=bart.SHARED,
    tokenizers={SentencePieceTokenizer: Layout(last="end", second_segment=0)},
    decoder_start="pad",
    constants=bart.CONSTANTS,
    # From the `config.json` of the models of OPUS-MT
    sizes={
        "marian_base": dict(
            vocabulary_size=58101,
            num_layers=6,
            num_heads=8,
            hidden_dim=512,
            intermediate_dim=2048,
            max_sequence_length=512,
            activation="silu",
            scales_embedding=True,
        )
    },
    # The sinusoids of positions
    unused=r"(model\.)?(encoder|decoder)\.embed_positions\.weight$",
)


@declared(MARIAN)
class MarianEncoderDecoder(PresetBackbone, EncoderDecoder):
    """Marian: an encoder and a decoder with sinusoidal positions.

    Arguments are those of `BartEncoderDecoder`, and:

    Args:
        source_vocabulary_size: Number of token ids of the encoder, which then has
            token embeddings of its own; None for those of the decoder.

    Inputs and results are those of `EncoderDecoder`.

    Source: Junczys-Dowmunt et al. 2018, https://arxiv.org/abs/1804.00344
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
        activation="silu",
        attention_dropout=None,
        activation_dropout=0.0,
        scales_embedding=True,
        dtype=None,
        **kwargs,
    ):
        arguments = own_arguments(locals())
        super().__init__(
            arguments,
            block=bart.block(arguments),
            stack=dict(
                embedding_scale=hidden_dim**0.5 if scales_embedding else 1.0,
                positions=SinusoidalPositions(),
                dropout=dropout,
            ),
            output_bias=True,
            dtype=dtype,
            **kwargs,
        )
