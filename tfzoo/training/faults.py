"""What follows from a step that is not finite: stop, skip or rewind."""

import math
import sys

import keras
import numpy as np

from tfzoo.errors import TfzooError

POLICIES = ("stop", "skip", "rewind")
MAX_IN_A_ROW = 10  # faults; by then it is the training that diverged, or all data
NAMED = 3  # gradients, weights and examples of a message
SHOWN = 60  # characters of an example
FIX = (
    "Nothing of it was kept. Lower the learning rate, mend these examples, or leave "
    'such updates out: on_non_finite="skip" (--on-non-finite skip).'
)


class Rewind(Exception):
    """A training must go back and leave an update out.

    Args:
        step: The update, counted from 1.
        reason: What happened there.
    """

    def __init__(self, step, reason):
        super().__init__(reason)
        self.step = step


def require_policy(name, allowed=POLICIES):
    """The policy, if it is one of those allowed."""
    if name not in allowed:
        raise ValueError(
            f"on_non_finite must be one of {allowed}. Received: {name!r}"
            + (", which only a Run can do" if name == "rewind" else "")
        )
    return name


def not_finite(variables):
    """Paths of the variables that hold a NaN or an infinity."""
    return [v.path for v in variables if not is_finite(v.numpy())]


def is_finite(array):
    """Whether an array holds neither NaN nor infinity; True for whole numbers."""
    if array.dtype.kind in "biu":
        return True
    return bool(np.isfinite(array).all())


class Watching(keras.callbacks.Callback):
    """Sees after each batch whether it was finite, and does as the policy says.

    Stands before all other callbacks, so that none of them works with what is not
    finite. It asks the `guard` of the model; where there is none, the logged loss.

    Args:
        policy: One of `POLICIES`.
        record: The `Record` of a run: its steps are named, and what is left out is
            noted there. None: a plain `fit`.
        total_steps: Steps of the whole run.
        examples: (step, from 1) -> text that names the examples of that step, or None.
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
        if self.counts[0] == before[0]:  # a training step of the model's own
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
                f"The loss must be finite. It is {loss} at {self._place(step)}."
                f"{self._shown(step)}",
                fix="Lower the learning rate or mend these examples.",
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
                f"warning: {rule} That update is left out, and so are others like it.",
                file=sys.stderr,
            )

    def on_epoch_end(self, epoch, logs=None):
        self.check_weights()
        seen, faults = self.counts[0], self.counts[1]
        if 0 < seen - self.before_epoch[0] == faults - self.before_epoch[1]:
            logs["loss"] = math.nan  # Keras has 0.0, of no batch at all

    def on_train_end(self, logs=None):
        seen, faults = self.counts[0], self.counts[1]
        if self.policy == "skip" and self.record is None and faults:
            print(
                f"warning: {faults} of {seen} updates were left out, because they were "
                "not finite.",
                file=sys.stderr,
            )

    def check_weights(self):
        """Raises where weights or optimizer are not finite."""
        optimizer = self.model.optimizer.variables
        if bad := not_finite([*self.model.weights, *optimizer]):
            self._lost(bad, self.counts[0] if self.record is None else self.record.step)

    def _lost(self, names, step):
        """Every gradient was finite, and an update took the weights too far."""
        rule = (
            f"Every weight must be finite. After {self._place(step)} {_named(names)} "
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
            f"{in_a_row} updates in a row were not finite, the last at "
            f"{self._place(step)}.{self._shown(step)}",
            fix="Lower the learning rate or mend the data.",
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
    """What must be finite and was not, at a guard's first fault."""
    loss, rate, gradients = guard.figures()
    if not math.isfinite(rate):
        return f"The learning rate must be finite. It is {rate}"
    if not math.isfinite(loss):
        return f"The loss must be finite. It is {loss}"
    return (
        f"Every gradient must be finite. {_named(gradients)} not, beside a loss of "
        f"{loss:.4g},"
    )


def _named(names):
    """The first of some names, and how many there are."""
    shown = ", ".join(names[:NAMED])
    if len(names) > NAMED:
        return f"{shown} and {len(names) - NAMED} more are"
    return f"{shown} {'is' if len(names) == 1 else 'are'}"


def shown_examples(batch, tokenizer, rows=None):
    """A text that shows what a batch holds.

    Args:
        batch: What a dataset yields: inputs, or a tuple that they open.
        tokenizer: What made their `token_ids`; None where nothing did.
        rows: Where the examples stand in the user's data, from 0, if known.

    Returns:
        "Its examples are rows 3, 7, ...: 'text', 'text', 'text'", as far as known.
    """
    inputs = batch[0] if isinstance(batch, tuple | list) else batch
    texts = []
    if tokenizer is not None and isinstance(inputs, dict) and "token_ids" in inputs:
        special = set(tokenizer.special_ids)
        for ids in np.asarray(inputs["token_ids"][:NAMED]).tolist():
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
