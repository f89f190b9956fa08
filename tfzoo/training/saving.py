"""Checkpoints of a training: saved while it runs, restored when it resumes."""

import contextlib
import signal
import threading
import time

import keras

from tfzoo.training.snapshots import Snapshots, named


class Saving(keras.callbacks.Callback):
    """Saves the whole state of a training periodically, and restores it.

    The state is the record and every variable: of the model (including dropout seeds,
    which Keras's own formats omit), of the optimizer and, within an epoch, of the
    metrics. The last step of an epoch is saved together with its evaluation.

    Args:
        record: The `Record` of the training.
        directory: Directory of the checkpoints; two are kept.
        steps_per_epoch: Number of updates per epoch.
        total_steps: Number of updates of the whole training.
        steps_between: Maximum number of updates between two checkpoints.
        seconds_between: Maximum number of seconds between two checkpoints.
        check: Called before each checkpoint; raises an error if the model is not
            finite.
    """

    def __init__(
        self,
        record,
        directory,
        *,
        steps_per_epoch,
        total_steps,
        steps_between,
        seconds_between,
        check,
    ):
        super().__init__()
        self.record = record
        self.snapshots = Snapshots(directory, "step", kept=2)
        self.steps_per_epoch = steps_per_epoch
        self.total_steps = total_steps
        self.steps_between = steps_between
        self.seconds_between = seconds_between
        self.check = check
        self.metrics = None
        self.terminated = False
        self._restart_clock()

    def restore(self, model, make_dataset):
        """Restores model and record from the newest checkpoint, if there is one.

        Args:
            model: The compiled `keras.Model`.
            make_dataset: Function of `start_step` that returns a `tf.data.Dataset`.

        Returns:
            Whether there was a checkpoint.
        """
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
        self.optimizer = model.optimizer
        found = self.snapshots.newest()
        if found is None:
            return False
        step, record = found
        inside = step % self.steps_per_epoch != 0
        if inside:  # Keras creates the metrics' variables with the first batch
            model.evaluate(make_dataset(step).take(1), steps=1, verbose=0)
        self.snapshots.load(step, _variables(model, metrics=inside))
        if inside:
            self.metrics = [v.numpy() for v in model.metrics_variables]
        for name, value in record.items():
            setattr(self.record, name, value)
        self._restart_clock()
        return True

    def on_train_begin(self, logs=None):
        if self.model.optimizer is not self.optimizer:
            raise ValueError(
                "fit must not recompile the model, which loses the optimizer's state: "
                "pass total_steps to compile. Received: another optimizer"
            )

    def on_epoch_begin(self, epoch, logs=None):
        if self.metrics is None:
            return
        variables = self.model.metrics_variables  # which fit has just reset
        for variable, value in zip(variables, self.metrics, strict=True):
            variable.assign(value)
        self.metrics = None

    def on_train_batch_end(self, batch, logs=None):
        step = self.record.step
        last = step % self.steps_per_epoch == 0 or step == self.total_steps
        if not last and self._is_due():
            self.check()
            self.save(self.model)

    def on_test_batch_end(self, batch, logs=None):
        self._exit_if_terminated()

    def on_epoch_end(self, epoch, logs=None):
        step = self.record.step
        if step != self.total_steps and step % self.steps_per_epoch:
            return  # stopped by a callback, perhaps because of this step
        if self._is_due() or step == self.total_steps:
            self.save(self.model)

    def _is_due(self):
        return (
            self.terminated
            or self.record.step - self.saved_step >= self.steps_between
            or time.monotonic() - self.saved_at >= self.seconds_between
        )

    def save(self, model):
        """Writes a checkpoint of the current state.

        Args:
            model: The compiled and built `keras.Model`.
        """
        step = self.record.step
        variables = _variables(model, metrics=step % self.steps_per_epoch != 0)
        self.snapshots.save(step, variables, vars(self.record))
        self._restart_clock()
        self._exit_if_terminated()

    def _restart_clock(self):
        self.saved_step, self.saved_at = self.record.step, time.monotonic()

    def _exit_if_terminated(self):
        if self.terminated:
            raise SystemExit(128 + signal.SIGTERM)

    @contextlib.contextmanager
    def on_termination(self):
        """On SIGTERM, saves a checkpoint after the current step and exits.

        During an evaluation, exits at once; the previous checkpoint stands.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # Python only handles signals in the main thread
            return

        def terminate(number, frame):
            self.terminated = True

        former = signal.signal(signal.SIGTERM, terminate)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, former)


def _variables(model, *, metrics):
    groups = {"model": model.variables, "optimizer": model.optimizer.variables}
    if metrics:
        groups["metrics"] = model.metrics_variables
    return named(**groups)
