"""A short run without tracing, with validation and dropout, for tests that end it.

python eager_run.py OUTPUT EPOCHS
"""

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from tfzoo.training import KeepBest, Run

STEPS_PER_EPOCH, EPOCHS = 3, 2
STEPS = STEPS_PER_EPOCH * EPOCHS


def make_model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dropout(0.3), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.1), "mse", metrics=["mae"], run_eagerly=True)
    return model


def make_dataset(start_step=0, steps=100):
    x = np.random.default_rng(0).normal(size=(steps * 2, 4)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, x.sum(1)))
    return data.batch(2).skip(start_step)


def train(output, callbacks=(), *, epochs=EPOCHS, finish=True, **options):
    """Starts or resumes the run; returns its `Run` and model."""
    options = {"steps_between_saves": 100, **options}
    with Run(output, {}, **options) as run:
        if run.finished:
            return run, None
        model = make_model()
        best = KeepBest(run.checkpoints, monitor="val_mae", mode="min")
        run.fit(
            model,
            make_dataset,
            steps_per_epoch=STEPS_PER_EPOCH,
            epochs=epochs,
            validation_data=make_dataset(steps=2),
            callbacks=[*callbacks, best],
        )

        def save(path):
            path.mkdir()
            variables = [*model.variables, *model.optimizer.variables]
            last = np.concatenate([np.ravel(v).astype("float64") for v in variables])
            (path / "last").mkdir()
            np.save(path / "last" / "last.npy", last)
            best.restore(model)
            np.save(path / "best.npy", np.ravel(model.get_weights()[0]))

        if finish:
            run.finish(save, {})
    return run, model


if __name__ == "__main__":
    train(sys.argv[1], epochs=int(sys.argv[2]))
