"""Examples for fine-tuning: texts, text pairs and labels, with their locations."""

import collections
import dataclasses
import sys

import numpy as np

from tfzoo.data.cells import label_of, text_of
from tfzoo.data.holding_out import VALIDATION, rows_to_hold_out
from tfzoo.data.readers import name_of, read_records
from tfzoo.data.records import tell_header
from tfzoo.errors import DataError, shown

TASKS = ("classification", "multi_label", "regression")


@dataclasses.dataclass
class Examples:
    """Texts with their labels; the lists have one entry per example.

    Attributes:
        spec: Source of the examples: a path, `tfds:...` or "Dataset".
        task: "classification", "multi_label" or "regression".
        texts: List of str.
        text_pairs: List of str, or None.
        labels: List of str, of lists of str (multi-label) or of float (regression);
            None if no label column was given.
        locations: Records without their values, for raising errors.
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
        """The texts in the form that a task's `fit`, `evaluate` and `predict` take."""
        if self.text_pairs is None:
            return {"text": self.texts}
        return {"text": self.texts, "text_pair": self.text_pairs}

    def split_every(self, period, *, seed=0):
        """Splits into (training examples, about one in `period` examples, held out).

        `held_out_rows` selects them, independently of the order of the rows. Prints how
        many are held out, and a warning if they are all of one class.

        Args:
            period: Integer >= 2.
            seed: Seed of the selection.

        Raises:
            DataError: there are fewer rows than `period`, or none can be held out.
        """
        texts = self.texts
        if self.text_pairs is not None:
            texts = list(zip(texts, self.text_pairs, strict=True))
        labels = self._label_sets()
        rows = rows_to_hold_out(texts, labels, period, seed, spec=self.spec)
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
            some = ", ".join(map(shown, missing[:5])) + (", ..." if missing[5:] else "")
            line += f"; too few texts for {some}"
        print(f"{line}.")
        if len(held_out) == 1 < len(counts):
            print(
                f"warning: {self.spec}: all held-out examples are of one class, "
                f"{shown(min(held_out))}, so their metrics mean little. {VALIDATION}",
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
    """Reads all examples of a file or dataset into memory.

    Args:
        spec: As in `read_records`.
        text_column: Name of the column, or its number starting at 1.
        text_pair_column: Column of the second text. None for single texts.
        label_column: Column of the label. None for texts without labels.
        header: Whether line 1 of a `.tsv` or `.csv` has the column names.
        task: "classification": a label is a string, a JSON integer or a JSON boolean
            (which becomes "true" or "false"); surrounding whitespace is dropped.
            "multi_label": a JSON list of those, or a string with `label_separator`
            between the labels; an empty one means no labels.
            "regression": a finite number.
        label_separator: Separator of the labels in a multi-label cell.

    Returns:
        `Examples`.

    Raises:
        DataError: a record is invalid, or there are none.
    """
    if task not in TASKS:
        raise ValueError(f"task must be one of {TASKS}. Received: {task!r}")
    if label_separator == "":
        raise ValueError("label_separator must not be empty. Received: ''")
    pairs = text_pair_column is not None
    labelled = label_column is not None
    examples = Examples(
        name_of(spec), task, [], [] if pairs else None, [] if labelled else None, []
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
        if header and len(examples) == 1:
            tell_header(record, text_column, text_pair_column, label_column)
    if not examples.texts:
        raise DataError("There must be at least one example.", path=examples.spec)
    return examples


def label_list(examples):
    """The sorted labels of training examples, in the order of the class indices.

    Raises:
        DataError: there are fewer than two classes (one, for multi-label).
    """
    if examples.task == "regression":
        raise ValueError("Only classification tasks have labels. Received: regression")
    nested = examples.task == "multi_label"
    labels = {x for y in examples.labels for x in (y if nested else (y,))}
    if len(labels) < (least := 1 if nested else 2):
        raise DataError(
            f"Training requires at least {least} different labels. "
            f"Received: {sorted(labels)}.",
            path=examples.spec,
        )
    return sorted(labels)


def known_labels(examples, labels=None):
    """Returns the labels of examples after checking that all of them are known.

    Args:
        examples: N labeled examples.
        labels: The class names; None for a regression.

    Returns:
        List of N names, or of N lists of names for multi-label; float32 (N,) for a
        regression.

    Raises:
        DataError: a label is not in `labels`; the message gives its location.
    """
    if examples.labels is None:
        raise ValueError(
            "The examples must have labels: read them with label_column. "
            "Received: labels=None"
        )
    if examples.task == "regression":
        return np.array(examples.labels, np.float32)
    known, nested = set(labels), examples.task == "multi_label"
    for names, place in zip(examples.labels, examples.locations, strict=True):
        for name in names if nested else (names,):
            if name not in known:
                some = ", ".join(map(shown, labels[:10]))
                some += ", ..." if labels[10:] else ""
                raise place.error(
                    f"The label must be one of those in training: {some}. "
                    f"Received: {shown(name)}."
                )
    return list(examples.labels)
