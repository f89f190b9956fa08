"""The steps of a run: their number, and the calls of `fit` that make them."""

import keras

from tfzoo.training.schedules import PlannedSchedule


def number_of_steps(steps_per_epoch, epochs, total_steps):
    """Number of updates of a training, given its epochs or its total steps."""
    if (epochs is None) == (total_steps is None):
        raise ValueError(
            "Either epochs or total_steps must be given, not both. "
            f"Received: epochs={epochs}, total_steps={total_steps}"
        )
    if total_steps is None:
        total_steps = steps_per_epoch * epochs
    if steps_per_epoch < 1 or total_steps < 1:
        raise ValueError(
            "steps_per_epoch, epochs and total_steps must be >= 1. Received: "
            f"steps_per_epoch={steps_per_epoch}, {total_steps} steps in total"
        )
    return total_steps


def require_restorable(model):
    """Raises `ValueError` for a model whose state a checkpoint would not capture."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Run.fit requires the TensorFlow backend, where variables are up to date "
            f"after every step. Received: {keras.backend.backend()!r}"
        )
    if not (model.compiled and model.built):
        raise ValueError(
            "The model must be compiled and built. "
            f"Received: compiled={model.compiled}, built={model.built}"
        )
    _require_fixed_schedule(model.optimizer)
    if getattr(model.optimizer, "inner_optimizer", model.optimizer).use_ema:
        raise ValueError(
            "use_ema must be False: fit replaces the weights by their averages when it "
            "returns, and a run calls it several times. Received: use_ema=True"
        )


def _require_fixed_schedule(optimizer):
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if isinstance(getattr(optimizer, "schedule", None), PlannedSchedule):
        raise ValueError(
            "A run requires compile(total_steps=...): it calls fit several times, and "
            "each call would restart the learning rate schedule. "
            "Received: total_steps=None"
        )


def last_step_of_epoch(step, steps_per_epoch):
    """Arguments of a `fit` with the next step only, the last one of its epoch."""
    epoch = step // steps_per_epoch
    return dict(initial_epoch=epoch, epochs=epoch + 1, steps_per_epoch=1)


def parts_of_run(step, steps_per_epoch, total_steps):
    """Arguments of each `fit`: an epoch's rest, whole epochs, a shorter last epoch."""
    while step < total_steps:
        epoch, done = divmod(step, steps_per_epoch)
        whole = (total_steps - step) // steps_per_epoch
        if done or not whole:
            steps, epochs = min(steps_per_epoch - done, total_steps - step), 1
        else:
            steps, epochs = steps_per_epoch, whole
        yield dict(initial_epoch=epoch, epochs=epoch + epochs, steps_per_epoch=steps)
        step += steps * epochs
