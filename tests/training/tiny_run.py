"""A complete run of a small model with dropout, for tests that interrupt it.

python tiny_run.py OUTPUT [--kill-at STEP] [--terminate-at STEP] [--jit]
"""

import argparse
import os
import signal

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from tfzoo.training import AdamW, KeepBest, Run, WarmupLinearDecay
from tfzoo.training.losses import SparseCategoricalCrossentropy
from tfzoo.training.metrics import ClassificationMetrics

WORDS, LENGTH, CLASSES, BATCH = 200, 12, 3, 16
STEPS_PER_EPOCH, EPOCHS = 8, 3


def make_model(*, jit_compile=False, width=16):
    keras.utils.set_random_seed(0)
    token_ids = keras.Input((LENGTH,), dtype="int32")
    x = keras.layers.Embedding(WORDS, width)(token_ids)
    x = keras.layers.Dropout(0.2)(x)
    x = keras.layers.LayerNormalization()(keras.layers.Dense(width)(x))
    x = keras.layers.Dropout(0.3)(keras.layers.GlobalAveragePooling1D()(x))
    model = keras.Model(token_ids, keras.layers.Dense(CLASSES)(x))
    schedule = WarmupLinearDecay(1e-2, 4, STEPS_PER_EPOCH * EPOCHS)
    model.compile(
        AdamW(schedule, global_clipnorm=1.0),
        SparseCategoricalCrossentropy(label_smoothing=0.1),
        weighted_metrics=[ClassificationMetrics(CLASSES)],
        jit_compile=jit_compile,
    )
    return model


def make_dataset(start_step=0, seed=0, steps=STEPS_PER_EPOCH * EPOCHS):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, WORDS, (steps * BATCH, LENGTH), dtype="int32")
    y = (x.sum(1) % CLASSES).astype("int32")
    data = tf.data.Dataset.from_tensor_slices((x, y, np.ones(len(y), "float32")))
    return data.batch(BATCH, drop_remainder=True).skip(start_step)


class At(keras.callbacks.Callback):
    """Calls a function at the end of a step, counted from 1 in this process."""

    def __init__(self, step, function):
        super().__init__()
        self.steps_left, self.function = step, function

    def on_train_batch_end(self, batch, logs=None):
        self.steps_left -= 1
        if self.steps_left == 0:
            self.function()


def train(output, *, callbacks=(), jit_compile=False, **options):
    """Starts or resumes the run; returns its `Run` and model."""
    with Run(output, {"jit": jit_compile}, steps_between_saves=3, **options) as run:
        model = make_model(jit_compile=jit_compile)
        best = KeepBest(run.checkpoints, monitor="val_accuracy", mode="max")
        run.fit(
            model,
            make_dataset,
            steps_per_epoch=STEPS_PER_EPOCH,
            epochs=EPOCHS,
            validation_data=make_dataset(seed=1, steps=2),
            callbacks=[best, *callbacks],
        )

        def save(path):
            path.mkdir()
            last = [np.ravel(v) for v in [*model.variables, *model.optimizer.variables]]
            best.restore(model)
            kept = [np.ravel(v) for v in model.weights]
            np.save(path / "last.npy", np.concatenate(last).astype("float64"))
            np.save(path / "best.npy", np.concatenate(kept))

        run.finish(save, {"last_loss": run.record.epochs[-1]["loss"]})
    return run, model


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("output")
    parser.add_argument("--kill-at", type=int, default=0)
    parser.add_argument("--terminate-at", type=int, default=0)
    parser.add_argument("--jit", action="store_true")
    arguments = parser.parse_args()
    train(
        arguments.output,
        jit_compile=arguments.jit,
        callbacks=[
            At(arguments.kill_at, lambda: os.kill(os.getpid(), signal.SIGKILL)),
            At(arguments.terminate_at, lambda: os.kill(os.getpid(), signal.SIGTERM)),
        ],
    )
