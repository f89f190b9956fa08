"""Losses, metrics, optimizers and callbacks for `fit`; runs that can be resumed."""

from tfzoo.lazy import exports

_HOMES = {
    "tfzoo.training.optimizers": "AdamW",
    "tfzoo.training.pair_losses": "CosineError InBatchNegatives",
    "tfzoo.training.callbacks": "KeepBest",
    "tfzoo.training.averaging": "KeepLast",
    "tfzoo.training.generation_metrics": "generation_scores",
    "tfzoo.training.runs": "Run",
    "tfzoo.training.schedules": "WarmupLinearDecay",
    "tfzoo.training.fingerprints": "fingerprint",
}
__getattr__, __dir__, __all__ = exports(__name__, _HOMES)
