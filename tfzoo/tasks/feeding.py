"""Converts the arguments of `fit`, `evaluate` and `predict` to checked batches.

Shapes: N examples, B batch, S sequence, C classes.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfzoo.data.buckets import SECOND
from tfzoo.data.pipelines import without_waiting
from tfzoo.errors import shown
from tfzoo.tasks.batch_examples import row_numbers
from tfzoo.tasks.batches import array_batches, dataset_of_batches, is_batches
from tfzoo.tasks.checks import check_dataset, checked, of_each_output
from tfzoo.tasks.class_weights import weighed
from tfzoo.tasks.inputs import (
    num_rows,
    raw_texts,
    target_column,
    targets_of_table,
)
from tfzoo.tasks.numeric import finite_numbers
from tfzoo.tasks.plan import BATCH_SIZE, Plan
from tfzoo.tasks.raw_datasets import batched, is_raw_dataset
from tfzoo.training.faults import examples_of_steps


class Feeding:
    """Mixin: all ways in which text, ids, targets and weights enter a task.

    Raw text in memory goes through the task's `training_data`, a dataset of raw text
    through `map_strings`, and prepared ids through `checks`; a generator or `PyDataset`
    is converted to a dataset first. A task defines, besides what `Task` requires:
        targets_of_raw(x, y): Checked targets of raw input; not needed if raw input
            contains its own targets, which `own_targets` then states.
        targets_of_ids(y, inputs): Checked targets of prepared ids, and the weights that
            they imply or None.
        target_specs_of_ids(y, x): Their `tf.TensorSpec`s, given those of y and x.
    """

    input_prefixes = ("", SECOND)  # of the names of inputs with the same rows
    reads_pairs = False  # whether raw input is pairs of a source and a target
    own_targets = None  # a sentence that says why raw input has no `y`

    def targets_of_raw(self, x, y):
        """Checked targets of raw input, as used by `training_data`.

        Args:
            x: The result of `raw_input`.
            y: The argument of `fit`, or the targets in the table.

        Raises:
            ValueError: a target is invalid, or their number is wrong; the message
                gives the row.
        """
        if y is not None:
            raise ValueError(f"{self.own_targets}. Received: y")

    def given_targets(self, x, y):
        """`y`, or the targets in `x` if it is a table."""
        if y is not None:
            return y
        name = target_column(x)
        if name is not None and self.own_targets is not None:
            raise ValueError(
                f"{self.own_targets}; remove such columns. Received: a table with "
                f"the column {name!r}"
            )
        return targets_of_table(x)

    @staticmethod
    def raw_input(x):
        """`x` in a form for `training_data`, None if it is not raw."""
        return raw_texts(x)

    @staticmethod
    def raw_batches(x):
        """`x` if it is a batched dataset of raw input, None if it is anything else."""
        return batched(x) if is_raw_dataset(x) else None

    @staticmethod
    def gathered(x):
        """`x`, or the raw input of a dataset if the task needs all of it at once."""
        return x

    def map_strings(self, dataset, *, seed=0):
        """Rejects raw batches; most tasks encode them instead, see `Task`."""
        raise ValueError(
            f"The raw input of a {type(self).__name__} must be in memory: pass a list, "
            f"or prepared ids. Received: batches of {shown(dataset.element_spec)}"
        )

    def known_inputs(self):
        """Names of the required and of the optional prepared inputs."""
        return self._input_names, ()

    def input_limits(self, length, prefix):
        """Dict of input name -> upper limit of its numbers, for rows (B, length).

        Args:
            length: S.
            prefix: One of `input_prefixes`, which the names have in addition.
        """
        del prefix
        return {
            "token_ids": self.backbone.vocabulary_size,
            "segment_ids": self.num_segments,
            "padding_mask": 2,
            "mask_positions": length,
        }

    def targets_of_batch(self, y, *, is_raw):
        """Targets of a batch of a generator, in the same form for all batches.

        Args:
            y: The user's targets.
            is_raw: Whether the batch contains raw text.
        """
        del is_raw
        return y

    def checked_targets(self, y, inputs):
        """Checked targets of prepared ids.

        Args:
            y: The argument of `fit`.
            inputs: Dict of the checked inputs.

        Returns:
            (a nest of arrays, weights that they imply or None).

        Raises:
            ValueError: a target is invalid; with a custom loss, it is not finite.
        """
        if not self.has_own_loss:
            return self.targets_of_ids(y, inputs)
        return of_each_output(lambda x: finite_numbers(x, "y"), y), None

    def target_specs(self, y, x):
        """The specs of the result of `checked_targets`, given the specs of y and x."""
        if not self.has_own_loss:
            return self.target_specs_of_ids(y, x)
        return y, None

    def batches_to_fit(
        self,
        x,
        y,
        sample_weight,
        class_weight,
        plan,
        *,
        first_epoch,
        steps_per_epoch,
    ):
        """The `Batches` of a `fit`.

        Args:
            x: As in `fit`.
            y: As in `fit`.
            sample_weight: As in `fit`.
            class_weight: As in `fit`.
            plan: The `Plan`; its `batch_size` may be None, and its `epochs` include
                completed ones.
            first_epoch: Number of completed epochs.
            steps_per_epoch: As in `fit`.
        """
        x = self.gathered(_unwrapped(x))
        factors = None if class_weight is None else self.class_factors(class_weight)
        if (raw := self.raw_input(x)) is None:
            each = self._whole_executions(steps_per_epoch, plan.epochs - first_epoch)
            return self._epoch_batches(x, y, sample_weight, plan, factors, each=each)
        y = self.given_targets(x, y)
        plan = _of_examples(plan)
        data = self.batches_of(raw, y, sample_weight, plan)
        per_epoch = int(data.cardinality()) // plan.epochs
        if not per_epoch:
            raise ValueError("There must be at least one example. Received: none")
        steps = steps_per_epoch or per_epoch
        if steps > per_epoch:
            data = data.repeat()
        data = data.skip(first_epoch * steps)
        if factors is not None:
            data = weighed(data, factors)
        data = without_waiting(data)

        def rows(step):
            return row_numbers(self, raw, y, plan, first_epoch * steps + step)

        examples = examples_of_steps(data.skip, self.tokenizer, rows)
        return Batches(data, per_epoch, is_continuous=True, examples=examples)

    def _whole_executions(self, steps, epochs=1):
        """Number of batches that Keras takes for this many steps, None if unknown."""
        if steps is None:
            return None
        at_once = self.steps_per_execution
        return -(-steps // at_once) * at_once * max(epochs, 1)

    def _epoch_batches(self, x, y, sample_weight, plan, factors=None, *, each=None):
        """The `Batches` of one epoch of data other than raw text in memory."""
        if is_batches(x) or isinstance(x, tf.data.Dataset):
            refuse_beside_batches(x, y, sample_weight, plan.batch_size)
            if not isinstance(x, tf.data.Dataset):
                options = dict(shuffle=plan.shuffle, seed=plan.seed)
                x = dataset_of_batches(x, self, each=each, **options)
            data = self._checked_batches(x, plan.seed)
        else:
            parts = checked(self, x, y, sample_weight)
            if len(parts) == 1:
                raise ValueError(
                    "Training on prepared ids requires targets. Received: y=None"
                )
            data = array_batches(parts, _of_examples(plan))
        if factors is not None:
            data = weighed(data, factors)
        data = without_waiting(data)
        count = int(data.cardinality())
        return Batches(data, count if count >= 0 else None, is_continuous=False)

    def _checked_batches(self, dataset, seed):
        """The user's dataset as (inputs, targets, ...)."""
        if getattr(dataset, "made_by_a_task", False):
            return dataset
        if (raw := self.raw_batches(dataset)) is None:
            return check_dataset(self, dataset)
        data = self.map_strings(raw, seed=seed)
        if not isinstance(data.element_spec, tuple):
            raise ValueError(
                "Training on batches of raw text requires targets: (text, targets). "
                f"Received: {dataset.element_spec}"
            )
        return data

    def class_factors(self, class_weight):
        """The weights of the classes, float32 (C,); an error without classes."""
        raise ValueError(
            "class_weight requires a classifier with one label per text. Received: "
            f"class_weight={shown(class_weight)} for a {type(self).__name__}"
        )

    def batches_to_validate(self, data, batch_size, steps):
        """Batches of `validation_data`; each validation takes `steps` of them."""
        parts = data if isinstance(data, tuple) else (data,)
        if not 0 < len(parts) <= 3:
            raise ValueError(
                "validation_data must be x, (x, y) or (x, y, sample_weight). "
                f"Received: a tuple of {len(parts)}"
            )
        in_memory = not (is_batches(parts[0]) or isinstance(parts[0], tf.data.Dataset))
        batch_size = batch_size if in_memory else None
        return self.batches_to_evaluate(
            *parts, batch_size=batch_size, each=self._whole_executions(steps)
        )

    def batches_to_evaluate(
        self, x, y=None, sample_weight=None, *, batch_size=None, each=None
    ):
        """Batches for `evaluate`."""
        x, plan = self.gathered(_unwrapped(x)), Plan(batch_size, shuffle=False)
        if (raw := self.raw_input(x)) is None:
            return self._epoch_batches(x, y, sample_weight, plan, each=each).batches
        y = self.given_targets(x, y)
        data = self.batches_of(raw, y, sample_weight, _of_examples(plan))
        if not int(data.cardinality()):
            raise ValueError("There must be at least one example. Received: none")
        return without_waiting(data)

    def one_batch(self, x, y, sample_weight, class_weight=None):
        """The arguments of `train_on_batch` as one batch: (inputs, targets, ...)."""
        require_in_memory(x)
        factors = None if class_weight is None else self.class_factors(class_weight)
        raw = self.raw_input(x)
        if raw is None:
            rows = num_rows(checked(self, x)[0])
            plan = Plan(max(1, rows), shuffle=False)
            data = self._epoch_batches(x, y, sample_weight, plan).batches
        else:
            y = self.given_targets(x, y)
            data = self.batches_to_evaluate(
                raw, y, sample_weight, batch_size=max(1, num_rows(raw))
            )
        return next(iter(data if factors is None else weighed(data, factors)))


class Batches(NamedTuple):
    """The training data of a `fit`.

    Attributes:
        batches: `tf.data.Dataset` of (inputs, targets, weights).
        steps_per_epoch: Number of batches per epoch, or None if unknown.
        is_continuous: Whether `batches` contains all epochs, one after another.
        examples: Function of a step, from 1, that returns a text that names its
            examples; None if unknown.
    """

    batches: tf.data.Dataset
    steps_per_epoch: int | None
    is_continuous: bool
    examples: Callable | None = None


def _of_examples(plan):
    """The plan for examples in memory: with a batch size and at least one epoch."""
    return plan._replace(
        batch_size=plan.batch_size or BATCH_SIZE, epochs=max(plan.epochs, 1)
    )


def made_by_a_task(dataset):
    """Marks a dataset whose targets need no check because the task encoded them."""
    dataset.made_by_a_task = True
    return dataset


def _unwrapped(x):
    """`x`; a dataset of (inputs,) becomes a dataset of inputs."""
    if not isinstance(x, tf.data.Dataset):
        return x
    spec = x.element_spec
    is_wrapped = isinstance(spec, tuple) and len(spec) == 1
    return x.map(lambda inputs: inputs) if is_wrapped else x


def require_in_memory(x):
    """Raises `ValueError` if `x`, which must be one batch, yields batches."""
    if is_batches(x) or isinstance(x, tf.data.Dataset):
        raise ValueError(
            "One batch must be raw text or prepared ids in memory. "
            f"Received: {type(x).__name__}"
        )


def refuse_beside_batches(x, y, sample_weight, batch_size):
    """Raises `ValueError` if anything is passed in addition to batches."""
    given = {"y": y, "sample_weight": sample_weight, "batch_size": batch_size}
    given = {name: value for name, value in given.items() if value is not None}
    if given:
        raise ValueError(
            f"A {type(x).__name__} must contain whole batches, with targets and "
            f"weights. Received in addition: {', '.join(given)}"
        )


def require_end(batches, steps, name):
    """Raises `ValueError` if batches never end and `steps` is not set."""
    if steps is None and int(batches.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            f"{name} must be set, because the batches never end. Received: None"
        )
