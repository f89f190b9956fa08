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

import numpy as np

from tfzoo.checkpoints import fields
from tfzoo.checkpoints.fields import ACTIVATIONS, TIED, Field
from tfzoo.checkpoints.names import Stored, plain
from tfzoo.errors import CheckpointError, about
from tfzoo.families.family import Family, Head, declared
from tfzoo.families.preset_backbone import PresetBackbone
from tfzoo.layers import (
    Attention,
    FeedForward,
    GatedFeedForward,
    RelativePositionBias,
    RMSNorm,
    TransformerLayer,
)
from tfzoo.models.arguments import own_arguments
from tfzoo.models.encoder_decoder import EncoderDecoder
from tfzoo.text.layout import Layout
from tfzoo.text.sentencepiece.tokenizer import SentencePieceTokenizer

_PARTS = {"query": "q", "key": "k", "value": "v", "output": "o"}
_GATED = "gated-"
_OUTPUT, _TABLE = "lm_head.weight", "shared.weight"
_NETWORK = Field(
    "feed_forward_proj",
    lambda value: isinstance(value, str) and value.removeprefix(_GATED) in ACTIVATIONS,
    f"an activation ({', '.join(ACTIVATIONS)}), or 'gated-' and one",
    "relu",
)
_TIES = fields.flag(TIED, default=True)
_SCALES = fields.flag("scale_decoder_outputs", default=None)  # of transformers 5


def _kernel(path, name):
    return {f"{path}/kernel": Stored(f"{name}.weight", transposed=True)}


def _norm(path, name):
    return plain(f"{path}/gamma", f"{name}.weight")


def _attention(ours, theirs):
    return {
        path: stored
        for part, name in _PARTS.items()
        for path, stored in _kernel(f"{ours}/{part}", f"{theirs}.{name}").items()
    }


def _side(side, letter, *, gated):
    """The names of the weights of a side."""
    ours, theirs = f"{side}_layer_{{{letter}}}", f"{side}.block.{{{letter}}}.layer"
    last = 2 if side == "decoder" else 1
    network = f"{theirs}.{last}.DenseReluDense"
    names = {
        **plain(
            f"{side}_relative_bias/embeddings",
            f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        ),
        **_norm(f"{side}_final_norm", f"{side}.final_layer_norm"),
        **_attention(f"{ours}/self_attention", f"{theirs}.0.SelfAttention"),
        **_norm(f"{ours}/self_attention_norm", f"{theirs}.0.layer_norm"),
        **_norm(f"{ours}/feed_forward_norm", f"{theirs}.{last}.layer_norm"),
        **_kernel(f"{ours}/feed_forward/output", f"{network}.wo"),
    }
    if gated:
        names |= _kernel(f"{ours}/feed_forward/gate", f"{network}.wi_0")
        names |= _kernel(f"{ours}/feed_forward/intermediate", f"{network}.wi_1")
    else:
        names |= _kernel(f"{ours}/feed_forward/intermediate", f"{network}.wi")
    if side == "decoder":
        names |= _attention(f"{ours}/cross_attention", f"{theirs}.1.EncDecAttention")
        names |= _norm(f"{ours}/cross_attention_norm", f"{theirs}.1.layer_norm")
    return names


def _names(*, gated):
    return {
        **plain("token_embedding/embeddings", _TABLE),
        **_side("encoder", "i", gated=gated),
        **_side("decoder", "j", gated=gated),
    }


class _T5(Family):
    """The options of T5 that its files state in other terms."""

    def from_config(self, config, path):
        network = fields.read_field(config, path, _NETWORK)
        gated = network.startswith(_GATED)
        activation = network.removeprefix(_GATED)
        if network == "gated-gelu":  # stands for the approximation in all T5s
            activation = "gelu_new"
        found = super().from_config({**config, _NETWORK.name: activation}, path)
        with about(path, CheckpointError):
            for bidirectional in (True, False):
                sizes = (found[name] for name in ("num_buckets", "max_distance"))
                RelativePositionBias(1, *sizes, bidirectional=bidirectional)
        ties = fields.read_field(config, path, _TIES)
        scales = fields.read_field(config, path, _SCALES)
        return found | {
            "gated": gated,
            "ties_output": ties,
            "scales_output": ties if scales is None else scales,
        }

    def from_checkpoint(self, found):
        arguments, tensors = super().from_checkpoint(found), found.tensors
        if _OUTPUT in tensors.names:
            # Not by `tie_word_embeddings`: `transformers` 5 writes true for every T5.
            arguments["ties_output"] = _TABLE in tensors.names and np.array_equal(
                tensors.read(_OUTPUT), tensors.read(_TABLE)
            )
        return arguments

    def to_config(self, arguments, class_name=None, extra=None):
        config = super().to_config(arguments, class_name, extra)
        scales, ties = arguments["scales_output"], arguments["ties_output"]
        network = config[_NETWORK.name]
        if arguments["gated"]:
            network = "gelu" if network == "gelu_new" else network
            network = f"{_GATED}{network}"
        return config | {
            _NETWORK.name: network,
            _TIES.name: ties,
            _SCALES.name: ties if scales is None else scales,
        }

    def names_of(self, backbone):
        return _names(gated=backbone is not None and backbone.gated)

    def copies(self, backbone, present, *, ties_output=True):
        return super().copies(
            backbone, present, ties_output=ties_output and backbone.ties_output
        )


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


T5 = _T5(
    model_type="t5",
    class_name="T5Model",
    prefix="",
    fields={
        "vocabulary_size": fields.size("vocab_size"),
        "num_layers": fields.size("num_layers"),
        "num_decoder_layers": fields.size("num_decoder_layers", None),
        "num_heads": fields.size("num_heads"),
        "head_dim": fields.size("d_kv", 64),
        "hidden_dim": fields.size("d_model"),
        "intermediate_dim": fields.size("d_ff"),
        "dropout": fields.share("dropout_rate", 0.1),
        "max_sequence_length": fields.size("n_positions", 512),
        "num_buckets": fields.size("relative_attention_num_buckets", 32),
        "max_distance": fields.size("relative_attention_max_distance", 128),
        "activation": fields.activation(_NETWORK.name, "relu"),
        "layer_norm_epsilon": fields.epsilon("layer_norm_epsilon", 1e-6),
    },
    fixed={"is_encoder_decoder": True},
    names=_names(gated=False),
    output_names=plain("output_embedding/embeddings", _OUTPUT),
    heads={"Seq2SeqLM": Head("T5ForConditionalGeneration")},
    tied={_OUTPUT: _TABLE},
    shared={f"{side}.embed_tokens.weight": _TABLE for side in ("encoder", "decoder")},
    tokenizers={
        SentencePieceTokenizer: Layout(last="end", between=("end",), second_segment=0)
    },
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
        norm = RMSNorm(layer_norm_epsilon)
        network = GatedFeedForward if gated else FeedForward
        scales = ties_output if scales_output is None else scales_output
        super().__init__(
            arguments,
            block=functools.partial(
                TransformerLayer,
                Attention(
                    num_heads, dropout, head_dim=head_dim, use_bias=False, scale=1.0
                ),
                network(intermediate_dim, activation, use_bias=False, dropout=dropout),
                norm=norm,
                norm_first=True,
                dropout=dropout,
            ),
            stack=dict(
                relative_bias=dict(
                    num_heads=num_heads,
                    num_buckets=num_buckets,
                    max_distance=max_distance,
                ),
                final_norm=norm,
                dropout=dropout,
                final_dropout=dropout,
            ),
            ties_output=ties_output,
            output_scale=hidden_dim**-0.5 if scales else 1.0,
            dtype=dtype,
            **kwargs,
        )
