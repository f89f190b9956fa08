"""What `compile()` and `fit()` take, and the runs that hold a training together."""

from tfzoo.lazy import exports

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

__getattr__, __dir__ = exports(__name__, _HOMES)
