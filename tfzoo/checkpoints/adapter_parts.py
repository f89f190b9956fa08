"""Low-rank adapters (LoRA) as arrays, and of layers that share a tensor in a file.

Shapes: I inputs, U units of a layer, N layers side by side, R rank.
"""

from typing import NamedTuple

import numpy as np

_KERNEL, _WEIGHT = "/kernel", ".weight"


class ModuleAdapter(NamedTuple):
    """The adapter of one module: x A^T B^T `scale` is added to its output.

    Args:
        down: A, float32 (R, I).
        up: B, float32 (U, R).
        scale: alpha / R.
    """

    down: np.ndarray
    up: np.ndarray
    scale: float


def modules_of(names):
    """Dict of module of `transformers` -> paths of the dense layers side by side in it.

    Args:
        names: Dict of variable path -> `Stored`.
    """
    found = {}
    for path, stored in names.items():
        if path.endswith(_KERNEL) and stored.name.endswith(_WEIGHT):
            parts = found.setdefault(stored.name.removesuffix(_WEIGHT), {})
            parts[stored.part] = path.removesuffix(_KERNEL)
    return {
        module: [parts[i] for i in sorted(parts)] for module, parts in found.items()
    }


def joined(adapters):
    """One `ModuleAdapter` of N layers side by side: A (N R, I), B (N U, N R).

    A has the rows of all, and B a block for each.

    Args:
        adapters: List of `ModuleAdapter`, or None for a layer without one.
    """
    present = [adapter for adapter in adapters if adapter is not None]
    units, scale = len(present[0].up), present[0].scale
    rank = sum(len(adapter.down) for adapter in present)
    up, column = np.zeros((units * len(adapters), rank), np.float32), 0
    for i, adapter in enumerate(adapters):
        if adapter is not None:
            end = column + len(adapter.down)
            block = adapter.up * np.float32(adapter.scale / scale)
            up[i * units : (i + 1) * units, column:end] = block
            column = end
    return ModuleAdapter(np.concatenate([a.down for a in present]), up, scale)


def split(adapter, num_parts):
    """The inverse of `joined`, also for an A that all N layers share.

    A layer has the rows of A that its part of B multiplies by numbers other than 0; if
    there are none, it is None. The layers of an adapter whose B is 0 share A.
    """
    ups = np.split(adapter.up, num_parts)
    if num_parts == 1 or not adapter.up.any():
        return [adapter._replace(up=up) for up in ups]
    used = [np.flatnonzero(up.any(axis=0)) for up in ups]
    return [
        ModuleAdapter(adapter.down[rows], up[:, rows], adapter.scale)
        if len(rows)
        else None
        for rows, up in zip(used, ups, strict=True)
    ]
