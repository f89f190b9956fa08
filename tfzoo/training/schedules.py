"""Learning rate schedules."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable("tfzoo")
class WarmupLinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from zero to a peak, then falls linearly to zero.

    Step 0 is the first update. The rate is `peak_learning_rate` at step `warmup_steps`,
    and zero from step `total_steps` on.

    Args:
        peak_learning_rate: The highest rate, positive.
        warmup_steps: Number of warmup steps, 0 to `total_steps`. 0 starts at the peak.
        total_steps: Number of steps of the whole training, at least 1.

    Source: Devlin et al. 2018, appendix A.2, https://arxiv.org/abs/1810.04805; the same
    values as `get_linear_schedule_with_warmup` of transformers.
    """

    def __init__(self, peak_learning_rate, warmup_steps, total_steps):
        super().__init__()
        if not 0 < peak_learning_rate < math.inf:
            raise ValueError(
                "peak_learning_rate must be finite and > 0. "
                f"Received: peak_learning_rate={peak_learning_rate}"
            )
        if not (total_steps >= 1 and 0 <= warmup_steps <= total_steps):
            raise ValueError(
                "warmup_steps must be from 0 to total_steps, and total_steps must be "
                f">= 1. Received: warmup_steps={warmup_steps}, "
                f"total_steps={total_steps}"
            )
        self.peak_learning_rate = peak_learning_rate
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rise = step / max(1, self.warmup_steps)
        fall = (self.total_steps - step) / max(1, self.total_steps - self.warmup_steps)
        share = ops.where(step < self.warmup_steps, rise, ops.maximum(fall, 0.0))
        return self.peak_learning_rate * share

    def get_config(self):
        return {
            "peak_learning_rate": self.peak_learning_rate,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
        }


@keras.saving.register_keras_serializable("tfzoo")
class PlannedSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """`WarmupLinearDecay` with its steps in a variable: changing them needs no tracing.

    Before the first `plan` it is one step long.

    Args:
        peak_learning_rate: As in `WarmupLinearDecay`.
        warmup_fraction: Fraction of the steps in which the rate rises, 0 to 1.
    """

    def __init__(self, peak_learning_rate, warmup_fraction):
        super().__init__()
        self.peak_learning_rate = peak_learning_rate
        self.warmup_fraction = warmup_fraction
        self.is_planned = False
        # The optimizer's step at which the plan begins, warmup steps, total steps
        self._plan = keras.Variable(
            [0, 0, 1], dtype="int32", trainable=False, name="plan"
        )

    def plan(self, total_steps, *, begin):
        """Sets the steps of the training.

        Args:
            total_steps: Number of steps, at least 1.
            begin: The optimizer's step that counts as the first.
        """
        warmup = round(self.warmup_fraction * total_steps)
        self._plan.assign([begin, warmup, total_steps])
        self.is_planned = True

    def __call__(self, step):
        begin, warmup, total = ops.unstack(ops.cast(self._plan, "float32"))
        step = ops.cast(step, "float32") - begin
        rise = step / ops.maximum(1.0, warmup)
        fall = (total - step) / ops.maximum(1.0, total - warmup)
        share = ops.where(step < warmup, rise, ops.maximum(fall, 0.0))
        return self.peak_learning_rate * share

    def get_config(self):
        return {
            "peak_learning_rate": self.peak_learning_rate,
            "warmup_fraction": self.warmup_fraction,
        }
