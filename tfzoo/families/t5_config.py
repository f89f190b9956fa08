"""What the files of T5 say: `config.json`, and the names of tensors."""

import numpy as np

from tfzoo.checkpoints import fields
from tfzoo.checkpoints.fields import ACTIVATIONS, TIED, Field
from tfzoo.checkpoints.names import Stored, plain
from tfzoo.errors import CheckpointError, about
from tfzoo.families.family import Family
from tfzoo.layers import RelativePositionBias

_PARTS = {"query": "q", "key": "k", "value": "v", "output": "o"}
_GATED = "gated-"
OUTPUT, TABLE = "lm_head.weight", "shared.weight"
_NETWORK = Field(
    "feed_forward_proj",
    lambda value: isinstance(value, str) and value.removeprefix(_GATED) in ACTIVATIONS,
    f"an activation ({', '.join(ACTIVATIONS)}), or 'gated-' and one",
    "relu",
)
_TIES = fields.flag(TIED, default=True)
_SCALES = fields.flag("scale_decoder_outputs", default=None)  # of transformers 5


FIELDS = {
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
}


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


def names_of_side(side, letter, *, gated):
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


class T5Family(Family):
    """The options of T5 that its files state in other terms.

    Class attributes:
        sides: Dict of side -> the placeholder in its layers' names.
    """

    sides = {"encoder": "i"}

    def from_config(self, config, path):
        network = fields.read_field(config, path, _NETWORK)
        activation = network.removeprefix(_GATED)
        if network == "gated-gelu":  # stands for the approximation in all T5s
            activation = "gelu_new"
        found = super().from_config({**config, _NETWORK.name: activation}, path)
        with about(path, CheckpointError):
            for side in self.sides:
                RelativePositionBias(
                    found["num_heads"],
                    found["num_buckets"],
                    found["max_distance"],
                    bidirectional=side == "encoder",
                )
        return found | {"gated": network.startswith(_GATED)}

    def to_config(self, arguments, class_name=None, extra=None):
        config = super().to_config(arguments, class_name, extra)
        network = config[_NETWORK.name]
        if arguments["gated"]:
            network = "gelu" if network == "gelu_new" else network
            network = f"{_GATED}{network}"
        return config | {_NETWORK.name: network}

    def names_of(self, backbone):
        gated = backbone is not None and backbone.gated
        names = plain("token_embedding/embeddings", TABLE)
        for side, letter in self.sides.items():
            names |= names_of_side(side, letter, gated=gated)
        return names


class T5WithOutput(T5Family):
    """The encoder, the decoder and the output layer."""

    sides = {"encoder": "i", "decoder": "j"}

    def from_config(self, config, path):
        ties = fields.read_field(config, path, _TIES)
        scales = fields.read_field(config, path, _SCALES)
        return super().from_config(config, path) | {
            "ties_output": ties,
            "scales_output": ties if scales is None else scales,
        }

    def from_checkpoint(self, found):
        arguments, tensors = super().from_checkpoint(found), found.tensors
        if OUTPUT in tensors.names:
            # Not by `tie_word_embeddings`: `transformers` 5 writes true for every T5.
            arguments["ties_output"] = TABLE in tensors.names and np.array_equal(
                tensors.read(OUTPUT), tensors.read(TABLE)
            )
        return arguments

    def to_config(self, arguments, class_name=None, extra=None):
        scales, ties = arguments["scales_output"], arguments["ties_output"]
        return super().to_config(arguments, class_name, extra) | {
            _TIES.name: ties,
            _SCALES.name: ties if scales is None else scales,
        }
