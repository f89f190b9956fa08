"""Examples for fine-tuning: texts, pairs and labels, each with its place."""

import collections
import dataclasses
import sys

import numpy as np

from tfzoo.data.cells import label_of, text_of
from tfzoo.data.holding_out import held_out_rows, numbered
from tfzoo.data.readers import read_records
from tfzoo.errors import DataError

TASKS = ("classification", "multi_label", "regression")
_VALIDATION = "Give more examples, or a file of their own for it (--validation)."


@dataclasses.dataclass
class Examples:
    """Texts and what is said of them; the lists have one entry per example.

    Attributes:
        spec: Where they come from: a path or `tfds:...`.
        task: "classification", "multi_label" or "regression".
        texts: List of str.
        text_pairs: List of str, or None.
        labels: List of str, of lists of str (multi-label) or of float (regression);
            None where no label column was asked for.
        locations: Records without their values, to raise errors from.
    """

    spec: str
    task: str
    texts: list
    text_pairs: list | None
    labels: list | None
    locations: list

    def __len__(self):
        return len(self.texts)

    def as_input(self):
        """What a task's `fit`, `evaluate` and `predict` take: the texts."""
        if self.text_pairs is None:
            return {"text": self.texts}
        return {"text": self.texts, "text_pair": self.text_pairs}

    def split_every(self, period, *, seed=0):
        """(rows to learn from, about one of `period` rows, held out).

        Chosen as by `held_out_rows`, whatever the order of the rows. A line says how
        many they are, and another one if they are all of one class.

        Args:
            period: Whole number from 2.
            seed: Another one holds out other rows.

        Raises:
            DataError: there are fewer rows than `period`, or none that can be spared.
        """
        if not isinstance(period, int) or period < 2:
            raise ValueError(
                f"period must be a whole number from 2. Received: {period!r}"
            )
        if len(self) < period:
            raise DataError(
                f"There must be at least {period} examples to hold one of {period} "
                f"out. Received: {len(self)}.",
                path=self.spec,
                fix=_VALIDATION,
            )
        texts = self.texts
        if self.text_pairs is not None:
            texts = list(zip(texts, self.text_pairs, strict=True))
        labels = self._label_sets()
        rows = held_out_rows(texts, labels, period, seed)
        if not rows and len(set(texts)) < len(texts):
            rows = held_out_rows(numbered(texts), labels, period, seed)
            print(
                f"warning: {self.spec}: every text stands too often to be held out "
                "whole, so that what is held out was learned from as well. "
                f"{_VALIDATION}",
                file=sys.stderr,
            )
        if not rows:
            raise DataError(
                f"None of {len(self)} examples can be held out: every class must keep "
                "one to learn from.",
                path=self.spec,
                fix=_VALIDATION,
            )
        self._tell(rows, labels)
        chosen = set(rows)
        others = [i for i in range(len(self)) if i not in chosen]
        return self._chosen(others), self._chosen(rows)

    def _label_sets(self):
        if self.labels is None or self.task == "regression":
            return [()] * len(self)
        if self.task == "multi_label":
            return [tuple(set(names)) for names in self.labels]
        return [(name,) for name in self.labels]

    def _tell(self, rows, labels):
        line = f"{self.spec}: held out {len(rows)} of {len(self)} examples"
        counts = collections.Counter(name for names in labels for name in names)
        if not counts:
            print(f"{line}.")
            return
        held_out = {name for i in rows for name in labels[i]}
        line += f", of {len(held_out)} of {len(counts)} classes"
        if missing := sorted(counts.keys() - held_out):
            some = ", ".join(map(repr, missing[:5])) + (", ..." if missing[5:] else "")
            line += f"; too few texts of {some}"
        print(f"{line}.")
        if len(held_out) == 1 < len(counts):
            print(
                f"warning: {self.spec}: all examples held out are of one class, "
                f"{min(held_out)!r}, so that their figures say little. {_VALIDATION}",
                file=sys.stderr,
            )

    def _chosen(self, indices):
        def chosen(values):
            return None if values is None else [values[i] for i in indices]

        return dataclasses.replace(
            self,
            texts=chosen(self.texts),
            text_pairs=chosen(self.text_pairs),
            labels=chosen(self.labels),
            locations=chosen(self.locations),
        )


def read_examples(
    spec,
    *,
    text_column,
    text_pair_column=None,
    label_column=None,
    header=True,
    task="classification",
    label_separator=None,
):
    """Reads all examples of a file or data set into memory.

    Args:
        spec: As of `read_records`.
        text_column: Name of the column, or its number from 1.
        text_pair_column: The second text's column. None for single texts.
        label_column: The label's column. None for texts without labels.
        header: Whether line 1 of a `.tsv` or `.csv` names the columns.
        task: "classification": a label is a string, a whole number or a boolean of
            JSON (written "true", "false"); space around it is dropped.
            "multi_label": a JSON list of those, or a string that `label_separator`
            divides; an empty one has no label.
            "regression": a finite number.
        label_separator: Divides the labels of a multi-label cell.

    Returns:
        `Examples`.

    Raises:
        DataError: a record breaks a rule, or there is none.
    """
    if task not in TASKS:
        raise ValueError(f"task must be one of {TASKS}. Received: {task!r}")
    if label_separator == "":
        raise ValueError("label_separator must not be empty.")
    pairs = text_pair_column is not None
    labelled = label_column is not None
    examples = Examples(
        str(spec), task, [], [] if pairs else None, [] if labelled else None, []
    )
    for record in read_records(spec, header=header):
        examples.texts.append(text_of(record, text_column))
        if pairs:
            examples.text_pairs.append(text_of(record, text_pair_column))
        if labelled:
            examples.labels.append(
                label_of(record, label_column, task, label_separator)
            )
        examples.locations.append(dataclasses.replace(record, names=(), values=()))
    if not examples.texts:
        raise DataError("There is no example.", path=spec)
    return examples


def label_list(examples):
    """The sorted labels of training examples: their order is that of the classes.

    Raises:
        DataError: fewer than two classes (one, for multi-label).
    """
    if examples.task == "regression":
        raise ValueError("A regression has no list of labels.")
    nested = examples.task == "multi_label"
    labels = {x for y in examples.labels for x in (y if nested else (y,))}
    if len(labels) < (1 if nested else 2):
        raise DataError(
            "Training needs at least two different labels. "
            f"Received: {sorted(labels)}.",
            path=examples.spec,
        )
    return sorted(labels)


def known_labels(examples, labels=None):
    """The labels of examples, by name, once all of them are known.

    Args:
        examples: N labelled examples.
        labels: The class names; None for a regression.

    Returns:
        List of N names, of N lists of names for multi-label; float32 (N,) for a
        regression.

    Raises:
        DataError: a label is not among `labels`; it names the place.
    """
    if examples.labels is None:
        raise ValueError("The examples must have labels: read them with label_column.")
    if examples.task == "regression":
        return np.array(examples.labels, np.float32)
    known, nested = set(labels), examples.task == "multi_label"
    for names, place in zip(examples.labels, examples.locations, strict=True):
        for name in names if nested else (names,):
            if name not in known:
                some = ", ".join(map(repr, labels[:10]))
                some += ", ..." if labels[10:] else ""
                raise place.error(
                    f"Label {name!r} was never seen in training. Labels: {some}."
                )
    return list(examples.labels)
