"""Skipped steps on two replicas; called by test_finite_updates."""

import functools
import importlib.util
import pathlib

import keras
import numpy as np

from tfzoo.errors import TfzooError
from tfzoo.training import AdamW, distribution

SCRIPT = pathlib.Path(__file__).with_name("marked_model.py")
spec = importlib.util.spec_from_file_location("marked_model", SCRIPT)
marked = importlib.util.module_from_spec(spec)
spec.loader.exec_module(marked)

# Shared: TensorFlow confuses the collectives of a second one with those of the first.
mirrored = functools.cache(lambda: distribution.strategy("mirrored"))
OPTIMIZERS = {
    "adamw": lambda: AdamW(1e-2, global_clipnorm=1.0),
    "adam": lambda: keras.optimizers.Adam(1e-2),
    "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
}


def fitted(name, data, **options):
    with mirrored().scope():
        model = marked.make_model(OPTIMIZERS[name](), **options)
    history = model.fit(data, epochs=2, shuffle=False, verbose=0).history
    return model, history


def compare():
    """For each optimizer and fault, whether a skip equals omitting the batch."""
    found = {}
    for name in OPTIMIZERS:
        other = marked.batches(4, without=(3,))
        expected, losses = fitted(name, other, on_non_finite="skip")
        for kind, value in (("gradient", marked.MARK), ("loss", float("nan"))):
            data = marked.batches(4, (3,), value)
            model, faulty_losses = fitted(name, data, on_non_finite="skip")
            pairs = zip(marked.state(model), marked.state(expected), strict=True)
            same = all(np.array_equal(a, b) for a, b in pairs)
            found[f"{name}, {kind}"] = same and losses == faulty_losses
    found["replicas"] = model.distribute_strategy.num_replicas_in_sync
    try:
        fitted("adamw", marked.batches(4, (3,)))
    except TfzooError as e:
        found["stopped"] = str(e)
    return found
