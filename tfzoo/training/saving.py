"""Checkpoints of a training: saved while it runs, restored when it resumes."""

import contextlib
import dataclasses
import signal
import threading
import time

import keras

from tfzoo.training.keras_callbacks import is_scheduled, restore_states, states
from tfzoo.training.snapshots import Snapshots, named

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Saving(keras.callbacks.Callback):
    """Saves the whole state of a training periodically, and restores it.

    The state is the record, what callbacks remember, and every variable: of the model
    (including dropout seeds, which Keras's own formats omit), of the optimizer and,
    within an epoch, of the metrics. The last step of an epoch is saved together with
    its evaluation. If a signal ends the process within the evaluation, the state from
    before it is saved with the logs of that step, and `replayed` repeats its end.

    Args:
        record: The `Record` of the training.
        directory: Directory of the checkpoints; two are kept.
        steps_per_epoch: Number of updates per epoch.
        total_steps: Number of updates of the whole training.
        steps_between: Maximum number of updates between two checkpoints.
        seconds_between: Maximum number of seconds between two checkpoints.
        check: Called before each checkpoint; raises an error if the model is not
            finite.
        callbacks: The user's callbacks, which come before this one.

    Attributes:
        remembered: What the callbacks remembered when the last `fit` ended, or in the
            restored checkpoint.
        last_logs: The logs of the step to be replayed; None if there is none.
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
        callbacks,
    ):
        super().__init__()
        self.record = record
        self.snapshots = Snapshots(directory, "step", kept=2)
        self.steps_per_epoch = steps_per_epoch
        self.total_steps = total_steps
        self.steps_between = steps_between
        self.seconds_between = seconds_between
        self.check = check
        self.callbacks = callbacks
        self.remembered = {}
        self.last_logs = self.inside = self.signal = None
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
        number, state = found
        self.last_logs = state.get("last_logs")
        inside = self.last_logs is not None or number % self.steps_per_epoch != 0
        if inside:  # Keras creates the metrics' variables with the first batch
            batch = make_dataset(state["step"]).take(1)
            model.evaluate(batch, steps=1, verbose=0)
        self.snapshots.load(number, _variables(model, metrics=inside))
        if inside:
            rate = None if is_scheduled(self.optimizer) else self._learning_rate()
            self.inside = [v.numpy() for v in model.metrics_variables], rate
        for field in dataclasses.fields(self.record):
            setattr(self.record, field.name, state[field.name])
        self.remembered = state.get("callbacks", {})
        restore_states(self.callbacks, self.remembered)
        self._restart_clock()
        return True

    @contextlib.contextmanager
    def replayed(self, model):
        """In this block, `fit` repeats only the end of a step, with its old logs."""
        model.train_function = lambda iterator: self.last_logs
        try:
            yield
        finally:
            model.train_function = None

    def on_train_begin(self, logs=None):
        if self.model.optimizer is not self.optimizer:
            raise ValueError(
                "fit must not recompile the model, which loses the optimizer's state: "
                "pass total_steps to compile. Received: another optimizer"
            )
        restore_states(self.callbacks, self.remembered)

    def on_train_end(self, logs=None):
        self.remembered = states(self.callbacks)

    def on_epoch_begin(self, epoch, logs=None):
        if self.inside is None:
            return
        metrics, rate = self.inside
        self._set_metrics(metrics)  # which fit has just reset
        if rate is not None:  # a callback may have set it again
            self.optimizer.learning_rate = rate
        self.inside = None

    def on_train_batch_begin(self, batch, logs=None):
        self.counted = self.record.counted

    def on_train_batch_end(self, batch, logs=None):
        if self._ends_epoch():
            metrics = [v.numpy() for v in self.model.metrics_variables]
            numbers = {n: v for n, v in (logs or {}).items() if isinstance(v, float)}
            self.before_evaluation = metrics, numbers
        elif self._is_due():
            self.check()
            self.save(self.model)

    def on_test_begin(self, logs=None):
        self._exit_within_evaluation()

    def on_test_batch_end(self, batch, logs=None):
        self._exit_within_evaluation()

    def on_epoch_end(self, epoch, logs=None):
        self.last_logs = None
        if not self._ends_epoch():
            return  # stopped by a callback, perhaps because of this step
        is_last = self.record.step == self.total_steps or self.model.stop_training
        if self._is_due() or is_last:
            self.save(self.model)

    def _ends_epoch(self):
        step = self.record.step
        return step % self.steps_per_epoch == 0 or step == self.total_steps

    def _is_due(self):
        return (
            self.signal is not None
            or self.record.step - self.saved_step >= self.steps_between
            or time.monotonic() - self.saved_at >= self.seconds_between
        )

    def save(self, model):
        """Writes a checkpoint of the current state.

        Args:
            model: The compiled and built `keras.Model`.
        """
        inside = self.record.step % self.steps_per_epoch != 0
        self._write(model, vars(self.record), metrics=inside)
        self._restart_clock()
        self._exit_on_signal()

    def save_latest(self, model):
        """Writes a checkpoint unless there is one of this step."""
        if self.saved_step != self.record.step:
            self.save(model)

    def _write(self, model, state, *, metrics):
        state = {**state, "callbacks": states(self.callbacks)}
        variables = _variables(model, metrics=metrics)
        self.snapshots.save(self.record.step, variables, state)

    def _restart_clock(self):
        self.saved_step, self.saved_at = self.record.step, time.monotonic()

    def _exit_within_evaluation(self):
        if self.signal is None:
            return
        if self.last_logs is None:  # else it is on disk already
            self.check()
            metrics, logs = self.before_evaluation
            self._set_metrics(metrics)
            before = {
                **vars(self.record),
                "step": self.record.step - 1,
                "points": self.record.points[:-1],
                "counted": self.counted,
            }
            self._write(self.model, {**before, "last_logs": logs}, metrics=True)
        self._exit_on_signal()

    def _exit_on_signal(self):
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is not None:
            raise SystemExit(128 + self.signal)

    @contextlib.contextmanager
    def on_signals(self):
        """Saves and exits on Ctrl-C, SIGTERM or SIGHUP, after the current step.

        Within an evaluation, it does so after the current batch. A second Ctrl-C exits
        at once.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # Python only handles signals in the main thread
            return

        def receive(number, frame):
            if number == self.signal == signal.SIGINT:
                raise KeyboardInterrupt
            self.signal = number

        former = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in former.items():
            if handler not in (signal.SIG_IGN, None):  # nohup ignores SIGHUP
                signal.signal(number, receive)
        try:
            yield
        finally:
            for number, handler in former.items():
                if handler is not None:
                    signal.signal(number, handler)
        self._exit_on_signal()

    def _set_metrics(self, values):
        variables = self.model.metrics_variables
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def _learning_rate(self):
        return float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))


def _variables(model, *, metrics):
    groups = {"model": model.variables, "optimizer": model.optimizer.variables}
    if metrics:
        groups["metrics"] = model.metrics_variables
    return named(**groups)
