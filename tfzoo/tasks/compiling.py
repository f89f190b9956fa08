"""`compile` with defaults for every argument."""

import logging
import math
import numbers

import keras

from tfzoo.errors import require_whole, shown
from tfzoo.layers.keywords import known_keywords
from tfzoo.tasks.keras_names import loss_of_logits, metric_of_logits
from tfzoo.training.distribution import require_supported
from tfzoo.training.optimizers import AdamW
from tfzoo.training.precision import scaled
from tfzoo.training.schedules import PlannedSchedule, WarmupLinearDecay

logger = logging.getLogger("tfzoo")

# Default arguments of the automatic optimizer: google-research/bert
OF_OPTIMIZER = {
    "learning_rate": 5e-5,
    "total_steps": None,
    "warmup_fraction": 0.1,
    "weight_decay": 0.01,
    "clip_norm": 1.0,
}
# Arguments for Keras, and for `FiniteUpdates`
OF_KERAS = (
    *("loss_weights", "run_eagerly", "steps_per_execution", "auto_scale_loss"),
    "on_non_finite",
)


class AutoCompile:
    """Mixin: AdamW with warmup and linear decay, and the task's own loss.

    A task defines `default_loss(label_smoothing)`, `default_metrics()` and `learns`:
    "classes", "multi_label", "numbers" or None, the kind of targets for which Keras's
    names of losses and metrics are resolved.
    """

    learns = None
    weighs_positions = False  # whether weights of 0 mask padding and the like
    other_losses = ()  # classes with the same targets as the task's own loss
    jit_compiled = False  # whether XLA compiles the training step
    has_own_loss = False  # whether the user's loss has other targets than the task's
    _schedule = None  # of the automatic optimizer, planned by each `fit`

    @known_keywords(*OF_KERAS)
    def compile(
        self,
        optimizer="auto",
        loss="auto",
        *,
        metrics=None,
        weighted_metrics="auto",
        learning_rate=...,
        total_steps=...,
        warmup_fraction=...,
        weight_decay=...,
        clip_norm=...,
        label_smoothing=0.0,
        jit_compile=False,
        **kwargs,
    ):
        """Configures training. All arguments default to the values of BERT.

        Args:
            optimizer: `"auto"` for AdamW with `learning_rate`, `total_steps`,
                `warmup_fraction`, `weight_decay` and `clip_norm`, and no decay of
                biases and normalization weights; or any Keras optimizer, with which
                these five are not allowed.
            loss: `"auto"` for the task's own loss, normalized over all replicas; or as
                in Keras, where names mean the form of a loss that takes logits.
            metrics: As in Keras, where names mean the forms of metrics that take
                logits. Weights that mask padding or ignored words apply here, too.
            weighted_metrics: `"auto"` for the task's own metrics; or as in `metrics`.
            learning_rate: Peak learning rate. Defaults to 5e-5.
            total_steps: Number of steps until the learning rate is 0. Defaults to None,
                which derives it in each `fit` from the epochs and the data.
            warmup_fraction: Fraction of the steps in which the learning rate rises, in
                [0, 1]. Defaults to 0.1.
            weight_decay: Decoupled decay per step, times the learning rate. Defaults to
                0.01.
            clip_norm: Maximum global norm of the gradients, or None. Defaults to 1.0.
            label_smoothing: Fraction of the target that is spread over all classes, in
                [0, 1); only for the task's own loss.
            jit_compile: Whether XLA compiles the training step, once per shape.
            **kwargs: As in `keras.Model.compile`.

        Raises:
            ValueError: an argument is out of range or has no effect with another, or a
                loss or metric takes probabilities.
            TypeError: an argument is unknown.
        """
        given = {
            "learning_rate": learning_rate,
            "total_steps": total_steps,
            "warmup_fraction": warmup_fraction,
            "weight_decay": weight_decay,
            "clip_norm": clip_norm,
        }
        given = {name: value for name, value in given.items() if value is not ...}
        auto = isinstance(optimizer, str) and optimizer == "auto"
        own_loss = not (isinstance(loss, str) and loss == "auto")
        if given and not auto:
            raise ValueError(
                f"{' and '.join(given)} must be set on the optimizer itself unless "
                f"optimizer='auto'. Received: optimizer={shown(optimizer)}, "
                + ", ".join(f"{name}={shown(value)}" for name, value in given.items())
            )
        if label_smoothing and own_loss:
            raise ValueError(
                "label_smoothing applies only to the task's own loss; set it on the "
                f"loss. Received: loss={shown(loss)}, label_smoothing={label_smoothing}"
            )
        _check_ranges(given)
        weights = self.backbone.dtype_policy.variable_dtype
        if weights != "float32":
            raise ValueError(
                "Weights must be float32 for training: open the model with another "
                f"dtype, such as 'mixed_bfloat16'. Received: weights in {weights}"
            )
        if jit_compile not in (True, False, "auto"):
            raise ValueError(
                "jit_compile must be True, False or 'auto'. "
                f"Received: {shown(jit_compile)}"
            )
        require_whole("steps_per_execution", kwargs.get("steps_per_execution", 1), 1)
        if kwargs.get("steps_per_execution", 1) is None:
            del kwargs["steps_per_execution"]
        loss = loss_of_logits(loss, self) if own_loss else None
        own_targets = own_loss and self._has_own_targets(loss)
        if metrics is not None:
            metrics = metric_of_logits(metrics, self, own_targets=own_targets)
        own_metrics = not (
            isinstance(weighted_metrics, str) and weighted_metrics == "auto"
        )
        if own_metrics:
            weighted_metrics = metric_of_logits(
                weighted_metrics, self, own_targets=own_targets
            )
        self.jit_compiled = bool(jit_compile)  # the defaults depend on it
        if not own_metrics:
            weighted_metrics = self.default_metrics()
        if metrics and self.weighs_positions:
            weighted_metrics = self._joined(metrics, weighted_metrics)
            metrics = None
        # The model may have been built in the scope of a strategy.
        with self.distribute_strategy.scope():
            if auto:
                optimizer = self._auto_optimizer(**{**OF_OPTIMIZER, **given})
            else:
                optimizer = _keras_optimizer(optimizer)
            if kwargs.get("auto_scale_loss", True):
                optimizer = scaled(optimizer, self.backbone.dtype_name)
            self._compile_keras(
                optimizer=optimizer,
                loss=loss if own_loss else self.default_loss(label_smoothing),
                metrics=metrics,
                weighted_metrics=weighted_metrics,
                jit_compile=jit_compile,
                **kwargs,
            )

    def _compile_keras(self, **arguments):
        """Keras's `compile`, with Keras's losses, metrics and optimizer."""
        require_supported(
            optimizer=arguments["optimizer"],
            jit_compile=arguments["jit_compile"],
            steps_per_execution=arguments.get("steps_per_execution", 1),
        )
        # Keras would keep the losses and metrics of an earlier call if there are none.
        self._compile_loss = self._compile_metrics = None
        super().compile(**arguments)
        # Hidden from Keras, which would report the metrics in it forever.
        object.__setattr__(self, "_compile_arguments", arguments)
        self.jit_compiled = bool(arguments["jit_compile"])
        inner = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        schedule = getattr(inner, "schedule", None)
        self._schedule = schedule if isinstance(schedule, PlannedSchedule) else None
        self.has_own_loss = self._has_own_targets(arguments["loss"])

    def _has_own_targets(self, loss):
        """Whether a loss has other targets than the task's own."""
        known = {type(part) for part in keras.tree.flatten(self.default_loss(0.0))}
        losses = {type(part) for part in keras.tree.flatten(loss)}
        return not losses <= {*known, *self.other_losses}

    def _joined(self, first, second):
        """Joins two `metrics` arguments to a list, or a dict of output -> list."""
        if not isinstance(self.output, dict) or len(self.output) == 1:
            return _metrics_of(first) + _metrics_of(second)
        names, joined = [*self.output], {}
        for metrics in (first or {}, second or {}):
            if not isinstance(metrics, dict) or not {*metrics} <= {*names}:
                raise ValueError(
                    f"Metrics of a {type(self).__name__} must be a dict with a list "
                    f"for each output: {' and '.join(names)}. Received: "
                    f"{shown(metrics)}"
                )
            for name, part in metrics.items():
                joined[name] = joined.get(name, []) + _metrics_of(part)
        return joined

    def get_metrics_result(self):
        """As in Keras, but metrics with a single value take precedence over others.

        Of two metrics with several values, the first takes precedence, that of
        `metrics`.
        """
        results = super().get_metrics_result()
        several = [x for x in results.values() if isinstance(x, dict)]
        figures = {name: x for group in several[::-1] for name, x in group.items()}
        named = {name: x for name, x in results.items() if not isinstance(x, dict)}
        return {**figures, **named}

    def _auto_optimizer(
        self, learning_rate, total_steps, warmup_fraction, weight_decay, clip_norm
    ):
        if total_steps is None:
            schedule = PlannedSchedule(learning_rate, warmup_fraction)
        else:
            warmup_steps = round(warmup_fraction * total_steps)
            schedule = WarmupLinearDecay(learning_rate, warmup_steps, total_steps)
        # Epsilon and betas: google-research/bert optimization.py
        return AdamW(
            schedule, weight_decay=weight_decay, epsilon=1e-6, global_clipnorm=clip_norm
        )

    def plan_steps(self, steps_per_epoch, epochs, initial_epoch=0):
        """Sets the schedule of the automatic optimizer for this `fit`.

        The schedule is state, so nothing is retraced. The optimizer's moments are kept.

        Args:
            steps_per_epoch: Number of batches per epoch, or None if unknown.
            epochs: Number of the last epoch.
            initial_epoch: Number of epochs that the schedule has completed.

        Raises:
            ValueError: the number of batches is unknown.
        """
        if self._schedule is None:
            return
        if steps_per_epoch is None:
            raise ValueError(
                "The learning rate schedule requires the number of batches, which is "
                "unknown for this data: use compile(total_steps=...) or "
                "fit(steps_per_epoch=...). "
                "Received: total_steps=None, steps_per_epoch=None"
            )
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        done = int(keras.ops.convert_to_numpy(optimizer.iterations))
        total = steps_per_epoch * epochs
        if done and not initial_epoch:
            logger.warning(
                "The optimizer's moments continue from step %d, and the learning rate "
                "starts a new schedule of %d steps. To continue the previous schedule, "
                "set initial_epoch.",
                done,
                total,
            )
        self._schedule.plan(total, begin=done - steps_per_epoch * initial_epoch)

    def require_planned(self, method):
        """Raises `ValueError` if the learning rate schedule is not planned."""
        if self._schedule is not None and not self._schedule.is_planned:
            raise ValueError(
                f"{method} requires compile(total_steps=...), the step at which the "
                "learning rate reaches 0. Received: total_steps=None"
            )

    def get_compile_config(self):
        if not self.compiled or self.has_adapters:  # which are merged in the file
            return None
        return keras.saving.serialize_keras_object(dict(self._compile_arguments))

    def compile_from_config(self, config):
        self._compile_keras(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)
            self.note_trained()


def _metrics_of(metrics):
    return [part for part in keras.tree.flatten(metrics) if part is not None]


def _keras_optimizer(optimizer):
    """The Keras optimizer with that name, or the optimizer itself."""
    try:
        found = keras.optimizers.get(optimizer)
    except ValueError:
        found = None
    if found is None:
        raise ValueError(
            "optimizer must be 'auto', the name of a Keras optimizer or an optimizer. "
            f"Received: {shown(optimizer)}"
        )
    return found


def _check_ranges(given):
    rules = {
        "learning_rate": (lambda x: x > 0, "a finite number > 0"),
        "total_steps": (
            lambda x: x >= 1 and isinstance(x, numbers.Integral),
            "an integer >= 1, or None",
        ),
        "warmup_fraction": (lambda x: 0 <= x <= 1, "in [0, 1]"),
        "weight_decay": (lambda x: x >= 0, "a finite number >= 0"),
        "clip_norm": (lambda x: x > 0, "a finite number > 0, or None"),
    }
    for name, value in given.items():
        accepts, rule = rules[name]
        if value is None and "None" in rule:
            continue
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not accepts(value):
            raise ValueError(f"{name} must be {rule}. Received: {shown(value)}")
