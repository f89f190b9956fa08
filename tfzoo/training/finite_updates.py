"""Training steps that change nothing if they are not finite.

A NaN in one weight spreads to all of them and into every later checkpoint. So each step
checks, between gradients and update, that loss, gradients and learning rate are finite,
and leaves weights, optimizer and metrics unchanged if they are not. The host reads the
outcome after the batch, and `faults` decides what to do.
"""

import contextlib
import inspect
import sys
import types

import keras

from tfzoo.errors import TfzooError
from tfzoo.training.faults import FIX, Watching, broken_rule, require_policy
from tfzoo.training.keras_callbacks import require_usable
from tfzoo.training.optimizers import AdamW, half_square, norm_of

MIN_LOSS_SCALE = 1e-4  # fairseq's; below it, float16 gradients will never be finite


class Guard:
    """The state of a guarded training step, kept on the device.

    Its variables belong to no model, so that they are in no checkpoint.

    Args:
        model: A built and compiled `keras.Model`.
    """

    def __init__(self, model):
        self.weights = list(model.weights)
        self._places = {id(w): i for i, w in enumerate(self.weights)}
        with model.distribute_strategy.scope():
            if not model.optimizer.built:  # variables cannot be created in a branch
                model.optimizer.build(model.trainable_variables)
            self._counts = _variable([0, 0, 0, 0], "int64")
            self._figures = _variable([0.0] * (2 + len(self.weights)), "float32")
            self._stops = _variable(value=False, dtype="bool")
            self._withheld = _variable(value=False, dtype="bool")

    def reset(self, *, stops):
        """Resets counts and figures.

        Args:
            stops: Whether the first fault blocks all updates until the next reset.
        """
        self._counts.assign([0, 0, 0, 0])
        self._figures.assign([0.0] * (2 + len(self.weights)))
        self._stops.assign(stops)
        self.withhold(withheld=False)

    def withhold(self, *, withheld):
        """Sets whether updates are skipped from now on, without counting as faults."""
        self._withheld.assign(withheld)

    def counts(self):
        """(batches seen, faults, number of the first fault, latest faults in a row)."""
        return tuple(int(n) for n in self._counts.numpy())

    def figures(self):
        """Describes the first fault.

        Returns:
            (loss, learning rate, paths of the weights with a non-finite gradient).
        """
        loss, rate, *squares = self._figures.numpy().tolist()
        pairs = zip(self.weights, squares, strict=True)
        return loss, rate, [w.path for w, s in pairs if s - s != 0]

    def accepts(self, loss, half_squares, variables, optimizer):
        """Decides whether a step may update; counts and records it if not.

        Args:
            loss: Scalar.
            half_squares: The `half_square` of each variable's gradient.
            variables: The model's trainable weights.
            optimizer: The model's optimizer.

        Returns:
            Boolean scalar, the same in every replica.
        """
        import tensorflow as tf

        figures = [tf.zeros((), "float32")] * len(self.weights)
        for square, variable in zip(half_squares, variables, strict=True):
            figures[self._places[id(variable)]] = square
        figures = tf.stack([tf.cast(loss, "float32"), *figures])
        replica = tf.distribute.get_replica_context()
        if replica.num_replicas_in_sync > 1:
            figures = replica.all_reduce(tf.distribute.ReduceOp.SUM, figures)
        loss, squares = figures[0], figures[1:]
        rate = tf.cast(optimizer.learning_rate, "float32")
        finite = tf.math.is_finite(tf.reduce_sum(squares))
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            # Gradients may overflow here; it then lowers the scale and does not update.
            finite |= tf.convert_to_tensor(optimizer.dynamic_scale) > MIN_LOSS_SCALE
        finite &= tf.math.is_finite(loss) & tf.math.is_finite(rate)
        counts = tf.convert_to_tensor(self._counts)
        stopped = tf.convert_to_tensor(self._stops) & (counts[1] > 0)
        withheld = tf.convert_to_tensor(self._withheld)
        fault = ~finite & ~withheld & ~stopped
        first = fault & (counts[1] == 0)
        one = tf.cast(fault, "int64")
        seen = counts[0] + 1
        self._counts.assign(
            tf.stack(
                [
                    seen,
                    counts[1] + one,
                    tf.where(first, seen, counts[2]),
                    (counts[3] + one) * one,
                ]
            )
        )
        figures = tf.concat([[loss, rate], squares], 0)
        self._figures.assign(tf.where(first, figures, self._figures))
        return finite & ~withheld & ~stopped


def guarded_step(model, guard, data):
    """Keras's training step, except that it changes nothing if it is not finite.

    Args:
        model: A compiled `keras.Model` with a built optimizer.
        guard: Its `Guard`.
        data: A batch, as in `keras.Model.train_step`.

    Returns:
        Dict of the logs, which do not include skipped batches.
    """
    import tensorflow as tf

    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    with tf.GradientTape() as tape:
        y_pred = model(x, **_training(model.call))
        loss = model.compute_loss(
            x=x,
            y=y,
            y_pred=y_pred,
            sample_weight=sample_weight,
            **_training(model.compute_loss),
        )
        scaled = model.optimizer.scale_loss(loss)
    variables = model.trainable_weights
    gradients = tape.gradient(scaled, variables)
    if isinstance(model.optimizer, AdamW):  # which sums repeated rows of sparse ones
        gradients = [None if g is None else tf.convert_to_tensor(g) for g in gradients]
    half_squares = [_half_square(gradient) for gradient in gradients]
    accepted = guard.accepts(loss, half_squares, variables, model.optimizer)
    metrics = model.metrics_variables
    before = [tf.identity(m.value) for m in metrics]
    rows = tf.shape(next(i for i in keras.tree.flatten(x) if i is not None))[0]
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    tracker = next(m for m in model.metrics if m.name == "loss")
    tracker.update_state(loss if replicas == 1 else loss * replicas, rows)
    _apply(model.optimizer, gradients, variables, accepted, norm_of(half_squares))
    model.compute_metrics(x, y, y_pred, sample_weight=sample_weight)
    for metric, value in zip(metrics, before, strict=True):
        metric.assign(tf.where(accepted, metric.value, value))
    return model.get_metrics_result()


def can_be_guarded(model):
    """Whether `guarded` knows the model's training step."""
    own = (FiniteUpdates.train_step, keras.Model.train_step)
    return type(model).train_step in own


@contextlib.contextmanager
def guarded(model):
    """Guards a model's training steps within the block, if possible.

    `model.guard` is then its `Guard`; a model with its own training step has none.
    """
    if isinstance(model, FiniteUpdates) or not can_be_guarded(model):
        yield
        return
    guard = Guard(model)

    def train_step(self, data):
        return guarded_step(self, guard, data)

    vars(model).update(guard=guard, train_step=types.MethodType(train_step, model))
    model.train_function = None
    try:
        yield
    finally:
        del vars(model)["guard"], vars(model)["train_step"]
        model.train_function = None


def _apply(optimizer, gradients, variables, accepted, norm):
    """Applies the gradients, or leaves everything unchanged."""
    import tensorflow as tf

    if not tf.distribute.has_strategy():
        known = {"global_norm": norm} if isinstance(optimizer, AdamW) else {}

        def update():
            optimizer.apply(gradients, variables, **known)
            return True

        tf.cond(accepted, update, lambda: False)
        return
    # Replicas synchronize in an update, which cannot be in a branch.
    if isinstance(optimizer, AdamW) and optimizer.fuses(variables):
        optimizer.apply_where(accepted, gradients, variables)
        return
    changing = [v.value for v in (*variables, *optimizer.variables)]
    before = [tf.identity(v) for v in changing]
    optimizer.apply(gradients, variables)

    def restore(variable, value, accepted):
        variable.assign(tf.where(accepted, variable, value))

    def restore_all(strategy, before, accepted):
        for variable, value in zip(changing, before, strict=True):
            strategy.extended.update(
                variable, restore, args=(value, accepted), group=False
            )

    replica = tf.distribute.get_replica_context()
    replica.merge_call(restore_all, args=(before, accepted))


def _half_square(gradient):
    """`half_square` of a gradient, or of a sparse one's rows; 0 if there is none."""
    import tensorflow as tf

    if gradient is None:
        return tf.zeros((), "float32")
    if isinstance(gradient, tf.IndexedSlices):
        gradient = gradient.values
    return half_square(gradient)


def _training(method):
    """`training=True` as keyword arguments, if the method accepts it."""
    parameters = inspect.signature(method).parameters.values()
    takes = any(p.name == "training" or p.kind == p.VAR_KEYWORD for p in parameters)
    return {"training": True} if takes else {}


def _variable(value, dtype):
    return keras.Variable(
        value, dtype=dtype, trainable=False, aggregation="only_first_replica"
    )


class FiniteUpdates:
    """Mixin, placed before `keras.Model`, that never applies a non-finite update.

    Attributes:
        on_non_finite: What `fit` does instead; see `compile`.
        guard: The `Guard` of the traced training step; None before there is one.
    """

    on_non_finite = "stop"
    guard = None
    _trained = None  # ids of the weights that the optimizer is built for

    def compile(self, *arguments, on_non_finite="stop", **options):
        """As in Keras.

        Args:
            *arguments: As in Keras.
            on_non_finite: What to do if a loss or a gradient is not finite; nothing is
                updated then. "stop" raises a `TfzooError` that names the step and its
                examples; "skip" skips the update, with a warning for the first one and
                a total at the end; "rewind", only in a `Run`, goes back to the last
                checkpoint and skips the update from there.
            **options: As in Keras.
        """
        self.on_non_finite = require_policy(on_non_finite)
        vars(self)["_trained"] = None
        super().compile(*arguments, **options)

    def note_trained(self):
        """Stores which weights the optimizer is built for, until `compile`."""
        vars(self)["_trained"] = [id(v) for v in self.trainable_variables]

    def make_train_function(self, force=False):
        before, now = self._trained, [id(v) for v in self.trainable_variables]
        if before not in (None, now):
            raise ValueError(
                "compile must be called again after trainable is changed. Received: "
                f"{len(now)} trainable weights, compiled with {len(before)}"
            )
        self.note_trained()
        if self.train_function is None or force:
            vars(self)["guard"] = Guard(self)
        return super().make_train_function(force)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """As in Keras, which adds the replicas' batches: they may differ in size."""
        strategy = self.distribute_strategy
        if iterator is not None and strategy.num_replicas_in_sync > 1:
            steps = next(iter(iterator))[-1]
            data_batch = keras.tree.map_structure(
                lambda x: strategy.experimental_local_results(x)[0], next(steps)
            )
            iterator = None
        super()._maybe_symbolic_build(iterator, data_batch)

    def train_step(self, data):
        return guarded_step(self, self.guard, data)

    def fit(self, *arguments, callbacks=None, examples=None, **options):
        """As in Keras.

        Args:
            *arguments: As in Keras.
            callbacks: As in Keras.
            examples: Function of a step of this `fit` (from 1) that returns a
                description of its examples. None if they are not known.
            **options: As in Keras.
        """
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = callbacks.callbacks
        callbacks = keras.tree.flatten(callbacks) if callbacks else []
        if self.compiled:  # else Keras says so
            require_usable(callbacks, self.optimizer)
        if not any(isinstance(c, Watching) for c in callbacks):  # a Run has its own
            policy = require_policy(self.on_non_finite, ("stop", "skip"))
            callbacks.insert(0, Watching(policy, examples=examples, others=callbacks))
        return super().fit(*arguments, callbacks=callbacks, **options)

    def train_on_batch(self, *arguments, **options):
        """As in Keras; raises a `TfzooError` or warns if the update is not finite."""
        policy = require_policy(self.on_non_finite, ("stop", "skip"))
        self.make_train_function()
        self.guard.reset(stops=False)
        logs = super().train_on_batch(*arguments, **options)
        if self.guard.counts()[1]:
            rule = f"{broken_rule(self.guard)} in this batch."
            if policy == "stop":
                raise TfzooError(rule, fix=FIX)
            print(f"warning: {rule} This update is skipped.", file=sys.stderr)
        return logs
