"""Callbacks for recording, progress and keeping the best weights.

They share a `Record`: `Recording` writes it, the others read it.
"""

import contextlib
import math
import sys

import keras
from tqdm import tqdm

from tfzoo.errors import OutputError, TfzooError
from tfzoo.training.snapshots import Snapshots, named


class Recording(keras.callbacks.Callback):
    """Counts steps and records losses and epochs.

    Args:
        record: The `Record` to write.
        total_steps: Number of steps of the whole training.
        steps_per_epoch: Number of steps per epoch; the last epoch may be shorter.
        steps_per_point: Number of steps between points of the loss curve. The end of an
            epoch is always a point.
    """

    def __init__(self, record, *, total_steps, steps_per_epoch, steps_per_point):
        super().__init__()
        self.record = record
        self.total_steps = total_steps
        self.steps_per_epoch = steps_per_epoch
        self.steps_per_point = steps_per_point

    def on_train_batch_end(self, batch, logs=None):
        record = self.record
        record.step += 1
        ends = record.step % self.steps_per_epoch == 0
        if record.step % self.steps_per_point == 0 or ends:
            self._add_point()
        elif record.step == self.total_steps:
            self._add_point()

    def _add_point(self):
        tracker = next(m for m in self.model.metrics if m.name == "loss")
        self.record.add_point(
            float(tracker.total.numpy()),
            float(tracker.count.numpy()),
            float(self.model.optimizer.learning_rate),
        )

    def on_epoch_end(self, epoch, logs=None):
        expected = min((epoch + 1) * self.steps_per_epoch, self.total_steps)
        if self.record.step != expected:
            if self.model.stop_training:
                return  # stopped by a callback in mid-epoch
            raise ValueError(
                "make_dataset(start_step) must yield all batches from start_step to "
                f"the end of the training. Received: no batch at step "
                f"{self.record.step} of {self.total_steps}"
            )
        self.record.end_epoch(epoch + 1, logs)


class Progress(keras.callbacks.Callback):
    """Progress bar over all steps with the latest loss; prints a line per epoch.

    Args:
        record: The `Record` to show.
        total_steps: Number of steps of the whole training.
        save: Function of the model, called before the run ends because its output
            cannot be written.
    """

    def __init__(self, record, total_steps, save):
        super().__init__()
        self.record, self.save = record, save
        # Without a terminal, only the lines are shown.
        self.bar = tqdm(
            total=total_steps, initial=record.step, unit="step", disable=None
        )

    def on_train_batch_end(self, batch, logs=None):
        if self.record.points:
            self.bar.set_postfix(loss=f"{self.record.points[-1][1]:.4g}", refresh=False)
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None):
        figures = ", ".join(f"{name} {value:.4g}" for name, value in logs.items())
        try:
            tqdm.write(f"epoch {epoch + 1}, step {self.record.step}: {figures}")
        except OSError:  # the reader of a pipe is gone, or a disk is full
            self.save(self.model)
            raise

    def close(self):
        """Closes the progress bar."""
        with contextlib.suppress(OSError):  # if the terminal has hung up
            self.bar.close()


class KeepBest(keras.callbacks.Callback):
    """Keeps the weights of the best epoch on disk, also over a resumed training.

    Weights that are not finite are never kept. If what was kept is damaged on disk, the
    best of the following epochs is kept instead.

    Args:
        directory: Where to keep them, for example a run's `checkpoints`.
        monitor: Name of the log to compare, such as "val_accuracy".
        mode: "max" or "min", whichever is better. Of equal epochs the first is kept,
            and none whose log is not finite.
    """

    remembered = ("latest",)  # by a run
    num_copies = 2  # of the weights on disk, while another is written

    def __init__(self, directory, *, monitor, mode):
        super().__init__()
        if mode not in ("max", "min"):
            raise ValueError(f'mode must be "max" or "min". Received: {mode!r}')
        self.monitor = monitor
        self.sign = 1 if mode == "max" else -1
        self.snapshots = Snapshots(directory, "best-epoch", kept=1)
        self.latest = None  # number (from 1) and value of the latest epoch

    def on_train_begin(self, logs=None):
        try:
            found = self.snapshots.newest()
        except OutputError:
            found = None
            self._warn("the best of the following epochs is kept")
        self.best = found[1][self.monitor] if found else None

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor not in logs:
            raise ValueError(
                f"monitor must be one of the logs {sorted(logs)}. "
                f"Received: {self.monitor!r}"
            )
        value = logs[self.monitor]
        self.latest = [epoch + 1, float(value)]
        if not math.isfinite(value):
            return
        if self.best is None or self.sign * value > self.sign * self.best:
            self.best = value
            weights = named(model=self.model.weights)
            self.snapshots.save(epoch + 1, weights, {self.monitor: value})

    def restore(self, model):
        """Restores the best epoch's weights; returns its number (from 1) and value.

        If they are damaged on disk, the model keeps its weights, and the result is that
        of the latest epoch.

        Raises:
            TfzooError: no epoch was kept.
        """
        try:
            found = self.snapshots.newest()
        except OutputError:
            if self.latest is None:
                raise
            self._warn(f"the weights of the latest epoch, {self.latest[0]}, are used")
            return tuple(self.latest)
        if found is None:
            raise TfzooError(
                f"{self.monitor} must be finite in at least one epoch. "
                "Received: NaN or infinity in all.",
                path=self.snapshots.directory,
            )
        epoch, state = found
        self.snapshots.load(epoch, named(model=model.weights))
        return epoch, state[self.monitor]

    def _warn(self, remedy):
        print(
            f"warning: {self.snapshots.directory}: The weights of the best epoch are "
            f"damaged; {remedy} instead.",
            file=sys.stderr,
        )
