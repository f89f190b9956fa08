"""What `compile()` of a task does when nothing is said."""

import logging
import math
import numbers

import keras

from tfzoo.data.pipelines import require_whole
from tfzoo.errors import shown
from tfzoo.layers.keywords import known_keywords
from tfzoo.tasks.keras_names import loss_of_logits, metric_of_logits
from tfzoo.training.distribution import require_supported
from tfzoo.training.optimizers import AdamW
from tfzoo.training.precision import scaled
from tfzoo.training.schedules import PlannedSchedule, WarmupLinearDecay

logger = logging.getLogger("tfzoo")

# The defaults of what the automatic optimizer takes: google-research/bert
OF_OPTIMIZER = {
    "learning_rate": 5e-5,
    "total_steps": None,
    "warmup_fraction": 0.1,
    "weight_decay": 0.01,
    "clip_norm": 1.0,
}
# What goes on to Keras, and to `FiniteUpdates`
OF_KERAS = (
    *("loss_weights", "run_eagerly", "steps_per_execution", "auto_scale_loss"),
    "on_non_finite",
)


class AutoCompile:
    """A mix-in: AdamW with warm-up and linear decay, and the task's own loss.

    A task defines `default_loss(label_smoothing)`, `default_metrics()` and `learns`:
    "classes", "multi_label", "numbers" or None, what Keras's names of losses and
    metrics are read for.
    """

    learns = None
    weighs_positions = False  # whether weights of 0 leave out padding and the like
    other_losses = ()  # classes that take the targets of the task's own loss
    jit_compiled = False  # whether XLA compiles the training step
    has_own_loss = False  # whether the loss is none of the task's kind
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
        """Prepares training; every argument has the default of BERT.

        Args:
            optimizer: `"auto"` is AdamW as five of the next arguments say, without
                decay on biases and normalisations; or any Keras optimizer, which brings
                its own, so that none of the five goes with it.
            loss: `"auto"` is the task's own, normalised over all replicas; Keras's
                name of a loss is the form of it that takes logits.
            metrics: As in Keras; names are those of forms that take logits. Where
                weights leave out padding or unlearned words, they count here too.
            weighted_metrics: `"auto"` is the task's own, otherwise as `metrics`.
            learning_rate: Its peak; 5e-5.
            total_steps: Steps until the learning rate is 0. None, the default, derives
                it in each `fit` from epochs and data.
            warmup_fraction: Share of the steps in which the rate rises, 0 to 1; 0.1.
            weight_decay: Decoupled decay per step, times the learning rate; 0.01.
            clip_norm: Largest global norm of the gradients; None never clips; 1.0.
            label_smoothing: Share of the target spread over all classes, 0 to 1; of the
                task's own loss.
            jit_compile: Whether XLA compiles the training step, once per shape.
            **kwargs: As in `keras.Model.compile`.

        Raises:
            ValueError: an argument is outside its range or has no effect beside
                another, or a loss or metric takes probabilities.
            TypeError: an argument is none that `compile` takes.
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
                f"An optimizer brings its own {' and '.join(given)}: give them to it, "
                f"or leave optimizer='auto'. Received: optimizer={optimizer!r}, "
                + ", ".join(f"{name}={value!r}" for name, value in given.items())
            )
        if label_smoothing and own_loss:
            raise ValueError(
                "label_smoothing belongs to the task's own loss; give it to the loss. "
                f"Received: loss={loss!r}, label_smoothing={label_smoothing}"
            )
        _check_ranges(given)
        if jit_compile not in (True, False, "auto"):
            raise ValueError(
                f"jit_compile must be True, False or 'auto'. Received: {jit_compile!r}"
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
        self.jit_compiled = bool(jit_compile)  # which the defaults depend on
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
        """Keras's `compile`, with losses, metrics and an optimizer as it knows them."""
        require_supported(
            optimizer=arguments["optimizer"],
            jit_compile=arguments["jit_compile"],
            steps_per_execution=arguments.get("steps_per_execution", 1),
        )
        # Keras keeps the losses and metrics of an earlier call where none comes.
        self._compile_loss = self._compile_metrics = None
        super().compile(**arguments)
        # Not tracked by Keras, which would report its metrics for ever.
        object.__setattr__(self, "_compile_arguments", arguments)
        self.jit_compiled = bool(arguments["jit_compile"])
        inner = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        schedule = getattr(inner, "schedule", None)
        self._schedule = schedule if isinstance(schedule, PlannedSchedule) else None
        self.has_own_loss = self._has_own_targets(arguments["loss"])

    def _has_own_targets(self, loss):
        """Whether a loss takes other targets than the task's own."""
        known = {type(part) for part in keras.tree.flatten(self.default_loss(0.0))}
        losses = {type(part) for part in keras.tree.flatten(loss)}
        return not losses <= {*known, *self.other_losses}

    def _joined(self, first, second):
        """Two of what Keras takes as metrics, as one: a list, or a dict by output."""
        if not isinstance(self.output, dict) or len(self.output) == 1:
            return _metrics_of(first) + _metrics_of(second)
        names, joined = [*self.output], {}
        for metrics in (first or {}, second or {}):
            if not isinstance(metrics, dict) or not {*metrics} <= {*names}:
                raise ValueError(
                    f"Metrics of a {type(self).__name__} must be a dict of a list for "
                    f"each output: {' and '.join(names)}. Received: {shown(metrics)}"
                )
            for name, part in metrics.items():
                joined[name] = joined.get(name, []) + _metrics_of(part)
        return joined

    def get_metrics_result(self):
        """As in Keras, but a metric's own name goes before a figure of several.

        Of two metrics with several figures, the first's win: those of `metrics`.
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
        """Gives an automatic optimizer the schedule of this `fit`.

        Nothing is traced anew: the schedule is state. The optimizer's moments go on.

        Args:
            steps_per_epoch: Batches of an epoch; None: they cannot be counted.
            epochs: Number of the last epoch.
            initial_epoch: Number of epochs that the schedule has behind it.

        Raises:
            ValueError: the batches cannot be counted.
        """
        if self._schedule is None:
            return
        if steps_per_epoch is None:
            raise ValueError(
                "The number of batches of this data is unknown, and the learning rate "
                "needs it: compile(total_steps=...) or fit(steps_per_epoch=...). "
                "Received: total_steps=None, steps_per_epoch=None"
            )
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        done = int(keras.ops.convert_to_numpy(optimizer.iterations))
        total = steps_per_epoch * epochs
        if done and not initial_epoch:
            logger.warning(
                "The optimizer's moments go on from step %d, the learning rate begins "
                "a new schedule of %d steps; initial_epoch continues one.",
                done,
                total,
            )
        self._schedule.plan(total, begin=done - steps_per_epoch * initial_epoch)

    def require_planned(self, method):
        """Raises `ValueError` where the schedule of the learning rate is not known."""
        if self._schedule is not None and not self._schedule.is_planned:
            raise ValueError(
                f"{method} needs to know when the learning rate reaches 0: "
                "compile(total_steps=...). Received: total_steps=None"
            )

    def get_compile_config(self):
        if not self.compiled:
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
    """Keras's optimizer of that name, or the optimizer itself."""
    try:
        found = keras.optimizers.get(optimizer)
    except ValueError:
        found = None
    if found is None:
        raise ValueError(
            "optimizer must be 'auto', Keras's name of an optimizer or an optimizer. "
            f"Received: {shown(optimizer)}"
        )
    return found


def _check_ranges(given):
    rules = {
        "learning_rate": (lambda x: x > 0, "a finite number over 0"),
        "total_steps": (
            lambda x: x >= 1 and isinstance(x, numbers.Integral),
            "a whole number from 1, or None",
        ),
        "warmup_fraction": (lambda x: 0 <= x <= 1, "0 to 1"),
        "weight_decay": (lambda x: x >= 0, "a finite number from 0"),
        "clip_norm": (lambda x: x > 0, "a finite number over 0, or None"),
    }
    for name, value in given.items():
        accepts, rule = rules[name]
        if value is None and "None" in rule:
            continue
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not accepts(value):
            raise ValueError(f"{name} must be {rule}. Received: {value!r}")
