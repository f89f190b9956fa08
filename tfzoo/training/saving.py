"""Checkpoints of a training: written while it runs, read when it goes on."""

import contextlib
import signal
import threading
import time

import keras

from tfzoo.training.snapshots import Snapshots, named


class Saving(keras.callbacks.Callback):
    """Writes the whole state of a training in time, and restores it.

    The state is the record and every variable: of the model (the seeds of dropout too,
    which Keras's own formats leave out), of the optimizer and, inside an epoch, of the
    metrics. An epoch's last step is saved together with the epoch's evaluation.

    Args:
        record: The `Record` of the training.
        directory: Of the checkpoints; two are kept.
        steps_per_epoch: Updates of an epoch.
        total_steps: Updates of the whole training.
        steps_between: Updates between two checkpoints, at most.
        seconds_between: Seconds between two checkpoints, at most.
        check: Called before each checkpoint; raises where the model is not finite.
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
        """Puts model and record where the newest checkpoint left them, if there is one.

        Args:
            model: The compiled `keras.Model`.
            make_dataset: start_step -> `tf.data.Dataset`.

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
        if inside:  # Keras makes the metrics' variables when it sees a batch
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
                "fit must not compile the model anew, which loses the optimizer's "
                "state: give compile the total_steps. Received: another optimizer"
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
            return  # a callback stopped the training, perhaps because of this step
        if self._is_due() or step == self.total_steps:
            self.save(self.model)

    def _is_due(self):
        return (
            self.terminated
            or self.record.step - self.saved_step >= self.steps_between
            or time.monotonic() - self.saved_at >= self.seconds_between
        )

    def save(self, model):
        """Writes a checkpoint of the state as it is.

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
        """Lets SIGTERM end the process after the step at hand, with a checkpoint.

        During an evaluation it ends at once; the checkpoint before it counts.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # Python takes signals in the main thread alone
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
