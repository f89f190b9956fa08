"""`enable_lora`: training of low-rank adapters instead of all weights.

Shapes: I inputs, U units, R rank.
"""

import logging
import math
import numbers

import numpy as np

from tfzoo.checkpoints.adapter_parts import ModuleAdapter, joined, modules_of, split
from tfzoo.checkpoints.hub import SCHEME
from tfzoo.checkpoints.peft import AdapterFiles, write_adapter
from tfzoo.checkpoints.weights import load_weights, saved_tensors
from tfzoo.errors import CheckpointError, require_whole, shown
from tfzoo.models.frozen import weight_variables
from tfzoo.models.lora import (
    adapted,
    add_adapter,
    dense_layers,
    merge,
    targeted,
    train_only,
)

logger = logging.getLogger("tfzoo")


class Adapting:
    """Mixin: adapters of the backbone's dense layers, in PEFT's format on disk.

    A task defines:
        trains_head: Whether its head is trained beside adapters, because it is usually
            new: for labels or answers. By default not.
        peft_task: `task_type` in PEFT's format, or None.
    """

    trains_head = False
    peft_task = None
    lacked = ()  # paths of the weights that the checkpoint lacked
    opened_from = None  # what `from_preset` opened

    def enable_lora(self, rank, targets=("query", "value"), *, alpha=None):
        """Adds low-rank adapters to the backbone; from now on, `fit` trains only these.

        The head of a classifier, tagger or question answerer is trained as well, and
        BERT's pooler if the checkpoint lacked it. All other weights are frozen until
        `merge_adapter`, and layers that were frozen before get adapters, too. The task
        computes what it did before, since a new adapter adds 0. Call `compile`
        afterwards.

        Args:
            rank: R, an integer >= 1 and less than I and U of every layer.
            targets: Names of the dense layers, such as `"query"`, `"key"`, `"value"`,
                `"intermediate"` or `"output"`; `"feed_forward/output"` is only one of
                two with that name.
            alpha: Factor of the adapters' product, before the division by R. Defaults
                to R.

        Raises:
            ValueError: an argument is invalid, the task already has adapters, or the
                checkpoint lacked weights that would not be trained.

        Source: Hu et al. 2021, section 4, https://arxiv.org/abs/2106.09685
        """
        self._refuse_second("enable_lora")
        require_whole("rank", rank, 1)
        trained = self._parts_to_train()
        layers = {
            path: layer
            for path, layer in dense_layers(self.backbone, self).items()
            if path not in trained
        }
        paths = targeted(layers, targets)
        for path in paths:
            shape = layers[path].own_kernel.shape
            if rank >= min(shape):
                raise ValueError(
                    f"rank must be less than the inputs and units of {path}, {shape}. "
                    f"Received: {rank}"
                )
        alpha = rank if alpha is None else alpha
        real = isinstance(alpha, numbers.Real) and not isinstance(alpha, bool)
        if not real or not 0 < alpha < math.inf:
            raise ValueError(f"alpha must be a number > 0. Received: {shown(alpha)}")
        if untrained := [p for p in self.lacked if p.split("/")[0] not in trained]:
            raise ValueError(
                "Weights that an adapter does not train must be in the checkpoint. "
                f"Received: new, random weights {', '.join(untrained)}"
            )
        self._add({path: (int(rank), float(alpha)) for path in paths}, trained)

    def merge_adapter(self):
        """Adds the adapters to the weights and removes them; unfreezes the rest.

        What was frozen before `enable_lora` is frozen again. Call `compile` before
        training on.

        Raises:
            ValueError: the task has no adapters.
        """
        self._require_adapters("merge_adapter")
        merge(self)
        self.forget_traces()

    def save_adapter(self, directory, *, base=None):
        """Writes the adapters, and the head if it was trained, in PEFT's format.

        PEFT opens the directory on the model that this task was opened from. Layers
        that are a single module there (GPT-2's query, key and value) are one adapter in
        the file, whose rank is the sum of theirs.

        Args:
            directory: Must not exist yet.
            base: Name on the Hub, or directory, of the model without adapters, to be
                noted in the file. Defaults to what the task was opened from.

        Raises:
            ValueError: the task has no adapters, or also trains other weights.
        """
        self._require_adapters("save_adapter")
        names, adapters = self._stored_names(), self._adapters
        modules, parts = {}, modules_of(names)
        for module, paths in parts.items():
            found = [_adapter_of(adapters.get(path)) for path in paths]
            if any(found):
                modules[module] = joined(found)
        trained = [v for v in weight_variables(self) if v.trainable]
        if others := [v.path for v in trained if _first(v.path) not in self._whole]:
            raise ValueError(
                "Besides adapters, only a head may be trained: freeze other weights or "
                f"use save_to_preset. Received: trainable {shown(others[0])}"
            )
        whole = sorted({self._module_to_save(names[v.path].name) for v in trained})
        base, revision = str(base or self.opened_from or ""), None
        if base.startswith(SCHEME):
            base, _, revision = base.removeprefix(SCHEME).partition("@")
        first = names[f"{next(iter(adapters))}/kernel"]
        write_adapter(
            directory,
            modules,
            saved_tensors(trained, names),
            known=[*parts, *(s.name.rpartition(".")[0] for s in names.values())],
            task_type=self.peft_task,
            base_model_name_or_path=base or None,
            revision=revision or None,
            fan_in_fan_out=not first.transposed,
            modules_to_save=whole or None,
        )

    def load_adapter(self, directory):
        """Opens adapters that this task or PEFT has saved, and continues with them.

        `fit` then trains what it trains after `enable_lora`. PEFT's `lora_dropout`
        is not applied.

        Args:
            directory: A directory with `adapter_config.json` and
                `adapter_model.safetensors`, or `hf://ORG/NAME[@REVISION]`.

        Raises:
            CheckpointError: it is not LoRA, has an unsupported option, or is that of
                another model; the message names the field or tensor.
            ValueError: the task already has adapters.
        """
        self._refuse_second("load_adapter")
        files = AdapterFiles(directory)
        names = self._stored_names([*files.modules, *files.whole.names])
        layers = dense_layers(self.backbone, self)
        parts, found = modules_of(names), {}
        for module in files.modules:
            here = [layers.get(path) for path in parts.get(module, ())]
            if not any(here):
                raise CheckpointError(
                    "The module must be a dense layer of the model: "
                    f"{shown(sorted({m.rpartition('.')[2] for m in parts}))}.",
                    path=files.path,
                    tensor=files.name_of(module),
                )
            inputs, units = here[0].own_kernel.shape
            whole = files.read(module, inputs, units * len(here))
            for layer, part in zip(here, split(whole, len(here)), strict=True):
                if part is not None:
                    found[layer.path] = part
        heads = self._whole_of(files, names)
        if files.dropout:
            logger.warning(
                "%s: lora_dropout=%s is not applied in training.",
                files.path,
                files.dropout,
            )
        variables = [v for v in weight_variables(self) if _first(v.path) in heads]
        load_weights(files.whole, variables, names)
        self._add(
            {path: (len(a.down), a.scale * len(a.down)) for path, a in found.items()},
            {*heads, *self._parts_to_train()},
        )
        for path, adapter in found.items():
            self._adapters[path].lora_kernel_a.assign(adapter.down.T)
            self._adapters[path].lora_kernel_b.assign(adapter.up.T)

    def load_weights(self, filepath, **options):
        """As in Keras; refused with adapters, which are merged in such a file."""
        self._refuse_second("load_weights")
        return super().load_weights(filepath, **options)

    @property
    def has_adapters(self):
        """Whether the task has adapters that are not merged."""
        return bool(self._adapters)

    @property
    def _adapters(self):
        return adapted(self)

    def _add(self, sizes, trained):
        """Adds adapters of (rank, alpha) by path; trains them and some parts."""
        layers = dense_layers(self.backbone, self)
        weights = weight_variables(self)
        train_only(self, [v for v in weights if _first(v.path) in trained])
        with self.distribute_strategy.scope():
            for path, (rank, alpha) in sizes.items():
                add_adapter(layers[path], rank, alpha)
        self.forget_traces()

    @property
    def _whole(self):
        """First parts of the paths of the weights that may be trained as a whole."""
        return {*(self.heads if self.trains_head else ()), "pooler"}

    def _parts_to_train(self):
        """Those of the weights that are trained beside adapters."""
        lacked = {_first(path) for path in self.lacked}
        return {part for part in self._whole if part != "pooler" or part in lacked}

    def _stored_names(self, present=None):
        """Dict of variable path -> `Stored`, as in the file of the stored model."""
        if present is None:
            present = None if self.stored_model() is self else ()
        backbone = self.backbone
        names = backbone.family.backbone_names(backbone, present)
        return {**names, **self._head_names()}

    def _module_to_save(self, name):
        """The module of a head, or the pooler, that has a tensor."""
        return name.removeprefix(self.backbone.family.prefix).split(".")[0]

    def _whole_of(self, files, names):
        """First parts of the paths of the weights in a file beside adapters."""
        paths = {stored.name: path for path, stored in names.items()}
        for name in sorted(files.whole.names):
            if name not in paths or _first(paths[name]) not in self._whole:
                raise CheckpointError(
                    "Besides adapters, only the weights of this task's head are "
                    "supported.",
                    path=files.path,
                    tensor=name,
                )
        return {_first(paths[name]) for name in files.whole.names}

    def _refuse_second(self, method):
        if layers := self._adapters:
            rank = next(iter(layers.values())).lora_rank
            raise ValueError(
                f"{method} requires a task without adapters: call merge_adapter first. "
                f"Received: adapters of rank {rank}"
            )

    def _require_adapters(self, method):
        if not self._adapters:
            raise ValueError(
                f"{method} requires adapters: call enable_lora or load_adapter first. "
                "Received: a task without adapters"
            )


def _first(path):
    return path.split("/")[0]


def _adapter_of(layer):
    """The `ModuleAdapter` of a dense layer; None for None."""
    if layer is None:
        return None
    down, up = (np.asarray(x).T for x in (layer.lora_kernel_a, layer.lora_kernel_b))
    return ModuleAdapter(down, up, layer.lora_scale)
