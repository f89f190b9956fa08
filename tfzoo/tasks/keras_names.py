"""Resolves Keras's names of losses and metrics to forms that take logits.

In Keras, `"binary_crossentropy"` is the loss of probabilities. With logits, it silently
learns nothing, or the wrong thing.
"""

import inspect

import keras

from tfzoo.errors import shown
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


# Names of Keras classes and functions that take probabilities, or class indices, with
# any arguments.
_OF_PROBABILITIES = {
    *("KLDivergence", "kl_divergence", "Poisson", "poisson"),
    *("Dice", "dice", "Tversky", "tversky", "Accuracy"),
    *("PrecisionAtRecall", "RecallAtPrecision"),
    *("SensitivityAtSpecificity", "SpecificityAtSensitivity"),
}
# Metrics that do not take class indices as targets, and what to use instead.
_OF_HOT_TARGETS = {
    **dict.fromkeys(
        (
            *("AUC", "Precision", "Recall", "TruePositives", "TrueNegatives"),
            *("FalsePositives", "FalseNegatives", "F1Score", "FBetaScore"),
            *("BinaryAccuracy", "binary_accuracy", "BinaryIoU"),
            *("BinaryCrossentropy", "binary_crossentropy"),
            *("CategoricalHinge", "categorical_hinge", "OneHotIoU", "OneHotMeanIoU"),
            *("Hinge", "hinge", "SquaredHinge", "squared_hinge"),
        ),
        "the task's own metrics",
    ),
    **dict.fromkeys(
        ("CategoricalAccuracy", "categorical_accuracy"), "SparseCategoricalAccuracy()"
    ),
    **dict.fromkeys(
        ("TopKCategoricalAccuracy", "top_k_categorical_accuracy"),
        "SparseTopKCategoricalAccuracy()",
    ),
    **dict.fromkeys(
        ("CategoricalCrossentropy", "categorical_crossentropy"),
        "SparseCategoricalCrossentropy(from_logits=True)",
    ),
}


def loss_of_logits(loss, task):
    """Converts the argument `loss` of `compile` to a form that takes logits.

    Args:
        loss: A name, a loss, its class or a function, or a dict or list of these by
            output.
        task: The task; its `learns` is the kind of its targets.

    Raises:
        ValueError: there is no such form, or a loss takes probabilities.
    """
    if isinstance(loss, dict):
        return {name: loss_of_logits(part, task) for name, part in loss.items()}
    if isinstance(loss, list | tuple):
        return [loss_of_logits(part, task) for part in loss]
    loss = _instance(loss)
    name = _keras_name(loss, keras.losses)
    if name is None:
        _refuse_probabilities(loss, task)
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
        f"must be 'auto', {_listed(known)}or an object that takes logits. "
        f"Received: {shown(name)}"
    )


def metric_of_logits(metric, task, *, own_targets=False):
    """Converts the argument `metrics` of `compile` to forms that take logits.

    Args:
        metric: None, a name, a metric or its class, or a list or dict of these.
        task: As in `loss_of_logits`.
        own_targets: Whether the targets are those of a custom loss.

    Raises:
        ValueError: as in `loss_of_logits`.
    """
    if metric is None:
        return None
    if isinstance(metric, dict):
        return {
            name: metric_of_logits(part, task, own_targets=own_targets)
            for name, part in metric.items()
        }
    if isinstance(metric, list | tuple):
        return [
            metric_of_logits(part, task, own_targets=own_targets) for part in metric
        ]
    metric = _instance(metric)
    name = _keras_name(metric, keras.metrics)
    if name is None:
        if task.learns == "classes" and not own_targets:
            _refuse_hot_targets(metric, task)
        _refuse_other_labels(metric, task)
        _refuse_probabilities(metric, task)
        return metric
    known = _METRICS.get(task.learns, {})
    if name.lower() not in known:
        raise ValueError(
            f"The outputs of a {type(task).__name__} are logits, not probabilities. A "
            f"metric must be 'auto', {_listed(known)}or an object that takes logits. "
            f"Received: {shown(name)}"
        )
    return known[name.lower()](name)


def _keras_name(value, module):
    """A name given as such or by a Keras function; otherwise None."""
    if isinstance(value, str):
        return value
    name = getattr(value, "__name__", None)
    if name and getattr(module, name, None) is value and not isinstance(value, type):
        return name
    return None


def _instance(value):
    """Instantiates a Keras class; returns anything else unchanged."""
    kinds = keras.losses.Loss | keras.metrics.Metric
    return value() if isinstance(value, type) and issubclass(value, kinds) else value


def _known(value):
    """(Keras's name of a loss or metric, its arguments); (None, {}) if not Keras's.

    A user's subclass may convert logits to what it needs, so it has no name.
    """
    if not isinstance(value, keras.losses.Loss | keras.metrics.Metric):
        return None, {}
    kind = type(value)
    function = getattr(value, "_fn", None) or getattr(value, "fn", None)
    if kind.__name__ in ("MeanMetricWrapper", "LossFunctionWrapper") and function:
        name = _keras_name(function, keras.metrics)
        name = name or _keras_name(function, keras.losses)
        if name is None:
            return None, {}
        parameters = inspect.signature(function).parameters.values()
        defaults = {p.name: p.default for p in parameters}
        return name, {**defaults, **getattr(value, "_fn_kwargs", {})}
    ours = kind.__module__.partition(".")[0] == "keras"
    return kind.__name__ if ours else None, value.get_config()


def _refuse_probabilities(value, task):
    name, config = _known(value)
    if config.get("from_logits") is False:
        raise ValueError(
            "from_logits must be True, because the outputs of a task are logits. "
            f"Received: {name or type(value).__name__}(from_logits=False)"
        )
    if name is None or config.get("from_logits"):
        return
    if name in ("F1Score", "FBetaScore"):
        if config["threshold"] is None and task.learns != "multi_label":
            return  # the most likely class
        raise ValueError(
            f"The outputs of a task are logits, but {name} takes probabilities: use "
            "the task's own metrics, which include f1, or a subclass that takes "
            f"logits. Received: {name}(threshold={config['threshold']})"
        )
    if name in _OF_PROBABILITIES or config.get("sparse_y_pred"):
        raise ValueError(
            f"The outputs of a task are logits, which {name} does not take: use "
            "'auto', or a function or subclass that converts logits to what it takes. "
            f"Received: {name}"
        )
    for key in ("threshold", "thresholds"):
        if key not in config or config.get("top_k") is not None:
            continue
        given = 0.5 if config[key] is None else config[key]
        if any(0 < x <= 1 for x in keras.tree.flatten(given)):
            raise ValueError(
                f"{key} must be a logit, such as 0.0 for a probability of 0.5, because "
                "the outputs of a task are logits. "
                f"Received: {name}({key}={given})"
            )


def _refuse_hot_targets(metric, task):
    name, _ = _known(metric)
    if name in _OF_HOT_TARGETS:
        raise ValueError(
            f"The targets of a {type(task).__name__} are class indices, which {name} "
            f"does not take: use {_OF_HOT_TARGETS[name]}. Received: {name}"
        )


def _refuse_other_labels(metric, task):
    """Raises `ValueError` if a metric is for other classes than the task's."""
    if task.labels is None or not isinstance(metric, metrics.Figures):
        return
    count = len(task.labels)
    ours = {"num_classes": count, "num_labels": count, "labels": [*task.labels]}
    for name, value in ours.items():
        if (given := getattr(metric, name, value)) != value:
            raise ValueError(
                f"{type(metric).__name__} must have the labels of the task, "
                f"{name}={shown(value)}. Received: {name}={shown(given)}"
            )


def _of_numbers(function, name):
    found = keras.metrics.get(function)
    if isinstance(found, keras.metrics.Metric):
        return type(found)(name=name)
    return keras.metrics.MeanMetricWrapper(found, name=name)


def _listed(names):
    return "".join(f"{name!r}, " for name in names)
