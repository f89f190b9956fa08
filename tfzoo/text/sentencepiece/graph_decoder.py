"""From ids to text, in TensorFlow operations, as the library of the model does it.

Shapes: B texts, T ids of all texts.
"""

import tensorflow as tf

from tfzoo.text.tokenizer import WHITE_SPACE
from tfzoo.text.vectors import preceding, row_numbers, where, with_values

_BEFORE = rf"\A({WHITE_SPACE}|[\x1c-\x1f])+"
_AFTER = rf"({WHITE_SPACE}|[\x1c-\x1f])+\z"


class GraphDecoder(tf.Module):
    """Joins the texts of pieces.

    Args:
        tokenizer: `SentencePieceTokenizer`.

    Call arguments:
        ids: int32 (B, None), ragged or not.
        before: None, or the ids of the texts that these continue, likewise.

    Returns:
        (B,) strings.
    """

    def __init__(self, tokenizer):
        super().__init__(name="decoder")
        texts = tokenizer.piece_texts
        self._strips, self._strips_space = texts.strips, texts.strips_space
        self._needs_whole_runs = texts.needs_whole_runs
        self._is_plain = max(texts.values) < 0
        # What the first pieces of a text lose, so that strings are stored once
        pairs = list(zip(texts.first, texts.inside, strict=True))
        loses = [first != inside for first, inside in pairs]
        is_prefix = all(a in (b, b.removeprefix(" ")) for a, b in pairs)
        self._lost, self._is_same = r"\A " if is_prefix else " ", not any(loses)
        with tf.init_scope(), tf.device("CPU"):  # with a row for what is no id
            self._inside = tf.constant([*texts.inside, ""])
            self._loses = tf.constant([*loses, False])
            self._is_text = tf.constant([*texts.is_text, False])
            self._is_begun = tf.constant([*texts.is_begun, False])
            self._values = tf.constant([*texts.values, -1], tf.int32)
            self._raw = tf.constant([bytes([byte]) for byte in range(256)])
        self._num_ids = len(texts.inside)

    def __call__(self, ids, before=None):
        values, splits = self._known(ids)
        rows = row_numbers(splits, tf.size(values))
        stay = where(tf.gather(self._is_text, values))
        values, rows = tf.gather(values, stay), tf.gather(rows, stay)
        texts = tf.gather(self._inside, values)
        if before is None:
            is_inside = tf.zeros_like(splits[1:], tf.bool)
        else:
            is_inside = self._has_begun(before)
        if not self._is_same:
            is_first = self._is_first(values, rows) & ~tf.gather(is_inside, rows)
            first = where(is_first & tf.gather(self._loses, values))
            some = tf.strings.regex_replace(tf.gather(texts, first), self._lost, "")
            texts = with_values(texts, first, some)
        if not self._is_plain:
            texts = self._with_bytes(texts, tf.gather(self._values, values), rows)
        texts = tf.strings.unsorted_segment_join(texts, rows, tf.size(splits) - 1)
        if self._strips_space or self._strips:
            pattern = r"\A " if self._strips_space else _BEFORE
            stripped = tf.strings.regex_replace(texts, pattern, "")
            texts = tf.where(is_inside, texts, stripped)
        return tf.strings.regex_replace(texts, _AFTER, "") if self._strips else texts

    def _known(self, ids):
        """Values, with that of no id for those outside the vocabulary, and splits."""
        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.RaggedTensor.from_tensor(ids)
        values = ids.flat_values
        is_id = (values >= 0) & (values < self._num_ids)
        return tf.where(is_id, values, self._num_ids), ids.row_splits

    def _has_begun(self, ids):
        """bool (B,), `PieceTexts.has_begun` of every row of ids."""
        values, splits = self._known(ids)
        count = tf.cumsum(tf.cast(tf.gather(self._is_begun, values), tf.int32))
        count = tf.gather(tf.pad(count, [[1, 0]]), splits)
        return count[1:] > count[:-1]

    def _is_first(self, values, rows):
        """Whether ids are at the start of their text: bool (T,)."""
        before = tf.cumsum(tf.cast(tf.gather(self._is_begun, values), tf.int32))
        start = tf.not_equal(rows, preceding(rows, first=-1))
        ended = preceding(before, first=0)
        of_row = tf.gather(ended, where(start))
        number = tf.cumsum(tf.cast(start, tf.int32)) - 1
        return tf.equal(ended, tf.gather(of_row, number))

    def _with_bytes(self, texts, values, rows):
        """Texts with those of the pieces of bytes, which are UTF-8 or U+FFFD."""
        is_byte = values >= 0
        joins = is_byte & preceding(is_byte, first=False)
        joins &= tf.equal(rows, preceding(rows, first=-1))
        is_valid = _in_characters(values, tf.cumsum(tf.cast(~joins, tf.int32)))
        if self._needs_whole_runs:  # a run is valid or not
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
