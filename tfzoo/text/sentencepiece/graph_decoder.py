"""From ids to text, in TensorFlow operations, as the library of the model does it.

Shapes: B texts, T ids of all texts.
"""

import re

import numpy as np
import tensorflow as tf

from tfzoo.text.sentencepiece.json_file import BYTE_FALLBACK, METASPACE, STRIPPED
from tfzoo.text.sentencepiece.piece_model import SPACE
from tfzoo.text.tokenizer import WHITE_SPACE
from tfzoo.text.vectors import preceding, row_numbers, where

_BYTE = re.compile(r"<0x(\+?[0-9A-Fa-f]+)>")
_AROUND = rf"\A({WHITE_SPACE}|[\x1c-\x1f])+|({WHITE_SPACE}|[\x1c-\x1f])+\z"


class GraphDecoder(tf.Module):
    """Joins the texts of pieces.

    Args:
        tokenizer: `SentencePieceTokenizer`.

    Call arguments:
        ids: int32 (B, None), ragged or not.

    Returns:
        (B,) strings.
    """

    def __init__(self, tokenizer):
        super().__init__(name="decoder")
        model, vocabulary = tokenizer.piece_model, tokenizer.vocabulary
        self._model, self._is_own = model, tokenizer.ids_of_pieces is None
        texts = [_text(tokenizer, index) for index in range(len(vocabulary))]
        if model.is_tokenizers:
            removes = model.decodes == METASPACE
            first = [t.replace(" ", "") if removes else t for t in texts]
        else:
            first = [text.removeprefix(" ") for text in texts]
        first[tokenizer.unknown_id] = texts[tokenizer.unknown_id]
        values = [_byte(tokenizer, index) for index in range(len(vocabulary))]
        is_text = np.array([*map(bool, texts), False]) | (np.array([*values, -1]) >= 0)
        if model.is_tokenizers:
            is_text = ~np.array([*(tokenizer.special), True])
            is_text[:-1] &= [token is not None for token in vocabulary]
        ends = np.array([*map(bool, first), False]) | (np.array([*values, -1]) >= 0)
        if model.is_tokenizers:
            ends[:] = True  # only the very first piece is special
        elif "remove_extra_spaces" not in model.steps:
            ends[:-1] |= [text.startswith(" ") for text in texts]
        self._is_plain = not (values and max(values) >= 0)
        with tf.init_scope(), tf.device("CPU"):
            self._texts = tf.constant([*texts, ""])
            self._first = tf.constant([*first, ""])
            self._is_text, self._ends = tf.constant(is_text), tf.constant(ends)
            self._values = tf.constant([*values, -1], tf.int32)
            self._raw = tf.constant([bytes([byte]) for byte in range(256)])
        self._num_ids = len(vocabulary)

    def __call__(self, ids):
        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.RaggedTensor.from_tensor(ids)
        values, splits = ids.flat_values, ids.row_splits
        is_id = (values >= 0) & (values < self._num_ids)
        values = tf.where(is_id, values, self._num_ids)
        rows = row_numbers(splits, tf.size(values))
        stay = where(tf.gather(self._is_text, values))
        values, rows = tf.gather(values, stay), tf.gather(rows, stay)
        texts = tf.gather(self._texts, values)
        if self._trims_first():
            before = tf.cumsum(tf.cast(tf.gather(self._ends, values), tf.int32))
            start = tf.not_equal(rows, preceding(rows, first=-1))
            ended = preceding(before, first=0)
            of_row = tf.gather(ended, where(start))
            number = tf.cumsum(tf.cast(start, tf.int32)) - 1
            is_first = tf.equal(ended, tf.gather(of_row, number))
            texts = tf.where(is_first, tf.gather(self._first, values), texts)
        if not self._is_plain:
            texts = self._with_bytes(texts, tf.gather(self._values, values), rows)
        texts = tf.strings.unsorted_segment_join(texts, rows, tf.size(splits) - 1)
        if self._model.decodes == STRIPPED:
            return tf.strings.regex_replace(texts, r"\A ", "")
        if not self._is_own:
            return tf.strings.regex_replace(texts, _AROUND, "")
        return texts

    def _trims_first(self):
        if self._model.is_tokenizers:
            return self._model.decodes == METASPACE
        return {"dummy_prefix", "remove_extra_spaces"} & {*self._model.steps}

    def _with_bytes(self, texts, values, rows):
        """Texts with those of the pieces of bytes, which are UTF-8 or U+FFFD."""
        is_byte = values >= 0
        joins = is_byte & preceding(is_byte, first=False)
        joins &= tf.equal(rows, preceding(rows, first=-1))
        is_valid = _in_characters(values, tf.cumsum(tf.cast(~joins, tf.int32)))
        if self._model.is_tokenizers:  # a run is valid or not
            run = tf.cumsum(tf.cast(~joins, tf.int32)) - 1
            whole = tf.math.segment_min(tf.cast(is_valid, tf.int32), run)
            is_valid = tf.cast(tf.gather(whole, run), tf.bool)
        raw = tf.gather(self._raw, tf.maximum(values, 0))
        return tf.where(is_byte, tf.where(is_valid, raw, "\ufffd"), texts)


def _in_characters(values, runs):
    """Whether each byte is part of a valid character of its run: bool (T,)."""
    ahead = tf.pad(values, [[0, 3]], constant_values=-1)
    runs_ahead = tf.pad(runs, [[0, 3]], constant_values=-1)
    size = tf.size(values)
    inner = []  # the bytes after each one, -1 outside of its run
    for offset in (1, 2, 3):
        same = tf.equal(runs_ahead[offset : offset + size], runs)
        inner.append(tf.where(same, ahead[offset : offset + size], -1))
    continues = [tf.equal(byte & 0xC0, 0x80) & (byte >= 0) for byte in inner]
    second, lead = inner[0], values
    two = (lead >= 0xC2) & (lead < 0xE0) & continues[0]
    three = tf.equal(lead & 0xF0, 0xE0) & continues[0] & continues[1]
    three &= (second >= 0xA0) | tf.not_equal(lead, 0xE0)
    three &= (second < 0xA0) | tf.not_equal(lead, 0xED)
    four = (lead >= 0xF0) & (lead < 0xF5) & continues[0] & continues[1] & continues[2]
    four &= (second >= 0x90) | tf.not_equal(lead, 0xF0)
    four &= (second < 0x90) | tf.not_equal(lead, 0xF4)
    length = tf.where(two, 2, tf.where(three, 3, tf.where(four, 4, 0)))
    length = tf.where((lead >= 0) & (lead < 0x80), 1, length)
    behind = tf.pad(length, [[3, 0]])
    covered = length > 0
    for offset in (1, 2, 3):
        covered |= behind[3 - offset : 3 - offset + size] > offset
    return covered


def _text(tokenizer, index):
    """The text of an id in the middle of a text."""
    model, token = tokenizer.piece_model, tokenizer.vocabulary[index]
    if index == tokenizer.unknown_id and not model.is_tokenizers:
        return model.unknown_surface
    if token is None or tokenizer.special[index]:
        return ""
    return token.replace(SPACE, " ")


def _byte(tokenizer, index):
    """The byte that an id stands for, or -1."""
    model, token = tokenizer.piece_model, tokenizer.vocabulary[index]
    if token is None or tokenizer.special[index] or len(token) != 6:
        return -1
    if model.is_tokenizers and model.decodes not in (BYTE_FALLBACK, STRIPPED):
        return -1
    if not model.is_tokenizers and not model.byte_fallback:
        return -1
    found = _BYTE.fullmatch(token)
    return int(found[1], 16) if found else -1
