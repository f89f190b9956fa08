"""T5 1.0, 1.1 and Flan-T5: an encoder-decoder that casts every task as text to text.

Biases by relative position, shared by the layers of a side; RMSNorm before each
sublayer; scores that are not scaled; no biases elsewhere.

Sources: Raffel et al. 2020, https://arxiv.org/abs/1910.10683; version 1.1: Shazeer
2020, https://arxiv.org/abs/2002.05202, and google-research/text-to-text-transfer-
transformer `released_checkpoints.md`; Chung et al. 2022,
https://arxiv.org/abs/2210.11416 (Flan); tensor names: `T5Model` and
`T5ForConditionalGeneration` of `transformers`.

Shapes: B batch, S encoder sequence, T decoder sequence, D hidden_dim.
"""

import functools

from tfzoo.checkpoints.names import plain
from tfzoo.families.family import Head, declared
from tfzoo.families.preset_backbone import PresetBackbone
from tfzoo.families.t5_config import (
    FIELDS,
    OUTPUT,
    TABLE,
    T5WithOutput,
    names_of_side,
)
from tfzoo.layers import (
    Attention,
    FeedForward,
    GatedFeedForward,
    RMSNorm,
    TransformerLayer,
)
from tfzoo.models.arguments import own_arguments
from tfzoo.models.encoder_decoder import EncoderDecoder
from tfzoo.text.layout import Layout
from tfzoo.text.sentencepiece.tokenizer import SentencePieceTokenizer


def _size(num_layers, num_heads, hidden_dim, intermediate_dim, head_dim=64, **others):
    return dict(
        vocabulary_size=32128,
        num_layers=num_layers,
        num_heads=num_heads,
        hidden_dim=hidden_dim,
        intermediate_dim=intermediate_dim,
        head_dim=head_dim,
        **others,
    )


def _newer(*sizes):
    """A size of version 1.1 and of Flan-T5."""
    others = dict(activation="gelu_tanh", gated=True, ties_output=False)
    return _size(*sizes, **others)


TOKENIZERS = {
    SentencePieceTokenizer: Layout(last="end", between=("end",), second_segment=0)
}

T5 = T5WithOutput(
    model_type="t5",
    class_name="T5Model",
    prefix="",
    fields=FIELDS,
    fixed={"is_encoder_decoder": True},
    names={
        **plain("token_embedding/embeddings", TABLE),
        **names_of_side("encoder", "i", gated=False),
        **names_of_side("decoder", "j", gated=False),
    },
    output_names=plain("output_embedding/embeddings", OUTPUT),
    heads={"Seq2SeqLM": Head("T5ForConditionalGeneration")},
    tied={OUTPUT: TABLE},
    shared={f"{side}.embed_tokens.weight": TABLE for side in ("encoder", "decoder")},
    tokenizers=TOKENIZERS,
    decoder_start="pad",
    sizes={
        # Section 3.1.2 and Table 14 of the released models
        "t5_small": _size(6, 8, 512, 2048),
        "t5_base": _size(12, 12, 768, 3072),
        "t5_large": _size(24, 16, 1024, 4096),
        # From the `config.json` of the published models
        "t5_v1.1_small": _newer(8, 6, 512, 1024),
        "t5_v1.1_base": _newer(12, 12, 768, 2048),
        "t5_v1.1_large": _newer(24, 16, 1024, 2816),
    },
    # A bias of cross-attention that no version reads, and the heads of other tasks
    unused=r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\."
    r"|classification_head\.|qa_outputs\.|classifier\.",
)


def parts(arguments):
    """The arguments `block` and `stack` of an `EncoderDecoder` or a `StackEncoder`."""
    own = arguments.__getitem__
    norm, dropout = RMSNorm(own("layer_norm_epsilon")), own("dropout")
    network = GatedFeedForward if own("gated") else FeedForward
    block = functools.partial(
        TransformerLayer,
        Attention(
            own("num_heads"),
            dropout,
            head_dim=own("head_dim"),
            use_bias=False,
            scale=1.0,
        ),
        network(
            own("intermediate_dim"),
            own("activation"),
            use_bias=False,
            dropout=dropout,
        ),
        norm=norm,
        norm_first=True,
        dropout=dropout,
    )
    bias = {name: own(name) for name in ("num_heads", "num_buckets", "max_distance")}
    stack = dict(
        relative_bias=bias, final_norm=norm, dropout=dropout, final_dropout=dropout
    )
    return {"block": block, "stack": stack}


@declared(T5)
class T5EncoderDecoder(PresetBackbone, EncoderDecoder):
    """T5: an encoder and a decoder with biases by relative position.

    Args:
        vocabulary_size: Number of token ids V.
        num_layers: Number of layers of the encoder.
        num_heads: Number of attention heads N per layer.
        hidden_dim: Width D.
        intermediate_dim: Width of the feed-forward networks.
        dropout: Fraction of units to drop during training, in [0, 1).
        max_sequence_length: The most tokens that tasks give either side. The network
            itself has no limit.
        num_decoder_layers: Number of layers of the decoder. Defaults to `num_layers`.
        head_dim: Size of a head.
        num_buckets: As in `RelativePositionBias`.
        max_distance: As in `RelativePositionBias`.
        activation: Activation of the feed-forward networks, as in `FeedForward`.
        gated: Whether these are `GatedFeedForward`s (version 1.1).
        layer_norm_epsilon: Added to the mean square.
        ties_output: Whether the output layer shares the token embeddings (version 1.0).
        scales_output: Whether the output layer's input is multiplied by D^-1/2.
            Defaults to `ties_output`.

    Inputs and results are those of `EncoderDecoder`.

    Source: Raffel et al. 2020, section 2.1, https://arxiv.org/abs/1910.10683
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
        num_decoder_layers=None,
        head_dim=64,
        num_buckets=32,
        max_distance=128,
        activation="relu",
        gated=False,
        layer_norm_epsilon=1e-6,
        ties_output=True,
        scales_output=None,
        dtype=None,
        **kwargs,
    ):
        arguments = own_arguments(locals())
        scales = ties_output if scales_output is None else scales_output
        super().__init__(
            arguments,
            **parts(arguments),
            ties_output=ties_output,
            output_scale=hidden_dim**-0.5 if scales else 1.0,
            dtype=dtype,
            **kwargs,
        )
