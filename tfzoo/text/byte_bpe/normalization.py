"""The normalizers in `declaration`, in TensorFlow."""

import functools

import numpy as np
import tensorflow as tf
from tokenizers import normalizers

from tfzoo.text.composed_form import ComposedForm
from tfzoo.text.wordpiece.codepoint_lookup import CodePointTable
from tfzoo.text.wordpiece.codepoint_tables import NUM_CODE_POINTS, two_level

_FENCE = "\u2502"


class LowerCase(tf.Module):
    """Converts every character to lower case; arguments are those of `ComposedForm`."""

    def __init__(self):
        super().__init__(name="lower_case")
        (pages, blocks), expansions = lower_case_tables()
        self._table = CodePointTable(pages, blocks)
        with tf.init_scope(), tf.device("CPU"):
            self._expansions = tf.constant(expansions)

    def __call__(self, code_points, splits):
        lower = self._table(code_points)
        return tf.cond(
            tf.reduce_any(lower < 0),
            lambda: self._expanded(lower, splits),
            lambda: (lower, splits, tf.range(tf.size(lower, tf.int64))),
        )

    def _expanded(self, lower, splits):
        """With the code points that become two, which have the rows -1, -2, ..."""
        row = tf.maximum(-lower - 1, 0)
        second = tf.where(lower < 0, tf.gather(self._expansions[:, 1], row), -1)
        first = tf.where(lower < 0, tf.gather(self._expansions[:, 0], row), lower)
        both = tf.reshape(tf.stack([first, second], 1), [-1])
        is_there = both >= 0
        origins = tf.repeat(tf.range(tf.size(lower, tf.int64)), 2)
        counts = tf.pad(tf.cumsum(tf.cast(is_there, tf.int64)), [[1, 0]])
        return (
            tf.boolean_mask(both, is_there),
            tf.gather(counts, 2 * splits),
            tf.boolean_mask(origins, is_there),
        )


class ComposedLowerCase(tf.Module):
    """CLIP's normalizer; arguments are those of `ComposedForm`.

    White space is in no word of CLIP, and need not become a single space.
    """

    def __init__(self):
        super().__init__(name="composed_lower_case")
        self._compose, self._lower = ComposedForm(), LowerCase()

    def __call__(self, code_points, splits):
        code_points, splits, origins = self._compose(code_points, splits)
        code_points, splits, places = self._lower(code_points, splits)
        return code_points, splits, tf.gather(origins, places)


NORMALIZATIONS = {"nfc": ComposedForm, "clip": ComposedLowerCase}


@functools.lru_cache(maxsize=1)
def lower_case_tables():
    """The lower case of all code points, as in the installed engine.

    Returns:
        Arrays of `two_level`: the lower case, or `-1 - row` for two code points; and
        int32 (rows, 2), these.
    """
    bounds = ((0, 0xD800), (0xE000, NUM_CODE_POINTS))
    code_points = np.concatenate([np.arange(*pair, dtype="<u4") for pair in bounds])
    text = code_points.tobytes().decode("utf-32-le")
    forms = normalizers.Lowercase().normalize_str(_FENCE.join(text.replace(_FENCE, "")))
    table, pairs = np.arange(NUM_CODE_POINTS, dtype=np.int32), []
    for character, form in zip(
        text.replace(_FENCE, ""), forms.split(_FENCE), strict=True
    ):
        if len(form) > 1:
            pairs.append(tuple(map(ord, form)))
            table[ord(character)] = -len(pairs)
        elif form != character:
            table[ord(character)] = ord(form)
    return two_level(table), np.array(pairs, np.int32)
