"""AdamW with a single pass over memory per step.

Keras's update is a chain of array operations, each a pass over memory with its own
buffer; TensorFlow has a single operation for the whole chain.
"""

import functools
import math
import re
import warnings

import keras

LARGE = 1 << 20  # number of elements above which compiling the decay pays off
BIASES_AND_NORMS = r"norm|(^|[/_])(bias|gamma|beta|scale)$"


@keras.saving.register_keras_serializable("tfzoo")
class AdamW(keras.optimizers.AdamW):
    """Adam with decoupled weight decay: Keras's results up to rounding, but faster.

    It differs from `keras.optimizers.AdamW` as follows:

    - Biases and normalization parameters do not decay, not even after a reload: they
      are identified by the variables' paths whenever the optimizer is built.
    - `global_clipnorm` clips the sum of all replicas' gradients, as on a single device.
      Keras clips each replica's share separately.
    - A sparse gradient is equivalent to the dense one. Keras squares repeated rows (a
      token that occurs twice) before summing them.

    On the TensorFlow backend the update is one fused operation per variable. Other
    backends, `amsgrad`, `use_ema`, `clipnorm`, `clipvalue`, `loss_scale_factor`,
    `gradient_accumulation_steps`, constraints, and variables that are overwritten by
    their gradient (float8) use Keras's own update, which is rejected under a strategy
    with several replicas.

    Args:
        learning_rate: A float or a `LearningRateSchedule`.
        weight_decay: Weight decay coefficient, multiplied by the learning rate: a
            weight loses this fraction per unit of learning rate.
        undecayed: Regular expression; variables do not decay if it is found in their
            path.
        **options: Other arguments of `keras.optimizers.AdamW`.

    Source: Loshchilov & Hutter 2017, https://arxiv.org/abs/1711.05101; which variables
    decay: Devlin et al. 2018, https://github.com/google-research/bert.
    """

    def __init__(
        self,
        learning_rate=0.001,
        weight_decay=0.01,
        *,
        undecayed=BIASES_AND_NORMS,
        **options,
    ):
        super().__init__(learning_rate, weight_decay=weight_decay, **options)
        self.undecayed = undecayed
        is_schedule = isinstance(
            learning_rate, keras.optimizers.schedules.LearningRateSchedule
        )
        self.schedule = learning_rate if is_schedule else None
        _require_finite(self, learning_rate)

    def get_config(self):
        return {**super().get_config(), "undecayed": self.undecayed}

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Not supported, because Keras loses it on reload; use `undecayed`."""
        raise ValueError(
            "Variables without weight decay must be given as the argument undecayed "
            f"of AdamW. Received: var_list={var_list}, var_names={var_names}"
        )

    def build(self, variables):
        if self.built:
            return
        super().exclude_from_weight_decay([v for v in variables if not self.decays(v)])
        super().build(variables)

    def decays(self, variable):
        """Whether weight decay applies to a variable."""
        path = getattr(variable, "path", variable.name)
        return re.search(self.undecayed, path) is None

    def apply(self, grads, trainable_variables=None, global_norm=None):
        """Updates the variables; called in every replica, like Keras's.

        Args:
            grads: A gradient, or None, for each variable.
            trainable_variables: Defaults to those it was built with.
            global_norm: Global norm of the gradients, if already known; only with a
                single replica.
        """
        if keras.backend.backend() != "tensorflow":
            return super().apply(grads, trainable_variables)
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        variables = list(trainable_variables)
        reason = self._unfused(variables)
        if reason is None:
            return self._apply_fused(list(grads), variables, global_norm=global_norm)
        import tensorflow as tf

        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas > 1:
            raise ValueError(
                f"{reason} must not be set under a strategy with several replicas, "
                "where Keras applies it to each replica separately. "
                f"Received: {replicas} replicas"
            )
        return super().apply(grads, variables)

    def apply_where(self, accepted, grads, variables):
        """Updates if `accepted` is true, and otherwise leaves every bit unchanged.

        Args:
            accepted: Scalar boolean, the same in every replica.
            grads: Gradients; may be anything if not accepted.
            variables: Trainable variables for which `fuses` is True.
        """
        self._apply_fused(list(grads), variables, accepted)

    def fuses(self, variables):
        """Whether these variables are updated by the fused operation."""
        return self._unfused(variables) is None

    def _unfused(self, variables):
        """The first option in use that the fused update lacks, or None."""
        options = (
            "amsgrad",
            "use_ema",
            "clipnorm",
            "clipvalue",
            "loss_scale_factor",
            "gradient_accumulation_steps",
        )
        for option in options:
            if getattr(self, option):
                return option
        for trait in ("constraint", "overwrite_with_gradient"):
            if any(getattr(v, trait, None) for v in variables):
                return f"A variable's {trait}"
        return None

    def _apply_fused(self, gradients, variables, accepted=None, global_norm=None):
        import tensorflow as tf

        if not self.built:
            self.build(variables)
        gradients, variables = _with_gradient(gradients, variables)
        gradients = [tf.convert_to_tensor(g) for g in gradients]  # sums repeated rows
        if accepted is not None:
            gradients = [tf.where(accepted, g, tf.zeros_like(g)) for g in gradients]
        replica = tf.distribute.get_replica_context()
        if replica.num_replicas_in_sync > 1:
            gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        if self.global_clipnorm:
            if global_norm is None:
                global_norm = norm_of([half_square(g) for g in gradients])
            gradients = _clipped(gradients, self.global_clipnorm, global_norm)
        step = tf.cast(self.iterations + 1, "float32")
        rates = {
            "learning_rate": tf.cast(self.learning_rate, "float32"),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "beta_1_power": tf.pow(self.beta_1, step),
            "beta_2_power": tf.pow(self.beta_2, step),
        }
        if accepted is not None:
            still = {"learning_rate": 0.0, "beta_1": 1.0, "beta_2": 1.0}
            for name, rate in still.items():
                rates[name] = tf.where(accepted, rates[name], rate)
        # Each copy of a variable is updated on its own device, from outside the
        # replicas: the reduced gradients are the same on all of them.
        replica.merge_call(self._update_all, args=(gradients, variables, rates))
        one = 1 if accepted is None else tf.cast(accepted, self.iterations.dtype)
        self.iterations.assign_add(one)

    def _update_all(self, strategy, gradients, variables, rates):
        for gradient, variable in zip(gradients, variables, strict=True):
            index = self._get_variable_index(variable)
            slots = (self._momentums[index].value, self._velocities[index].value)
            decay = self.weight_decay if self.decays(variable) else 0.0
            strategy.extended.update(
                variable.value,
                self._update_one,
                args=(gradient, *slots, decay, rates),
                group=False,
            )

    def _update_one(self, variable, gradient, momentum, velocity, decay, rates):
        import tensorflow as tf

        dtype = variable.dtype
        rates = {name: tf.cast(rate, dtype) for name, rate in rates.items()}
        if decay:
            # Not variable * (1 - lost): this close to 1, float32 would round `lost`.
            lost = rates["learning_rate"] * tf.cast(decay, dtype)
            if _decays_compiled(variable):
                variable.assign(_compiled_decay()(variable, lost))
            else:
                variable.assign_sub(variable * lost)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=momentum.handle,
            v=velocity.handle,
            beta1_power=rates["beta_1_power"],
            beta2_power=rates["beta_2_power"],
            lr=rates["learning_rate"],
            beta1=rates["beta_1"],
            beta2=rates["beta_2"],
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )


def _decays_compiled(variable):
    """Whether XLA compiles its decay: one pass over memory, without a buffer."""
    import tensorflow as tf

    is_large = variable.shape.num_elements() >= LARGE
    return is_large and "CPU" in variable.device and not tf.distribute.has_strategy()


@functools.cache
def _compiled_decay():
    import tensorflow as tf

    return tf.function(lambda x, lost: x - x * lost, jit_compile=True)


def _require_finite(optimizer, learning_rate):
    """Raises `ValueError` for numbers that would make every weight NaN or infinite."""
    numbers = {"learning_rate": learning_rate, "epsilon": optimizer.epsilon}
    numbers |= {n: getattr(optimizer, n) for n in ("weight_decay", "beta_1", "beta_2")}
    clips = {
        n: getattr(optimizer, n) for n in ("clipnorm", "global_clipnorm", "clipvalue")
    }
    numbers |= {name: clip for name, clip in clips.items() if clip is not None}
    for name, value in numbers.items():
        if isinstance(value, int | float) and not 0 <= value < math.inf:
            raise ValueError(
                f"{name} must be finite and >= 0. Received: {name}={value}"
            )


def _with_gradient(gradients, variables):
    pairs = zip(gradients, variables, strict=True)
    present = [(g, v) for g, v in pairs if g is not None]
    if not present:
        raise ValueError(
            "At least one variable must have a gradient. Received: no gradients for "
            f"{len(variables)} variables"
        )
    if len(present) < len(variables):
        missing = [
            getattr(v, "path", v.name)
            for g, v in zip(gradients, variables, strict=True)
            if g is None
        ]
        warnings.warn(f"These variables have no gradient: {missing}", stacklevel=2)
    return zip(*present, strict=True)


def half_square(gradient):
    """Half the sum of squares; not finite if an element is not, or on overflow."""
    import tensorflow as tf

    if gradient.dtype.size < 4:
        gradient = tf.cast(gradient, "float32")
    return tf.cast(tf.nn.l2_loss(gradient), "float32")


def norm_of(half_squares):
    """The global norm of gradients, from the `half_square` of each."""
    import tensorflow as tf

    return tf.sqrt(2.0 * tf.reduce_sum(half_squares))


def _clipped(gradients, limit, norm):
    """The gradients, scaled so that their global norm is at most `limit`."""
    import tensorflow as tf

    def clipped():
        # An infinite or NaN norm makes every gradient NaN, so that it is noticed.
        scale = limit / norm + (norm - norm)
        return [g * tf.cast(scale, g.dtype) for g in gradients]

    # Most steps of a long training need no clipping: this saves a pass over gradients.
    return tf.cond(norm <= limit, lambda: list(gradients), clipped)
