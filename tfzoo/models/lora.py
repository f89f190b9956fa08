"""Low-rank adapters (LoRA) of a model's dense layers.

A layer with an adapter computes with W + alpha / R * A B, where only A and B train.

Shapes: I inputs, U units, R rank.

Source: Hu et al. 2021, section 4.1, https://arxiv.org/abs/2106.09685
"""

import keras
import numpy as np

from tfzoo.errors import shown
from tfzoo.layers.projection import Projection
from tfzoo.models.frozen import (
    HELD,
    freeze,
    frozen_names,
    layers_in,
    unfreeze,
    weight_variables,
)


def dense_layers(backbone, model):
    """The dense layers of a backbone that another model uses, which can be adapted.

    Args:
        backbone: The backbone.
        model: A model that contains it.

    Returns:
        Dict of path -> `Projection`.
    """
    used = {id(variable) for variable in model.variables}
    return {
        layer.path: layer
        for layer in layers_in(backbone)
        if isinstance(layer, Projection) and id(layer.own_kernel) in used
    }


def targeted(layers, targets):
    """The paths among `layers` whose last parts are one of `targets`.

    Args:
        layers: Dict from `dense_layers`.
        targets: Names such as `"query"` or `"feed_forward/output"`.

    Raises:
        ValueError: no layer has one of the names, or there are none.
    """
    several = isinstance(targets, list | tuple | set)
    targets = [*targets] if several else [targets]
    ends = {
        name: [p for p in layers if f"/{p}".endswith(f"/{name}")] for name in targets
    }
    if not targets or not all(ends.values()):
        names = sorted({path.rsplit("/", 1)[-1] for path in layers})
        wrong = [name for name, found in ends.items() if not found]
        raise ValueError(
            f"targets must be names of dense layers: {', '.join(names)}. Received: "
            f"{shown(wrong[0] if wrong else targets)}"
        )
    found = {path for paths in ends.values() for path in paths}
    return [path for path in layers if path in found]


def adapted(model):
    """Dict of path -> `Projection` for a model's layers with an adapter."""
    return {
        layer.path: layer
        for layer in layers_in(model)
        if isinstance(layer, Projection) and layer.lora_enabled
    }


def add_adapter(layer, rank, alpha):
    """Adds A, random, and B, zero, to a dense layer, and freezes its kernel.

    Args:
        layer: A built `Projection`.
        rank: R.
        alpha: Factor of the product, before the division by R.
    """
    # U(-1 / sqrt(I), 1 / sqrt(I)), as in the paper's code
    initializer = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    layer.enable_lora(rank, lora_alpha=alpha, a_initializer=initializer)


def train_only(model, others):
    """Freezes all weights but some, until `merge`; call it before `add_adapter`.

    Args:
        model: The model.
        others: The weights to train beside the adapters.
    """
    trained = {id(v) for v in others}
    held = [v for v in weight_variables(model) if v.trainable]
    unfreeze(model)  # also the layers above an adapter
    for variable in weight_variables(model):
        variable.trainable = id(variable) in trained
    for variable in held:
        if not variable.trainable:
            setattr(variable, HELD, True)


def merge(model):
    """Adds the products to the kernels, removes the adapters, and unfreezes the rest.

    Weights that were frozen before there were adapters are frozen again.

    Args:
        model: The model.
    """
    variables = weight_variables(model)
    frozen = frozen_names(variables)
    for layer in adapted(model).values():
        layer.merge_lora()
    for variable in variables:
        vars(variable).pop(HELD, None)
    unfreeze(model)
    freeze(model, frozen)


class Merged:
    """A kernel with its adapter's product, as a variable to be saved."""

    def __init__(self, layer):
        kernel, self._layer = layer.own_kernel, layer
        self.path, self.shape, self.dtype = kernel.path, kernel.shape, kernel.dtype

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self._layer.merged_kernel(), dtype)


def merged_variables(model):
    """`weight_variables`, each adapted kernel replaced with its `Merged`."""
    merged = {m.path: m for m in map(Merged, adapted(model).values())}
    return [merged.get(v.path, v) for v in weight_variables(model)]
