"""The steps of a run: how many, and in which calls of `fit`."""

import keras

from tfzoo.training.schedules import PlannedSchedule


def number_of_steps(steps_per_epoch, epochs, total_steps):
    """Updates of a training that is given by epochs, or by their number."""
    if (epochs is None) == (total_steps is None):
        raise ValueError(
            "Either epochs or total_steps must be given. "
            f"Received: epochs={epochs}, total_steps={total_steps}"
        )
    if total_steps is None:
        total_steps = steps_per_epoch * epochs
    if steps_per_epoch < 1 or total_steps < 1:
        raise ValueError(
            "steps_per_epoch, epochs and total_steps must be 1 or more. Received: "
            f"steps_per_epoch={steps_per_epoch}, {total_steps} steps in all"
        )
    return total_steps


def require_restorable(model):
    """Refuses a model whose state a checkpoint would not hold."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Run.fit needs the TensorFlow backend, where variables are up to date "
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
            "use_ema must be False: fit puts the averages in the weights' place "
            "whenever it returns, which happens within a run. Received: use_ema=True"
        )


def _require_fixed_schedule(optimizer):
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if isinstance(getattr(optimizer, "schedule", None), PlannedSchedule):
        raise ValueError(
            "Each call of fit would plan the learning rate anew, and a run makes "
            "several: compile(total_steps=...). Received: total_steps=None"
        )


def parts_of_run(step, steps_per_epoch, total_steps):
    """The calls of `fit`: the rest of an epoch, whole epochs, a shorter last one."""
    while step < total_steps:
        epoch, done = divmod(step, steps_per_epoch)
        whole = (total_steps - step) // steps_per_epoch
        if done or not whole:
            steps, epochs = min(steps_per_epoch - done, total_steps - step), 1
        else:
            steps, epochs = steps_per_epoch, whole
        yield dict(initial_epoch=epoch, epochs=epoch + epochs, steps_per_epoch=steps)
        step += steps * epochs
