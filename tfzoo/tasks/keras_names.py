"""Keras's names of losses and metrics, as forms that take a task's logits.

Keras reads `"binary_crossentropy"` as the loss of probabilities. Given logits it
learns nothing, or the wrong thing, without a word.
"""

import keras

from tfzoo.training import metrics

_CLASSES = {
    "sparse_categorical_crossentropy": lambda name: (
        keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name=name)
    ),
    "sparse_top_k_categorical_accuracy": lambda name: (
        keras.metrics.SparseTopKCategoricalAccuracy(name=name)
    ),
    **dict.fromkeys(
        ("accuracy", "acc", "sparse_categorical_accuracy"), metrics.Accuracy
    ),
}
_MULTI_LABEL = {
    **dict.fromkeys(
        ("accuracy", "acc", "binary_accuracy"),
        lambda name: keras.metrics.BinaryAccuracy(threshold=0.0, name=name),
    ),
    "binary_crossentropy": lambda name: keras.metrics.BinaryCrossentropy(
        from_logits=True, name=name
    ),
    "auc": lambda name: keras.metrics.AUC(from_logits=True, name=name),
    "precision": lambda name: keras.metrics.Precision(thresholds=0.0, name=name),
    "recall": lambda name: keras.metrics.Recall(thresholds=0.0, name=name),
}
_NUMBERS = {
    name: lambda name, function=name: _of_numbers(function, name)
    for name in (
        *("mse", "mean_squared_error", "mae", "mean_absolute_error", "r2_score"),
        *("mape", "mean_absolute_percentage_error", "root_mean_squared_error"),
        *("msle", "mean_squared_logarithmic_error", "log_cosh", "logcosh"),
    )
}
_METRICS = {"classes": _CLASSES, "multi_label": _MULTI_LABEL, "numbers": _NUMBERS}
_SAME_AS_DEFAULT = {
    "classes": ("sparse_categorical_crossentropy",),
    "multi_label": ("binary_crossentropy", "bce"),
    "numbers": ("mean_squared_error", "mse"),
}
_LOSSES_OF_NUMBERS = (
    *("mae", "mean_absolute_error", "huber", "huber_loss", "log_cosh", "logcosh"),
    *("mape", "mean_absolute_percentage_error"),
    *("msle", "mean_squared_logarithmic_error"),
)


def loss_of_logits(loss, task):
    """What `compile` is given as a loss, in the form that takes logits.

    Args:
        loss: A name, a loss or function, or a dict or list of such by output.
        task: The task; its `learns` says what its logits are.

    Raises:
        ValueError: there is no such form, or a loss takes probabilities.
    """
    if isinstance(loss, dict):
        return {name: loss_of_logits(part, task) for name, part in loss.items()}
    if isinstance(loss, list | tuple):
        return [loss_of_logits(part, task) for part in loss]
    name = _keras_name(loss, keras.losses)
    if name is None:
        _refuse_probabilities(loss)
        return loss
    if name in _SAME_AS_DEFAULT.get(task.learns, ()):
        default = task.default_loss(0.0)
        return next(iter(default.values())) if isinstance(default, dict) else default
    if task.learns == "numbers" and name in _LOSSES_OF_NUMBERS:
        return keras.losses.get(name)
    known = [*_SAME_AS_DEFAULT.get(task.learns, ())]
    known += _LOSSES_OF_NUMBERS if task.learns == "numbers" else ()
    raise ValueError(
        f"The outputs of a {type(task).__name__} are logits, not probabilities. A loss "
        f"is 'auto', {_listed(known)}or an object that takes logits. Received: {name!r}"
    )


def metric_of_logits(metric, task):
    """What `compile` is given as metrics, in forms that take logits.

    Args:
        metric: None, a name, a metric, or a list or dict of such.
        task: As of `loss_of_logits`.

    Raises:
        ValueError: as `loss_of_logits`.
    """
    if metric is None:
        return None
    if isinstance(metric, dict):
        return {name: metric_of_logits(part, task) for name, part in metric.items()}
    if isinstance(metric, list | tuple):
        return [metric_of_logits(part, task) for part in metric]
    name = _keras_name(metric, keras.metrics)
    if name is None:
        _refuse_probabilities(metric)
        return metric
    known = _METRICS.get(task.learns, {})
    if name.lower() not in known:
        raise ValueError(
            f"The outputs of a {type(task).__name__} are logits, not probabilities. A "
            f"metric is 'auto', {_listed(known)}or an object that takes logits. "
            f"Received: {name!r}"
        )
    return known[name.lower()](name)


def _keras_name(value, module):
    """The name that a user gave, or that of one of Keras's functions; or None."""
    if isinstance(value, str):
        return value
    name = getattr(value, "__name__", None)
    if name and getattr(module, name, None) is value and not isinstance(value, type):
        return name
    return None


def _refuse_probabilities(value):
    config = {}
    if isinstance(value, keras.losses.Loss | keras.metrics.Metric):
        config = value.get_config()
    if config.get("from_logits") is False:
        raise ValueError(
            "The outputs of a task are logits: from_logits=True. Received: "
            f"{type(value).__name__}(from_logits=False)"
        )
    if isinstance(value, keras.metrics.BinaryAccuracy) and config["threshold"] == 0.5:
        raise ValueError(
            "The outputs of a task are logits: threshold=0.0 is a probability of 0.5. "
            "Received: BinaryAccuracy(threshold=0.5)"
        )


def _of_numbers(function, name):
    found = keras.metrics.get(function)
    if isinstance(found, keras.metrics.Metric):
        return type(found)(name=name)
    return keras.metrics.MeanMetricWrapper(found, name=name)


def _listed(names):
    return "".join(f"{name!r}, " for name in names)
