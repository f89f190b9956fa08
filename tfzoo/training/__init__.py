"""What `compile()` and `fit()` take, and the runs that hold a training together."""

import importlib

_HOMES = {
    "AdamW": "tfzoo.training.optimizers",
    "CosineError": "tfzoo.training.pair_losses",
    "InBatchNegatives": "tfzoo.training.pair_losses",
    "KeepBest": "tfzoo.training.callbacks",
    "Run": "tfzoo.training.runs",
    "WarmupLinearDecay": "tfzoo.training.schedules",
    "fingerprint": "tfzoo.training.fingerprints",
}
__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'tfzoo.training' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__():
    return sorted([*globals(), *_HOMES])
