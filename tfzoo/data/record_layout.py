"""Pretraining examples as records, in the layout of Google's BERT.

A record is a `tf.train.Example` with int64 `input_ids`, `input_mask`, `segment_ids`
(S), `masked_lm_positions`, `masked_lm_ids` (M), float `masked_lm_weights` (M) and int64
`next_sentence_labels` (1), where 1 means a random next sentence. TF Model Garden's
alternative names `input_word_ids` and `input_type_ids` are accepted, too. Sources:
https://github.com/google-research/bert (create_pretraining_data.py),
https://github.com/tensorflow/models (official/nlp/data/create_pretraining_data.py)

Letters: B rows, S max_sequence_length, M max_predictions, V vocabulary_size.
"""

import dataclasses
import functools
import math

import tensorflow as tf
from google.protobuf.message import DecodeError

from tfzoo.data.tfrecord_frames import read_batches
from tfzoo.errors import DataError

_CHECKED_AT_ONCE = 512
_SECOND_NAMES = {"input_ids": "input_word_ids", "segment_ids": "input_type_ids"}
_IS_RANDOM = "next_sentence_labels"
_WEIGHTS = "masked_lm_weights"


@dataclasses.dataclass(frozen=True)
class RecordLayout:
    """Sizes of the features, and the ranges of their values.

    Attributes:
        max_sequence_length: S.
        max_predictions: M.
        vocabulary_size: V; ids must be less than V.
        next_sentence: Whether to read `next_sentence_labels`.
    """

    max_sequence_length: int
    max_predictions: int
    vocabulary_size: int
    next_sentence: bool = True

    @classmethod
    def of_file(cls, path, vocabulary_size, *, next_sentence=True):
        """Infers the layout from the first record of a file."""
        for _, records in read_batches(path, 1):
            features = _features(path, 0, records.numpy()[0])
            sizes = []
            for name in ("input_ids", "masked_lm_positions"):
                values = _values(features, name)
                if not values:
                    raise _error(path, 0, f"Feature {_shown_name(name)} is missing.")
                sizes.append(len(values))
            return cls(*sizes, vocabulary_size, next_sentence)
        raise DataError("There must be at least one example.", path=path)

    def ranges(self):
        """Dict of name -> (size, exclusive upper bound of the values)."""
        ranges = {
            "input_ids": (self.max_sequence_length, self.vocabulary_size),
            "input_mask": (self.max_sequence_length, 2),
            "segment_ids": (self.max_sequence_length, 2),
            "masked_lm_positions": (self.max_predictions, self.max_sequence_length),
            "masked_lm_ids": (self.max_predictions, self.vocabulary_size),
            _WEIGHTS: (self.max_predictions, math.inf),
        }
        if self.next_sentence:
            ranges[_IS_RANDOM] = (1, 2)
        return ranges

    def parse(self, records):
        """Serialized examples (B,) -> features by first name, int64 and float32.

        A missing feature is filled with -1.
        """
        specs = {}
        for name, (size, _) in self.ranges().items():
            kind = tf.float32 if name == _WEIGHTS else tf.int64
            specs[name] = tf.io.FixedLenFeature([size], kind, [-1] * size)
            if name in _SECOND_NAMES:
                specs[_SECOND_NAMES[name]] = specs[name]
        found = tf.io.parse_example(records, specs)
        for name, second in _SECOND_NAMES.items():
            absent = tf.reduce_all(found[name] == -1, axis=1, keepdims=True)
            found[name] = tf.where(absent, found.pop(second), found[name])
        return found

    def training_batch(self, records):
        """Serialized examples (B,) -> (inputs, targets, weights)."""
        found = self.parse(records)
        ids = {name: tf.cast(x, tf.int32) for name, x in found.items()}
        return as_training_batch(
            ids["input_ids"],
            ids["segment_ids"],
            ids["input_mask"],
            ids["masked_lm_positions"],
            ids["masked_lm_ids"],
            found[_WEIGHTS],
            ids[_IS_RANDOM][:, 0] if self.next_sentence else None,
        )

    def check_files(self, paths):
        """Reads and checks all records; returns the number of records in each file.

        Raises:
            DataError: a file is damaged or a record does not have this layout; the
                message names it.
        """
        all_good = _all_good_function(self)
        counts = []
        for path in paths:
            counts.append(0)
            for first, records in read_batches(path, _CHECKED_AT_ONCE):
                try:
                    good = bool(all_good(records))
                except (tf.errors.InvalidArgumentError, UnicodeDecodeError):
                    good = False  # UnicodeDecodeError: TensorFlow quotes the record
                if not good:
                    self._name_the_bad(path, first, records.numpy())
                counts[-1] += int(records.shape[0])
        return counts

    def _name_the_bad(self, path, first, records):
        for number, record in enumerate(records, start=first):
            features = _features(path, number, record)
            for name, (size, end) in self.ranges().items():
                values = _values(features, name, float if name == _WEIGHTS else int)
                shown = _shown_name(name)
                if values is None:
                    raise _error(path, number, f"Feature {shown} is missing.")
                if len(values) != size:
                    rule = f"Feature {shown} must have {size} values. Received: "
                    raise _error(path, number, rule + f"{len(values)}.")
                outside = [value for value in values if not 0 <= value < end]
                if outside:
                    rule = f"Feature {shown} must be in [0, {end}). Received: "
                    raise _error(path, number, rule + f"{outside[0]}.")
        raise _error(path, first, "A record near this one cannot be parsed.")


@functools.lru_cache(maxsize=8)
def _all_good_function(layout):
    """Serialized examples (B,) -> whether all values are in range."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def all_good(records):
        found = layout.parse(records)
        good = []
        for name, (_, end) in layout.ranges().items():
            values = found[name]
            below = values < tf.cast(end, values.dtype)
            good.append(tf.reduce_all((values >= 0) & below))
        return tf.reduce_all(good)

    return all_good


def as_training_batch(
    token_ids, segment_ids, padding_mask, positions, words, weights, is_random
):
    """Returns (inputs, targets, weights) for `BertPretrainer`.

    `is_random` (B,) is 1 if the second segment is a random one; it may be None.
    """
    inputs = {
        "token_ids": token_ids,
        "segment_ids": segment_ids,
        "padding_mask": padding_mask,
        "mask_positions": positions,
    }
    targets, shares = {"masked_words": words}, {"masked_words": weights}
    if is_random is not None:
        targets["next_sentence"] = is_random
        shares["next_sentence"] = tf.ones_like(is_random, tf.float32)
    return inputs, targets, shares


def weigh_first(batch, count):
    """Sets the weights of all rows after the first `count` to 0."""
    inputs, targets, weights = batch

    def weighed(weight):
        rows = tf.range(tf.shape(weight)[0], dtype=tf.int64)
        real = tf.cast(rows < tf.cast(count, tf.int64), weight.dtype)
        return weight * tf.reshape(real, [-1] + [1] * (len(weight.shape) - 1))

    return inputs, targets, {name: weighed(w) for name, w in weights.items()}


def serialised(batch):
    """(inputs, targets, weights) as arrays -> list of B bytes, in Google's layout."""
    inputs, targets, weights = batch
    columns = {
        "input_ids": inputs["token_ids"].tolist(),
        "input_mask": inputs["padding_mask"].tolist(),
        "segment_ids": inputs["segment_ids"].tolist(),
        "masked_lm_positions": inputs["mask_positions"].tolist(),
        "masked_lm_ids": targets["masked_words"].tolist(),
        _WEIGHTS: weights["masked_words"].tolist(),
        _IS_RANDOM: targets["next_sentence"][:, None].tolist(),
    }
    return [
        _serialised(dict(zip(columns, row, strict=True)))
        for row in zip(*columns.values(), strict=True)
    ]


def _serialised(row):
    features = {}
    for name, values in row.items():
        if name == _WEIGHTS:
            feature = tf.train.Feature(float_list=tf.train.FloatList(value=values))
        else:
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        features[name] = feature
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def _features(path, number, record):
    try:
        return tf.train.Example.FromString(record).features.feature
    except DecodeError:
        raise _error(path, number, "The record must be a tf.train.Example.") from None


def _values(features, name, kind=int):
    for known in (name, _SECOND_NAMES.get(name, name)):
        if known in features:
            lists = features[known]
            chosen = lists.float_list if kind is float else lists.int64_list
            return list(chosen.value)
    return None


def _shown_name(name):
    second = _SECOND_NAMES.get(name)
    return repr(name) + (f" (or {second!r})" if second else "")


def _error(path, number, rule):
    return DataError(rule, path=path, record=number)
