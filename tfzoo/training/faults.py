"""What to do after a non-finite step: stop, skip or rewind."""

import math
import sys

import keras
import numpy as np

from tfzoo.errors import TfzooError

POLICIES = ("stop", "skip", "rewind")
MAX_IN_A_ROW = 10  # faults; by then the training has diverged, or all data is bad
NAMED = 3  # gradients, weights and examples in a message
SHOWN = 60  # characters of an example
FIX = (
    "The update was discarded. Lower the learning rate, fix these examples, or skip "
    'such updates: on_non_finite="skip" (--on-non-finite skip).'
)


class Rewind(Exception):
    """Training must go back to a checkpoint and skip an update.

    Args:
        step: The update to skip, starting at 1.
        reason: What happened there.
    """

    def __init__(self, step, reason):
        super().__init__(reason)
        self.step = step


def require_policy(name, allowed=POLICIES):
    """Returns the policy if it is one of those allowed; raises `ValueError` if not."""
    if name not in allowed:
        raise ValueError(
            f"on_non_finite must be one of {allowed}. Received: {name!r}"
            + (", which only a Run supports" if name == "rewind" else "")
        )
    return name


def not_finite(variables):
    """Paths of the variables that contain NaN or infinity."""
    return [v.path for v in variables if not is_finite(v.numpy())]


def is_finite(array):
    """Whether an array contains neither NaN nor infinity; True for integer arrays."""
    if array.dtype.kind in "biu":
        return True
    return bool(np.isfinite(array).all())


class Watching(keras.callbacks.Callback):
    """Checks after each batch whether it was finite, and follows the policy if not.

    It comes before all other callbacks, so that none of them sees non-finite values. It
    asks the model's `guard`, or checks the logged loss if there is none.

    Args:
        policy: One of `POLICIES`.
        record: The `Record` of a run, whose steps are reported and which lists skipped
            updates. None for a plain `fit`.
        total_steps: Number of steps of the whole run.
        examples: Function of a step (from 1) that returns a description of its
            examples; or None.
        others: The other callbacks.
    """

    def __init__(
        self, policy, *, record=None, total_steps=None, examples=None, others=()
    ):
        super().__init__()
        self.policy, self.record = policy, record
        self.total_steps, self.examples = total_steps, examples
        self.ends_gently = any(
            isinstance(c, keras.callbacks.TerminateOnNaN) for c in others
        )

    def on_train_begin(self, logs=None):
        self.guard = getattr(self.model, "guard", None)
        if self.guard is not None:
            self.guard.reset(stops=self.policy != "skip")
        self.counts = (0, 0, 0, 0)
        self.epoch, self.before_epoch = 0, self.counts

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.before_epoch = epoch, self.counts

    def on_train_batch_begin(self, batch, logs=None):
        if self.guard is not None and self.record is not None and self.record.left_out:
            self.guard.withhold(withheld=self.record.step + 1 in self.record.left_out)

    def on_train_batch_end(self, batch, logs=None):
        before, self.counts = self.counts, self._counts()
        if self.counts[0] == before[0]:  # the model has its own training step
            self._check_loss(logs)
        elif self.counts[1] > before[1]:
            self._fault(before[1] == 0, logs)

    def _counts(self):
        return (0, 0, 0, 0) if self.guard is None else self.guard.counts()

    def _check_loss(self, logs):
        loss = (logs or {}).get("loss", 0.0)
        if not (math.isfinite(loss) or self.ends_gently):
            step = 0 if self.record is None else self.record.step + 1
            raise TfzooError(
                f"The loss must be finite. Received: {loss} at {self._place(step)}."
                f"{self._shown(step)}",
                fix="Lower the learning rate or fix these examples.",
            )

    def _fault(self, is_first, logs):
        loss = self.guard.figures()[0]
        if self.policy == "stop" and self.ends_gently and not math.isfinite(loss):
            logs["loss"] = loss  # for Keras's callback, which ends the training
            return
        seen, _, first, in_a_row = self.counts
        step = first if self.record is None else self.record.step + 1
        if bad := not_finite(self.model.weights):
            self._lost(bad, step - 1)
        rule = f"{broken_rule(self.guard)} at {self._place(step)}.{self._shown(step)}"
        if self.policy == "stop":
            raise TfzooError(rule, fix=FIX)
        if self.policy == "rewind":
            self._rewind(step, rule)
        if in_a_row >= MAX_IN_A_ROW:
            self._give_up(seen if self.record is None else step, in_a_row)
        if self.record is not None:
            is_first = not self.record.left_out
            self.record.left_out.append(step)
        if is_first:
            print(
                f"warning: {rule} This update is skipped, as are others like it.",
                file=sys.stderr,
            )

    def on_epoch_end(self, epoch, logs=None):
        self.check_weights()
        seen, faults = self.counts[0], self.counts[1]
        if 0 < seen - self.before_epoch[0] == faults - self.before_epoch[1]:
            logs["loss"] = math.nan  # Keras reports 0.0, the mean over no batches

    def on_train_end(self, logs=None):
        seen, faults = self.counts[0], self.counts[1]
        if self.policy == "skip" and self.record is None and faults:
            print(
                f"warning: {faults} of {seen} updates were skipped because they were "
                "not finite.",
                file=sys.stderr,
            )

    def check_weights(self):
        """Raises an error if weights or optimizer state are not finite."""
        optimizer = self.model.optimizer.variables
        if bad := not_finite([*self.model.weights, *optimizer]):
            self._lost(bad, self.counts[0] if self.record is None else self.record.step)

    def _lost(self, names, step):
        """Handles weights that overflowed although every gradient was finite."""
        rule = (
            f"Every weight must be finite. After {self._place(step)}, {_named(names)} "
            "not, although every gradient was."
        )
        if self.policy == "rewind":
            while step in self.record.left_out:
                step -= 1
            self._rewind(step, rule)
        raise TfzooError(
            rule, fix="Lower the learning rate; the weights in memory are lost."
        )

    def _rewind(self, step, rule):
        first = step
        while first - 1 in self.record.left_out:
            first -= 1
        if step - first + 1 >= MAX_IN_A_ROW:
            self._give_up(step, step - first + 1)
        raise Rewind(step, rule)

    def _give_up(self, step, in_a_row):
        raise TfzooError(
            f"Updates must be finite. Received: {in_a_row} in a row that were not, the "
            f"last at {self._place(step)}.{self._shown(step)}",
            fix="Lower the learning rate or fix the data.",
        )

    def _place(self, step):
        if self.record is not None:
            return f"step {step} of {self.total_steps}"
        batches = self.params.get("steps")
        total = f" of {batches}" if batches else ""
        batch = step - self.before_epoch[0]
        return f"step {step} (batch {batch}{total} of epoch {self.epoch + 1})"

    def _shown(self, step):
        text = None if self.examples is None else self.examples(step)
        return f" {text}." if text else ""


def broken_rule(guard):
    """Describes what was not finite at a guard's first fault."""
    loss, rate, gradients = guard.figures()
    if not math.isfinite(rate):
        return f"The learning rate must be finite. Received: {rate}"
    if not math.isfinite(loss):
        return f"The loss must be finite. Received: {loss}"
    return (
        f"Every gradient must be finite. {_named(gradients)} not, with a loss of "
        f"{loss:.4g},"
    )


def _named(names):
    """The first few names and the number of others, followed by "is" or "are"."""
    shown = ", ".join(names[:NAMED])
    if len(names) > NAMED:
        return f"{shown} and {len(names) - NAMED} more are"
    return f"{shown} {'is' if len(names) == 1 else 'are'}"


def shown_examples(batch, tokenizer, rows=None):
    """Describes the examples of a batch.

    Args:
        batch: An element of a dataset: inputs, or a tuple that begins with them.
        tokenizer: The tokenizer of their `token_ids`, or of the `encoder_token_ids` of
            pairs, of which the sources are shown; or None.
        rows: Indices of the examples in the user's data, if known.

    Returns:
        "Its examples are rows 3, 7, ...: 'text', 'text', 'text'", as far as known.
    """
    inputs = batch[0] if isinstance(batch, tuple | list) else batch
    texts = []
    named = inputs if isinstance(inputs, dict) else {}
    token_ids = named.get("token_ids", named.get("encoder_token_ids"))
    if tokenizer is not None and token_ids is not None:
        special = set(tokenizer.special_ids)
        for ids in np.asarray(token_ids[:NAMED]).tolist():
            text = tokenizer.detokenize([i for i in ids if i not in special])
            texts.append(repr(text[:SHOWN]) + ("..." if len(text) > SHOWN else ""))
    rows = [] if rows is None else [int(row) for row in rows]
    if not texts and not rows:
        return None
    place = ""
    if rows:
        place = "rows " + ", ".join(map(str, rows[:32])) + (", ..." * (len(rows) > 32))
    begin = ", ".join(texts) + (", ..." if texts else "")
    return "Its examples are " + ": ".join(part for part in (place, begin) if part)


def examples_of_steps(batches_from, tokenizer=None, rows=None):
    """A function of a step, from 1, that describes the examples of its batch.

    Args:
        batches_from: Function of a step, from 0, that returns a `tf.data.Dataset` of
            the batches from that step on.
        tokenizer: As in `shown_examples`.
        rows: Function of a step, from 0, that returns the positions of its examples in
            the user's data. None if they are not known.
    """

    def examples(step):
        batch = next(iter(batches_from(step - 1).take(1)), None)
        numbers = None if rows is None else rows(step - 1)
        return batch and shown_examples(batch, tokenizer, numbers)

    return examples
