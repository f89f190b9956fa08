"""Rounds of training steps; shared by the training benchmarks."""

import itertools

import side_by_side

SKIPPED = 2  # steps at the start of a round, to exclude the start of fit


class Steady:
    """Times the steps of a round after the first few, until `seconds` have passed.

    The first round is timed from its start, to include tracing and compiling.
    """

    def __init__(self, seconds):
        self._seconds, self._cold = seconds, True

    def begin(self):
        self._watch, self._steps = side_by_side.Stopwatch(), 0

    def step_ended(self, loss):
        """Whether the round is over; `measured` is then its result."""
        self._steps += 1
        counted = self._steps if self._cold else self._steps - SKIPPED
        if counted == 0:
            self._watch = side_by_side.Stopwatch()
        if counted < 1:
            return False
        self.measured = self._watch.measured(counted, loss=float(loss))
        over = self.measured.seconds >= self._seconds
        self._cold = self._cold and not over
        return over


def of_fit(model, batches, seconds):
    """`round` of a compiled Keras model: a call of `fit`.

    Args:
        model: The model.
        batches: (inputs, targets, weights), arrays whose first axis is the batch index.
        seconds: Length of a round.
    """
    import keras
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(batches).cache().repeat().prefetch(2)
    steady = Steady(seconds)

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = steady.step_ended(logs["loss"])

    def measure():
        steady.begin()
        model.fit(data, steps_per_epoch=10**6, verbose=0, callbacks=[Clock()])
        return steady.measured

    return measure


def of_steps(step, seconds):
    """`round` of a function that maps a step number to a loss."""
    steady = Steady(seconds)

    def measure():
        steady.begin()
        for i in itertools.count():
            if steady.step_ended(step(i)):
                return steady.measured

    return measure
