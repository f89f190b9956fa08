"""The `adapter_config.json` of PEFT: what may stand in it, and what is written.

Shapes: R rank.

Source: https://huggingface.co/docs/peft/package_reference/lora
"""

import math
import re

from tfzoo.errors import CheckpointError, shown

CONFIG = "adapter_config.json"
_MOST = 1e30
# Fields that do not change what an adapter computes
_NEUTRAL = {
    *("base_model_name_or_path", "revision", "task_type", "inference_mode"),
    *("peft_type", "peft_version", "auto_mapping", "runtime_config", "megatron_core"),
    *("target_modules", "exclude_modules", "modules_to_save", "fan_in_fan_out"),
    *("layers_to_transform", "layers_pattern", "eva_config", "qalora_group_size"),
    *("r", "lora_alpha", "lora_dropout", "rank_pattern", "alpha_pattern"),
    *("use_rslora", "init_lora_weights"),
}
# Others change the weights of the model itself
_INITIALIZERS = (True, False, None, "gaussian", "orthogonal", "eva")


class PeftConfig:
    """The checked fields of an `adapter_config.json`.

    Args:
        fields: Its content.
        path: The file, for errors.

    Attributes:
        is_stabilized: Whether alpha is divided by the root of R (Kalajdzievski 2023,
            https://arxiv.org/abs/2312.03732) instead of R.

    Raises:
        CheckpointError: it is not LoRA, or has an unsupported option.
    """

    def __init__(self, fields, path):
        self._fields, self._path = fields, path
        if fields.get("peft_type") != "LORA":
            self._refuse("peft_type", "Only 'LORA' is supported.")
        if fields.get("init_lora_weights") not in _INITIALIZERS:
            self._refuse(
                "init_lora_weights",
                f"Only {', '.join(map(str, _INITIALIZERS))} are supported.",
                fix="Convert the adapter with PEFT: "
                "save_pretrained(path_initial_model_for_weight_conversion=...).",
            )
        for name in sorted(fields.keys() - _NEUTRAL):
            if fields[name] and fields[name] != "none":  # the default of "bias"
                self._refuse(name, "This option of PEFT is not supported.")
        self.is_stabilized = fields.get("use_rslora") or False
        if not isinstance(self.is_stabilized, bool):
            self._refuse("use_rslora", "Must be true or false.")
        for name in ("rank_pattern", "alpha_pattern"):
            pattern = fields.get(name) or {}
            if not isinstance(pattern, dict) or not all(
                re.fullmatch(r"[\w.]+", key) for key in pattern
            ):
                self._refuse(name, "Must map names of modules, without wildcards.")

    def number(self, name, default):
        """A field that is a finite number."""
        return self._number(name, self._fields.get(name, default))

    def rank(self, module):
        """The rank R of a module."""
        rank = self._of_module("r", "rank_pattern", module)
        if type(rank) is not int or rank < 1:
            self._refuse("r", "A rank must be an integer >= 1.", rank)
        return rank

    def alpha(self, module):
        """The factor alpha of a module."""
        alpha = self._of_module("lora_alpha", "alpha_pattern", module)
        if not self._number("lora_alpha", alpha):
            self._refuse("lora_alpha", "Must not be 0.", alpha)
        return alpha

    def _of_module(self, name, pattern, module):
        for end, value in (self._fields.get(pattern) or {}).items():
            if f".{module}".endswith(f".{end}"):
                return value
        return self._fields.get(name, 8)  # PEFT's default of both

    def _number(self, name, value):
        if type(value) not in (int, float) or not abs(value) < _MOST:
            self._refuse(name, "Must be a finite number.", value)
        return value

    def _refuse(self, name, rule, value=..., fix=None):
        value = self._fields.get(name) if value is ... else value
        raise CheckpointError(
            f"{rule} Received: {shown(value)}.", path=self._path, tensor=name, fix=fix
        )


def sizes_of(modules, known):
    """The fields with the modules, their ranks and their factors alpha.

    Args:
        modules: Dict of module -> `ModuleAdapter`.
        known: Names of all modules of the model.
    """
    numbers = {
        m: (len(a.down), _whole(a.scale * len(a.down))) for m, a in modules.items()
    }
    usual = min(numbers.values())
    names = _short(numbers, known)
    others = {names[m]: number for m, number in numbers.items() if number != usual}
    return {
        "r": usual[0],
        "lora_alpha": usual[1],
        "target_modules": sorted({*names.values()}),
        "rank_pattern": {name: number[0] for name, number in others.items()},
        "alpha_pattern": {name: number[1] for name, number in others.items()},
    }


def _whole(number):
    """An int if the number, up to the rounding of its division by the rank, is one."""
    return round(number) if math.isclose(number, round(number)) else number


def _short(numbers, known):
    """Dict of module -> the end of its name behind the number of the layer.

    PEFT matches modules by the ends of their names. The whole name stands where such
    an end would also match a module without an adapter, or one with other numbers.
    """
    ends = {module: re.sub(r".*\.\d+\.", "", module) for module in numbers}
    names = {}
    for module, end in ends.items():
        matched = {n for n in known if f".{n}".endswith(f".{end}")}
        same = {numbers.get(n) for n in matched} == {numbers[module]}
        names[module] = end if same else module
    return names
