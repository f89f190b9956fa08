"""A run of the marked model, for tests that interrupt it.

python marked_run.py OUTPUT [--kill-at STEP] [--jit] [--on-non-finite POLICY]
"""

import argparse
import importlib.util
import os
import pathlib
import signal

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from tfzoo.training import AdamW, KeepBest, Run

SCRIPT = pathlib.Path(__file__).with_name("marked_model.py")
spec = importlib.util.spec_from_file_location("marked_model", SCRIPT)
marked = importlib.util.module_from_spec(spec)
spec.loader.exec_module(marked)

STEPS, BAD = 6, (3,)


class KillAt(keras.callbacks.Callback):
    """Kills the process at the end of a step, counted from 1 in this process."""

    def __init__(self, step):
        super().__init__()
        self.steps_left = step

    def on_train_batch_end(self, batch, logs=None):
        self.steps_left -= 1
        if self.steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def make_dataset(bad, steps, value=marked.MARK):
    return lambda start: marked.batches(steps, bad, value).skip(start)


def train(
    output,
    *,
    cls=marked.FiniteModel,
    optimizer=None,
    bad=BAD,
    value=marked.MARK,
    steps=STEPS,
    steps_between_saves=1,
    on_non_finite=None,
    callbacks=(),
    steps_per_epoch=None,
    finish=True,
    **options,
):
    """Starts or resumes the run; returns its `Run` and model."""
    with Run(
        output,
        {"steps": steps},
        steps_between_saves=steps_between_saves,
        on_non_finite=on_non_finite,
    ) as run:
        optimizer = optimizer or AdamW(1e-2, global_clipnorm=1.0)
        model = marked.make_model(optimizer, cls=cls, dropout=0.3, **options)
        best = KeepBest(run.checkpoints, monitor="mae", mode="min")
        run.fit(
            model,
            make_dataset(bad, steps, value),
            steps_per_epoch=steps_per_epoch or steps,
            total_steps=steps,
            callbacks=[best, *callbacks],
        )

        def save(path):
            path.mkdir()
            for name in ("last.npy", "best.npy"):
                flat = [np.ravel(a).astype("float64") for a in marked.state(model)]
                np.save(path / name, np.concatenate(flat))
                best.restore(model)

        if finish:
            run.finish(save, {})
    return run, model


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("output")
    parser.add_argument("--kill-at", type=int, default=0)
    parser.add_argument("--jit", action="store_true")
    parser.add_argument("--on-non-finite")
    arguments = parser.parse_args()
    train(
        arguments.output,
        jit_compile=arguments.jit,
        on_non_finite=arguments.on_non_finite,
        steps_between_saves=2,
        callbacks=[KillAt(arguments.kill_at)],
    )
