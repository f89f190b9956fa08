"""A small model with a finite loss but a non-finite gradient for marked examples."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tfzoo.training.finite_updates import FiniteUpdates

MARK = -1.0  # as a target: the gradient is NaN
WORDS, LENGTH, BATCH = 20, 4, 4


class FiniteModel(FiniteUpdates, keras.Model):
    """A functional model with the guard."""


def marked_loss(y, y_pred):
    marked = y == MARK
    root = ops.sqrt(ops.where(marked, 0.0 * y_pred, 1.0))  # its gradient: infinity * 0
    return ops.mean(ops.where(marked, root, ops.square(y_pred - y)))


def make_model(optimizer, *, cls=FiniteModel, dropout=0.0, **options):
    keras.utils.set_random_seed(0)
    token_ids = keras.Input((LENGTH,), dtype="int32")
    x = keras.layers.Embedding(WORDS, 3, name="words")(token_ids)
    x = keras.layers.GlobalAveragePooling1D()(x)
    x = keras.layers.Dropout(dropout)(keras.layers.Dense(3, "tanh", name="hidden")(x))
    model = cls(token_ids, keras.layers.Dense(1, name="output")(x))
    options = {"jit_compile": False, **options}
    model.compile(optimizer, marked_loss, weighted_metrics=["mae"], **options)
    return model


def arrays(steps, bad=(), value=MARK):
    """Inputs and targets; in the batches `bad` (from 1) one target is `value`."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, WORDS, (steps * BATCH, LENGTH), dtype="int32")
    y = rng.random((steps * BATCH, 1)).astype("float32")
    y[[(step - 1) * BATCH + 1 for step in bad]] = value
    return x, y


def batches(steps, bad=(), value=MARK, *, without=()):
    """The same as a dataset, optionally without some batches."""
    kept = [i for i in range(steps) if i + 1 not in without]
    x, y = (a.reshape(steps, BATCH, -1)[kept] for a in arrays(steps, bad, value))
    return tf.data.Dataset.from_tensor_slices((x, y))


def state(model):
    """Weights, optimizer variables and the number of iterations."""
    return [v.numpy() for v in (*model.weights, *model.optimizer.variables)]
