"""What `compile()` of a task does when nothing is said."""

import keras
import tensorflow as tf

from tfzoo.training.distribution import require_supported
from tfzoo.training.optimizers import AdamW
from tfzoo.training.precision import scaled
from tfzoo.training.schedules import WarmupLinearDecay


class AutoCompile:
    """A mix-in: AdamW with warm-up and linear decay, and the task's own loss.

    A task defines `default_loss(label_smoothing)` and `default_metrics()`.
    """

    def compile(
        self,
        optimizer="auto",
        loss="auto",
        *,
        weighted_metrics="auto",
        learning_rate=5e-5,
        total_steps=None,
        warmup_fraction=0.1,
        weight_decay=0.01,
        clip_norm=1.0,
        label_smoothing=0.0,
        jit_compile=False,
        **kwargs,
    ):
        """Prepares training; every argument has the default of BERT.

        Args:
            optimizer: `"auto"` is AdamW as the next arguments say, without decay on
                biases and normalisations; or any Keras optimizer.
            loss: `"auto"` is the task's own, normalised over all replicas.
            weighted_metrics: `"auto"` is the task's own.
            learning_rate: Its peak.
            total_steps: Steps until the learning rate is 0. None derives it, in each
                `fit`, from epochs and data, and begins a new schedule there.
            warmup_fraction: Share of the steps in which the rate rises, 0 to 1.
            weight_decay: Decoupled decay per step, times the learning rate.
            clip_norm: Largest global norm of the gradients; None never clips.
            label_smoothing: Share of the target spread over all classes, 0 to 1.
            jit_compile: Whether XLA compiles the training step, once per shape.
            **kwargs: As in `keras.Model.compile`.
        """
        self._compile_arguments = {
            "optimizer": optimizer,
            "loss": loss,
            "weighted_metrics": weighted_metrics,
            "learning_rate": learning_rate,
            "total_steps": total_steps,
            "warmup_fraction": warmup_fraction,
            "weight_decay": weight_decay,
            "clip_norm": clip_norm,
            "label_smoothing": label_smoothing,
            "jit_compile": jit_compile,
            **kwargs,
        }
        # `fit` compiles anew, perhaps outside the scope that the model was built in.
        with self.distribute_strategy.scope():
            if optimizer == "auto":
                optimizer = self._auto_optimizer(
                    learning_rate,
                    total_steps or 1,
                    warmup_fraction,
                    weight_decay,
                    clip_norm,
                )
            if isinstance(optimizer, keras.optimizers.Optimizer):
                require_supported(
                    optimizer=optimizer,
                    jit_compile=jit_compile,
                    steps_per_execution=kwargs.get("steps_per_execution", 1),
                )
            super().compile(
                optimizer=optimizer,
                loss=self.default_loss(label_smoothing) if loss == "auto" else loss,
                weighted_metrics=(
                    self.default_metrics()
                    if weighted_metrics == "auto"
                    else weighted_metrics
                ),
                jit_compile=jit_compile,
                **kwargs,
            )

    def _auto_optimizer(self, peak, total_steps, warmup_fraction, decay, clip_norm):
        schedule = WarmupLinearDecay(
            peak, round(warmup_fraction * total_steps), total_steps
        )
        # Epsilon and betas: google-research/bert optimization.py
        optimizer = AdamW(
            schedule, weight_decay=decay, epsilon=1e-6, global_clipnorm=clip_norm
        )
        return scaled(optimizer, self.backbone.dtype_name)

    @property
    def jit_compiled(self):
        """Whether XLA compiles the training step."""
        return bool(getattr(self, "_compile_arguments", {}).get("jit_compile"))

    def plan_steps(self, x, batch_size, epochs, steps_per_epoch):
        """Gives an automatic optimizer its schedule, from the data of this `fit`.

        Args:
            x: A dataset, or (a structure of) arrays.
            batch_size: Examples per batch, of arrays.
            epochs: Number of epochs.
            steps_per_epoch: None counts the batches of `x`.

        Raises:
            ValueError: the batches cannot be counted.
        """
        arguments = self._compile_arguments
        if arguments["optimizer"] != "auto" or arguments["total_steps"] is not None:
            return
        steps = steps_per_epoch or _count_batches(x, batch_size)
        if steps is None:
            raise ValueError(
                "The number of batches of this data is unknown, and the learning rate "
                "needs it: compile(total_steps=...) or fit(steps_per_epoch=...). "
                "Received: total_steps=None, steps_per_epoch=None"
            )
        # Compiling anew also drops the traced step, which holds the old schedule.
        self.compile(**{**arguments, "total_steps": max(1, steps * epochs)})
        self._compile_arguments = arguments

    def get_compile_config(self):
        if not self.compiled:
            return None
        return keras.saving.serialize_keras_object(dict(self._compile_arguments))

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)


def _count_batches(x, batch_size):
    if isinstance(x, tf.data.Dataset):
        count = int(x.cardinality())
        return count if count >= 0 else None
    if hasattr(x, "__len__") and isinstance(x, keras.utils.PyDataset):
        return len(x)
    arrays = [a for a in keras.tree.flatten(x) if hasattr(a, "shape")]
    return -(-int(arrays[0].shape[0]) // batch_size) if arrays else None
