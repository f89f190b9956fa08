"""What the `config.json` of Llama and decoders like it says.

`transformers` 4 and 5 spell rotary positions differently. Both spellings are read, and
both are written.
"""

from tfzoo.checkpoints import fields
from tfzoo.checkpoints.fields import TIED, Field, read_field
from tfzoo.errors import CheckpointError, shown
from tfzoo.families.family import Family
from tfzoo.layers import Rotary

_SCALING, _ROTARY = "rope_scaling", "rope_parameters"  # in transformers 4, and 5
_ORIGINAL = "original_max_position_embeddings"
_FULL, _SLIDING = "full_attention", "sliding_attention"


def _is_base(value):
    return type(value) in (int, float) and 1 < value < 1e30


FIELDS = {
    "vocabulary_size": fields.size("vocab_size"),
    "num_layers": fields.size("num_hidden_layers"),
    "num_heads": fields.size("num_attention_heads"),
    "hidden_dim": fields.size("hidden_size"),
    "intermediate_dim": fields.size("intermediate_size"),
    "max_sequence_length": fields.size("max_position_embeddings"),
    "num_key_value_heads": fields.size("num_key_value_heads", None),
    "head_dim": fields.size("head_dim", None),
    "activation": fields.activation("hidden_act", "silu"),
    "attention_dropout": fields.share("attention_dropout", 0.0),
    "layer_norm_epsilon": fields.epsilon("rms_norm_eps", 1e-6),
    "rope_theta": Field("rope_theta", _is_base, "a number > 1", 10000.0),
    "rope_scaling": Field(_SCALING, lambda _: True, "of `Rotary`", None),
    "ties_output": fields.flag(TIED),
}
ATTENTION_BIAS = fields.flag("attention_bias")
WINDOW = fields.size("sliding_window", 4096)
_USES_WINDOW = fields.flag("use_sliding_window")
_FIRST_WINDOW = fields.token("max_window_layers", 28)


class LlamaFamily(Family):
    """A family with rotary positions and, possibly, a window."""

    def from_config(self, config, path):
        found = super().from_config(_with_rotary(config, path), path)
        heads, shared = found["num_heads"], found["num_key_value_heads"]
        if shared is not None and heads % shared:
            raise CheckpointError(
                "num_key_value_heads must divide num_attention_heads. Received: "
                f"num_attention_heads={heads}, num_key_value_heads={shared}.",
                path=path,
            )
        try:
            Rotary(found["rope_theta"], found["rope_scaling"]).frequencies(
                found["head_dim"] or found["hidden_dim"] // heads
            )
        except (ValueError, TypeError) as e:
            rule = f"{str(e).rstrip('.')}."
            raise CheckpointError(rule, path=path, tensor=_ROTARY) from e
        found |= self.window_of(config, path, found)
        kind = _SLIDING if found.get("window") else _FULL
        if _kind_of_layers(config, path, found["num_layers"]) not in (None, kind):
            raise CheckpointError(
                f"Must be {kind!r} for every layer, given the other fields. Received: "
                f"{shown(config['layer_types'])}.",
                path=path,
                tensor="layer_types",
            )
        return found

    def window_of(self, config, path, found):
        """The argument `window` in a dict; an empty one if there is no window."""
        return {}

    def to_config(self, arguments, class_name=None, extra=None):
        heads, scaling = arguments["num_heads"], arguments["rope_scaling"]
        scaling = {"rope_type": "default"} if scaling is None else dict(scaling)
        implied = {
            "num_key_value_heads": arguments["num_key_value_heads"] or heads,
            "head_dim": arguments["head_dim"] or arguments["hidden_dim"] // heads,
            "rope_scaling": None if scaling["rope_type"] == "default" else scaling,
        }
        rotary = {_ROTARY: {"rope_theta": arguments["rope_theta"], **scaling}}
        return super().to_config(
            {**arguments, **implied}, class_name, {**rotary, **(extra or {})}
        )


class MistralFamily(LlamaFamily):
    def window_of(self, config, path, found):
        is_null = config.get("sliding_window", 0) is None  # absent is 4096
        return {"window": None if is_null else found["window"]}


class QwenFamily(LlamaFamily):
    """The window is for layers from `max_window_layers` on: for all or none here."""

    def window_of(self, config, path, found):
        count = found["num_layers"]
        uses = read_field(config, path, _USES_WINDOW)
        first = read_field(config, path, _FIRST_WINDOW)
        kind = _kind_of_layers(config, path, count)
        if kind is not None:  # takes precedence
            first = 0 if kind == _SLIDING else count
        is_null = config.get("sliding_window", 0) is None
        if not uses or is_null or first >= count:
            return {"window": None}
        if first > 0:
            raise CheckpointError(
                "Must be 0 or at least num_hidden_layers: only a window for all layers "
                f"is supported. Received: {first}, with num_hidden_layers={count}.",
                path=path,
                tensor=_FIRST_WINDOW.name,
            )
        return {"window": found["window"]}

    def to_config(self, arguments, class_name=None, extra=None):
        window = {
            _USES_WINDOW.name: arguments["window"] is not None,
            _FIRST_WINDOW.name: arguments["num_layers"] * (not arguments["window"]),
        }
        return super().to_config(arguments, class_name, {**window, **(extra or {})})


def _with_rotary(config, path):
    """The fields with `rope_theta` and `rope_scaling` where transformers 4 has them."""
    name = _SCALING if config.get(_SCALING) else _ROTARY
    scaling = config.get(name)
    if not isinstance(scaling, dict | None):
        raise CheckpointError(
            f"Must be an object. Received: {shown(scaling)}.", path=path, tensor=name
        )
    scaling = {k: value for k, value in (scaling or {}).items() if value is not None}
    theta = scaling.pop("rope_theta", config.get("rope_theta"))
    kind = scaling.pop("type", "default")
    kind = scaling.pop("rope_type", kind)
    share = scaling.pop("partial_rotary_factor", config.get("partial_rotary_factor"))
    if share not in (None, 1):
        raise CheckpointError(
            f"Only 1.0 is supported. Received: {shown(share)}.",
            path=path,
            tensor="partial_rotary_factor",
        )
    if kind in ("llama3", "yarn"):
        original = config.get(_ORIGINAL) or scaling.get(_ORIGINAL)
        scaling[_ORIGINAL] = original or config.get("max_position_embeddings")
    scaling = {"rope_type": kind, **scaling}
    if scaling == {"rope_type": "default"}:
        scaling = None
    return {**config, "rope_theta": theta, _SCALING: scaling}


def _kind_of_layers(config, path, num_layers):
    """The kind that `layer_types` gives every layer; None without that field."""
    kinds = config.get("layer_types")
    if kinds is None or kinds in ([_FULL] * num_layers, [_SLIDING] * num_layers):
        return kinds and kinds[0]
    raise CheckpointError(
        f"Must have {num_layers} times {_FULL!r}, or {_SLIDING!r}: layers of several "
        f"kinds are not supported. Received: {shown(kinds)}.",
        path=path,
        tensor="layer_types",
    )
