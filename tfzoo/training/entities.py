"""Decoding of entities from word labels, and their metrics.

A label is `O` (no entity) or a tag and a type, such as `B-PER`. The tags are those of
IOB1, IOB2, BIOES and BILOU: B begins an entity, I continues one, E or L ends one, S or
U is a single-word entity. Sequences that are invalid in every scheme are decoded, too:
a word continues the entity before it if it is tagged I, E or L, the previous word is
tagged B or I, and both have the same type; any other word except O begins an entity. A
label without a tag counts as tagged I, and a tag without a type has the type `_`.

This is how conlleval and `seqeval` decode labels; for sequences that are valid in their
scheme, the strict mode of `seqeval` gives the same. L and U, which conlleval does not
know, are treated like E and S.

Shapes: B batch, S sequence, C labels.

Source: Tjong Kim Sang and De Meulder 2003, https://aclanthology.org/W03-0419,
conlleval; `get_entities` of https://github.com/chakki-works/seqeval
"""

import re
import typing

import keras
import numpy as np
from keras import ops

from tfzoo.training.metrics import Figures

OUTSIDE = "O"


def entity_spans(labels):
    """Entities of a sentence: list of (type, index of first word, index of last word).

    Args:
        labels: Label names of the words, in order.
    """
    spans, before = [], _OUTSIDE
    for i, word in enumerate(map(_read, labels)):
        if word.type is not None:
            if word.type == before.type and not (word.begins or before.ends):
                spans[-1] = (*spans[-1][:2], i)
            else:
                spans.append((word.type, i, i))
        before = word
    return spans


class _Tagged(typing.NamedTuple):
    """A parsed label: its type or None, and whether an entity begins or ends there."""

    type: str | None
    begins: bool = False
    ends: bool = False


_OUTSIDE = _Tagged(None)
_LABEL = re.compile("([BIOELSU])(?:[-_](.*))?", re.DOTALL)


def _read(label):
    match = _LABEL.fullmatch(label)
    if match is None:
        return _Tagged(label)
    tag, kind = match.groups()
    if tag == OUTSIDE:
        return _OUTSIDE
    return _Tagged(kind or "_", begins=tag in "BSU", ends=tag in "ELSU")


@keras.saving.register_keras_serializable("tfzoo")
class EntityMetrics(Figures):
    """Accuracy over words; precision, recall and F1 over whole entities.

    An entity is correct if its type, first word and last word are. A ratio with a zero
    denominator is 0.

    Args:
        labels: Names of the C labels, in order.
        prefix: Prefix of the result names.
        name: Name of the metric.

    Call arguments:
        y_true: (B, S) label indices.
        y_pred: (B, S, C) logits.
        sample_weight: (B, S); positions of weight 0 are not words, all others count
            equally. None: every position is a word.
    """

    def __init__(self, labels, prefix="", name="entities"):
        super().__init__(name, prefix)
        self.labels = list(labels)
        words = [_read(label) for label in self.labels]
        types = dict.fromkeys([None, *(word.type for word in words)])
        numbers = {kind: i for i, kind in enumerate(types)}
        self._types = np.array([numbers[word.type] for word in words], np.int32)
        self._begins = np.array([word.begins for word in words])
        self._ends = np.array([word.ends for word in words])
        # Correct words, all words; correct, true and predicted entities
        self.counts = self.add_variable((5,), "zeros", dtype="float32", name="counts")

    def update_state(self, y_true, y_pred, sample_weight=None):
        found = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        true = ops.reshape(ops.cast(y_true, "int32"), ops.shape(found))
        is_word = ops.ones_like(true, "bool")
        if sample_weight is not None:
            is_word = ops.cast(sample_weight, "float32") > 0
        true, found, is_word = _words_first(true, found, is_word)
        right = ops.logical_and(is_word, ops.equal(true, found))
        entities = _count_entities(
            *self._read(true, is_word), *self._read(found, is_word)
        )
        counts = [right, is_word, *entities]
        self.counts.assign_add(
            ops.stack([ops.sum(ops.cast(count, "float32")) for count in counts])
        )

    def _read(self, labels, is_word):
        """Entity type of every position, 0 for none; whether an entity begins there."""
        types = ops.take(ops.convert_to_tensor(self._types), labels, axis=0)
        types = types * ops.cast(is_word, "int32")
        begins, ends = (
            ops.take(ops.convert_to_tensor(flags), labels, axis=0)
            for flags in (self._begins, self._ends)
        )
        before, ended = (ops.pad(x, [[0, 0], [1, 0]])[:, :-1] for x in (types, ends))
        begins = ops.logical_or(begins, ended)
        begins = ops.logical_or(begins, ops.not_equal(types, before))
        return types, ops.logical_and(begins, types > 0)

    def result(self):
        right, words, correct, true, found = ops.unstack(
            ops.convert_to_tensor(self.counts)
        )
        return self._named(
            accuracy=ops.divide_no_nan(right, words),
            precision=ops.divide_no_nan(correct, found),
            recall=ops.divide_no_nan(correct, true),
            f1=ops.divide_no_nan(2 * correct, true + found),
        )

    def get_config(self):
        return {**super().get_config(), "labels": self.labels}


def _words_first(true, found, is_word):
    """The same rows with the words moved to the front, in order."""
    length = ops.shape(true)[1]
    keys = ops.arange(length, dtype="int32")
    keys = keys + length * ops.cast(ops.logical_not(is_word), "int32")
    order = ops.argsort(keys, axis=1)
    return [ops.take_along_axis(x, order, axis=1) for x in (true, found, is_word)]


def _count_entities(true, true_begins, found, found_begins):
    """Correct entities (N,); where true entities begin, and where predicted ones do."""
    differ = ops.logical_or(
        ops.not_equal(true, found), ops.not_equal(true_begins, found_begins)
    )
    ends_apart = ops.not_equal(
        _goes_on(true, true_begins), _goes_on(found, found_begins)
    )
    wrong = ops.logical_and(ops.logical_or(differ, ends_apart), true > 0)
    number = ops.cumsum(ops.cast(ops.reshape(true_begins, (-1,)), "int32"))
    size = ops.shape(number)[0] + 1
    mistakes = ops.segment_sum(
        ops.cast(ops.reshape(wrong, (-1,)), "int32"), number, num_segments=size
    )
    places = ops.arange(size, dtype="int32")  # place 0: anything before all entities
    exists = ops.logical_and(places > 0, places <= ops.max(number, initial=0))
    return ops.logical_and(mistakes == 0, exists), true_begins, found_begins


def _goes_on(types, begins):
    """Where an entity continues with the next word."""
    goes_on = ops.logical_and(types > 0, ops.logical_not(begins))
    return ops.pad(goes_on, [[0, 0], [0, 1]])[:, 1:]
