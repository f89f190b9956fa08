"""Keras's callbacks in `fit` and in runs: which work, and what they remember."""

import collections
import importlib.util

import keras

# Attributes that are reset when a `fit` begins, of which a run has several
REMEMBERED = {
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "cooldown_counter", "best"),
    keras.callbacks.ModelCheckpoint: ("best",),
}


def require_usable(callbacks, optimizer):
    """Raises `ValueError` for a callback that could only fail later in a `fit`.

    Args:
        callbacks: List of Keras callbacks.
        optimizer: The optimizer that the model is compiled with.
    """
    setting = (
        keras.callbacks.LearningRateScheduler,
        keras.callbacks.ReduceLROnPlateau,
    )
    for callback in callbacks:
        if isinstance(callback, setting) and is_scheduled(optimizer):
            raise ValueError(
                f"{type(callback).__name__} sets the learning rate, which must then "
                "follow no schedule: use compile(keras.optimizers.AdamW(5e-5)) or the "
                "like. Received: an optimizer with a schedule, as optimizer='auto' has"
            )
        if isinstance(callback, keras.callbacks.TensorBoard) and not _has_tensorboard():
            raise ValueError(
                "keras.callbacks.TensorBoard requires the package tensorboard, which "
                "TensorFlow no longer installs: pip install tensorboard. A Run writes "
                "its logs/ without it."
            )


def require_resumable(callbacks):
    """Raises `ValueError` for a callback that would lose its work in a run."""
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            raise ValueError(
                "A run restores training by itself, with every step: BackupAndRestore "
                "must be left out of callbacks."
            )
        is_early = isinstance(callback, keras.callbacks.EarlyStopping)
        if is_early and callback.restore_best_weights:
            raise ValueError(
                "EarlyStopping must have restore_best_weights=False in a run, since it "
                "keeps the best weights in memory only: use KeepBest(run.checkpoints, "
                "...), and its restore(model) after fit."
            )
        if isinstance(callback, keras.callbacks.CSVLogger) and not callback.append:
            raise ValueError(
                "CSVLogger must have append=True in a run, since it would erase the "
                "epochs before an interruption. Received: append=False"
            )


def is_scheduled(optimizer):
    """Whether the learning rate follows a schedule, so that it cannot be set."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return not isinstance(optimizer.get_config().get("learning_rate"), float)


def states(callbacks):
    """What the callbacks remember, as a JSON object of name -> attributes."""
    return {
        name: {
            attribute: _plain(getattr(callback, attribute))
            for attribute in attributes
            if hasattr(callback, attribute)
        }
        for name, callback, attributes in _remembering(callbacks)
    }


def restore_states(callbacks, states):
    """Gives the callbacks what those of the same name and monitor remembered."""
    for name, callback, attributes in _remembering(callbacks):
        for attribute in {*attributes} & {*states.get(name, {})}:
            setattr(callback, attribute, states[name][attribute])


def have_stopped(callbacks, states):
    """Whether one of these callbacks had stopped the training early."""
    names = [name for name, _, _ in _remembering(callbacks)]
    return any(states.get(name, {}).get("stopped_epoch") for name in names)


def _remembering(callbacks):
    """Yields (name, callback, names of the attributes) of those that remember."""
    counts = collections.Counter()
    for callback in callbacks:
        kinds = [cls for cls in REMEMBERED if isinstance(callback, cls)]
        attributes = (
            REMEMBERED[kinds[0]] if kinds else getattr(callback, "remembered", ())
        )
        if attributes:
            name = type(callback).__name__
            if hasattr(callback, "monitor"):
                name += f" of {callback.monitor}"
            counts[name] += 1
            yield f"{name} {counts[name]}", callback, attributes


def _plain(value):
    return value.item() if hasattr(value, "item") else value


def _has_tensorboard():
    return importlib.util.find_spec("tensorboard") is not None
