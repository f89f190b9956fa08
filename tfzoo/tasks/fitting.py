"""`fit` and `evaluate` of a task."""

from tfzoo.errors import is_whole, require_whole, shown
from tfzoo.layers.keywords import known_keywords
from tfzoo.tasks.feeding import require_end
from tfzoo.tasks.plan import Plan
from tfzoo.tasks.refusals import to_the_end
from tfzoo.tasks.validation_split import split
from tfzoo.training.host_memory import freed_memory_kept


class Fitting:
    """Mixin: Keras's training and evaluation on raw text or prepared ids.

    `Feeding` turns the arguments into checked batches; Keras does the rest.
    """

    @known_keywords()
    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        *,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
        seed=0,
    ):
        """Trains on raw text or prepared ids; otherwise as in `keras.Model.fit`.

        A second call continues with the optimizer's moments. The learning rate of the
        automatic optimizer starts a new schedule, unless `initial_epoch` continues the
        previous one.

        Args:
            x: Raw text or prepared ids, a dataset of batches of either, or a generator
                or `keras.utils.PyDataset` that yields such batches.
            y: Targets; None with batches, or with a table that contains them.
            batch_size: Examples per batch. Defaults to 32; None with batches.
            epochs: Number of the last epoch; 0 trains nothing.
            verbose: As in Keras.
            callbacks: As in Keras.
            validation_split: Fraction of the examples to hold out for validation, the
                last ones, in [0, 1); not available with batches.
            validation_data: A tuple (x, y) or (x, y, sample_weight), only x if the task
                has no targets, or batches as in `x`.
            shuffle: Whether the order changes from epoch to epoch.
            class_weight: Dict of a label or its index -> the weight of its examples, 1
                for the others, or a weight for each label in order; only for a
                classifier with one label per text.
            sample_weight: Finite numbers >= 0, (number of examples,), or None.
            initial_epoch: Number of completed epochs.
            steps_per_epoch: Number of batches per epoch; required with endless data.
            validation_steps: Number of batches per validation; required with endless
                data.
            validation_batch_size: Examples per validation batch. Defaults to
                `batch_size`.
            validation_freq: As in Keras.
            seed: Seed of the order of raw texts and of their masks, an integer >= 0.

        Returns:
            `keras.callbacks.History`.

        Raises:
            ValueError: an argument, a text, an id, a target or a weight is invalid;
                rows are counted from 0.
        """
        if not self.compiled:
            self.compile()
        for name, value, least in (
            ("epochs", epochs, 0),
            ("initial_epoch", initial_epoch, 0),
            ("steps_per_epoch", steps_per_epoch, 1),
            ("batch_size", batch_size, 1),
            ("validation_batch_size", validation_batch_size, 1),
            ("validation_steps", validation_steps, 1),
        ):
            require_whole(name, value, least, optional=True)
        if not is_whole(seed) or not 0 <= seed < 2**63:
            raise ValueError(
                f"seed must be an integer >= 0 and < 2**63. Received: {shown(seed)}"
            )
        _check_frequency(validation_freq)
        if validation_split and validation_data is not None:
            raise ValueError(
                "validation_split and validation_data are mutually exclusive. "
                f"Received: validation_split={validation_split} and validation_data"
            )
        if validation_split:
            (x, y, sample_weight), validation_data = split(
                self, x, y, sample_weight, validation_split
            )
        with freed_memory_kept(), self.refusals.told(), to_the_end(steps_per_epoch):
            data = self.batches_to_fit(
                x,
                y,
                sample_weight,
                class_weight,
                Plan(batch_size, epochs, shuffle, seed),
                first_epoch=initial_epoch,
                steps_per_epoch=steps_per_epoch,
            )
            if validation_data is not None:
                validation_data = self.batches_to_validate(
                    validation_data,
                    validation_batch_size or batch_size,
                    validation_steps,
                )
            planned = steps_per_epoch or data.steps_per_epoch
            if epochs > initial_epoch:
                self.plan_steps(planned, epochs, initial_epoch)
            require_end(data.batches, planned, "steps_per_epoch")
            if validation_data is not None:
                require_end(validation_data, validation_steps, "validation_steps")
            history = super().fit(
                data.batches,
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                examples=data.examples,
                validation_data=validation_data,
                shuffle=False,  # the dataset's own order
                initial_epoch=initial_epoch,
                steps_per_epoch=planned if data.is_continuous else steps_per_epoch,
                validation_steps=validation_steps,
                validation_freq=validation_freq,
            )
        self.lacked = ()  # all is trained by now
        return history

    @known_keywords("verbose", "steps", "callbacks", "return_dict")
    def evaluate(
        self, x=None, y=None, batch_size=None, *, sample_weight=None, **kwargs
    ):
        """Loss and metrics on raw text or prepared ids; otherwise as in Keras.

        Args:
            x: As in `fit`.
            y: As in `fit`.
            batch_size: Examples per batch. Defaults to 32; None with batches.
            sample_weight: As in `fit`.
            **kwargs: As in Keras.
        """
        if kwargs.get("_use_cached_eval_dataset"):  # a validation within `fit`
            return super().evaluate(**kwargs)
        if not self.compiled:
            self.compile()
        require_whole("batch_size", batch_size, 1, optional=True)
        require_whole("steps", kwargs.get("steps"), 1, optional=True)
        with self.refusals.told(), to_the_end(kwargs.get("steps")):
            data = self.batches_to_evaluate(x, y, sample_weight, batch_size=batch_size)
            require_end(data, kwargs.get("steps"), "steps")
            return super().evaluate(data, **kwargs)

    @known_keywords("return_dict")
    def train_on_batch(
        self, x, y=None, sample_weight=None, class_weight=None, **kwargs
    ):
        """One update on raw text or prepared ids; otherwise as in Keras."""
        self.require_planned("train_on_batch")
        parts = self.one_batch(x, y, sample_weight, class_weight)
        return super().train_on_batch(*parts, **kwargs)

    @known_keywords("return_dict")
    def test_on_batch(self, x, y=None, sample_weight=None, **kwargs):
        """Loss and metrics of one batch of raw text or prepared ids."""
        return super().test_on_batch(*self.one_batch(x, y, sample_weight), **kwargs)


def _check_frequency(value):
    epochs = value if isinstance(value, list | tuple | set) else [value]
    for number in epochs:
        if not is_whole(number) or number < 1:
            raise ValueError(
                "validation_freq must be an integer >= 1, or a list of epochs. "
                f"Received: {shown(value)}"
            )
