"""Adapters in the format of PEFT: `adapter_config.json`, `adapter_model.safetensors`.

Tensors are named after the module of `transformers` that they adapt, behind
`base_model.model.`: `MODULE.lora_A.weight` and `MODULE.lora_B.weight`. Modules that
were trained as a whole have their own names.

Shapes: I inputs, U outputs, R rank.

Source: https://huggingface.co/docs/peft/developer_guides/checkpoint
"""

import json
import math
import os
from typing import NamedTuple

import numpy as np

from tfzoo.checkpoints.adapter_parts import ModuleAdapter
from tfzoo.checkpoints.peft_config import CONFIG, PeftConfig, sizes_of
from tfzoo.checkpoints.references import local_adapter
from tfzoo.checkpoints.renamed import Renamed, Source
from tfzoo.checkpoints.safetensors_files import SafetensorsFile
from tfzoo.checkpoints.safetensors_writing import write_file
from tfzoo.checkpoints.weights import check_floating, read_finite
from tfzoo.errors import CheckpointError
from tfzoo.files import read_json, written_beside

WEIGHTS, PICKLE = "adapter_model.safetensors", "adapter_model.bin"
_PREFIX = "base_model.model."
_PARTS = (".lora_A.weight", ".lora_B.weight")


class AdapterFiles:
    """An adapter on disk or on the Hub.

    Args:
        directory: The directory, or `hf://ORG/NAME[@REVISION]`.

    Attributes:
        path: The file with the tensors, for errors.
        dropout: Dropout before A in training.
        modules: Tuple of the names of the adapted modules.
        whole: `Tensors` of the modules that were trained as a whole.

    Raises:
        CheckpointError: it is not LoRA, or has an unsupported option.
    """

    def __init__(self, directory):
        directory = local_adapter(directory, (CONFIG, WEIGHTS))
        if not os.path.isdir(directory):
            rule = "The directory of the adapter does not exist."
            raise CheckpointError(rule, path=directory)
        config_path = directory / CONFIG
        self._config = PeftConfig(read_json(config_path, CheckpointError), config_path)
        self.dropout = self._config.number("lora_dropout", 0.0)
        if not os.path.exists(directory / WEIGHTS) and os.path.exists(
            directory / PICKLE
        ):
            raise CheckpointError(
                "Pickle files are not supported, because opening one can run code in "
                "it.",
                path=directory / PICKLE,
                fix="Save the adapter again with PEFT, which writes "
                f"{WEIGHTS} by default.",
            )
        file = SafetensorsFile(directory / WEIGHTS)
        self.path = file.path
        for name in file.names:
            if not name.startswith(_PREFIX):
                raise CheckpointError(
                    f"The name must begin with {_PREFIX!r}.",
                    path=file.path,
                    tensor=name,
                )
        names = {name.removeprefix(_PREFIX): name for name in file.names}
        self._tensors = Renamed(
            file, [(n, Source(there)) for n, there in names.items()]
        )
        lora = {name for name in names if ".lora_" in name}
        self.modules = self._modules(lora)
        whole = {name: Source(name) for name in names.keys() - lora}
        self.whole = Renamed(self._tensors, whole.items())

    def _modules(self, names):
        modules = {}
        for name in sorted(names):
            module = name
            for part in _PARTS:
                module = module.removesuffix(part)
            if module == name:
                raise CheckpointError(
                    "Must be lora_A.weight or lora_B.weight of a module: no embedding, "
                    "no bias and no other variant of LoRA is supported.",
                    path=self.path,
                    tensor=_PREFIX + name,
                )
            modules[module] = None
        if not modules:
            raise CheckpointError("The file must have an adapter.", path=self.path)
        for module in modules:
            for part in _PARTS:
                if module + part not in names:
                    raise CheckpointError(
                        "The file lacks this tensor of an adapter.",
                        path=self.path,
                        tensor=_PREFIX + module + part,
                    )
        return (*modules,)

    def name_of(self, module):
        """Name of the first tensor of a module in the file, for errors."""
        return _PREFIX + module + _PARTS[0]

    def read(self, module, inputs, outputs):
        """Reads the `ModuleAdapter` of one of `modules`.

        Args:
            module: Its name.
            inputs: I of the module in the model.
            outputs: U of the module in the model.

        Raises:
            CheckpointError: the shapes do not fit these or the rank in the config.
        """
        rank, alpha = self._config.rank(module), self._config.alpha(module)
        arrays = []
        shapes = (rank, inputs), (outputs, rank)
        for part, shape in zip(_PARTS, shapes, strict=True):
            name = module + part
            tensors, where = self._tensors, _PREFIX + name
            if tensors.shape(name) != shape:
                raise CheckpointError(
                    f"The shape must be {shape}: the rank in {CONFIG} is {rank}, and "
                    f"the module has {inputs} inputs and {outputs} outputs. Received: "
                    f"{tensors.shape(name)}.",
                    path=self.path,
                    tensor=where,
                )
            check_floating(tensors, name, shown_as=where)
            arrays.append(read_finite(tensors, name).astype("float32"))
        divisor = math.sqrt(rank) if self._config.is_stabilized else rank
        return ModuleAdapter(*arrays, alpha / divisor)


class _Array(NamedTuple):
    """An array to be written as a tensor."""

    name: str
    array: np.ndarray

    @property
    def dtype(self):
        return str(self.array.dtype)

    @property
    def shape(self):
        return self.array.shape

    def read(self):
        if not np.isfinite(self.array).all():
            raise ValueError(
                f"All weights must be finite. Received: NaN or infinity in {self.name}"
            )
        return self.array


def write_adapter(directory, modules, whole, *, known, **fields):
    """Writes an adapter that PEFT opens.

    Args:
        directory: Must not exist yet.
        modules: Dict of module -> `ModuleAdapter`.
        whole: List of the tensors of modules trained as a whole, as in
            `write_safetensors`.
        known: Names of all modules of the model.
        **fields: Further fields of `adapter_config.json`.
    """
    tensors = [
        _Array(_PREFIX + module + part, array)
        for module, adapter in modules.items()
        for part, array in zip(_PARTS, adapter[:2], strict=True)
    ]
    config = {"peft_type": "LORA", **fields, **sizes_of(modules, known)}
    config |= {"lora_dropout": 0.0, "bias": "none", "inference_mode": True}
    with written_beside(directory, directory=True) as beside:
        write_file(beside / WEIGHTS, [*tensors, *(_Named(t) for t in whole)])
        text = json.dumps(config, indent=2, sort_keys=True) + "\n"
        (beside / CONFIG).write_text(text, encoding="utf-8")


class _Named:
    """A tensor of the model under its name in the file of an adapter."""

    def __init__(self, tensor):
        self.name = _PREFIX + tensor.name
        self.dtype, self.shape, self.read = tensor.dtype, tensor.shape, tensor.read
