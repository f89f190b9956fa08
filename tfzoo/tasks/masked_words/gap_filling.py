"""Predicts words for the mask tokens of texts.

Shapes: B texts of a batch, S sequence, M gaps of a text, V vocabulary_size, K top_k.
"""

import functools
import itertools

import numpy as np
import tensorflow as tf

from tfzoo.data.string_batches import dense_batch
from tfzoo.errors import is_whole, shown
from tfzoo.layers.keywords import known_keywords
from tfzoo.tasks.inputs import text_of, texts_or_one
from tfzoo.tasks.plan import BATCH_SIZE

MOST_LOGITS = 2**25  # per batch: 128 MB


def likeliest_words(logits, vocabulary_size, top_k):
    """Logits (B, M, V) -> the largest probabilities and their ids, (B, M, K) each.

    Used in Python and in served graphs.

    Args:
        logits: Floating point.
        vocabulary_size: Size of the tokenizer's vocabulary; larger ids have no string.
        top_k: K.
    """
    return tf.math.top_k(tf.nn.softmax(logits)[..., :vocabulary_size], top_k)


class GapFilling:
    """Mixin: `fill_mask` of a task whose model scores words at `mask_positions`."""

    @known_keywords()
    def fill_mask(self, texts, top_k=5):
        """The most likely words for each mask token, such as `[MASK]` or `<mask>`.

        Args:
            texts: A text, str or bytes, or a column of them: a list, an array, a string
                tensor, a column of a data frame, an iterator. Each must contain one or
                more mask tokens, all within its first `max_sequence_length` tokens.
            top_k: Number of words per mask token.

        Returns:
            For each text a list with, for each of its mask tokens, a list of `top_k`
            dicts with the text `token` and its probability `score`, most likely first.
            For a single text, only its list.

        Raises:
            ValueError: a text is missing, has no mask token or one that is truncated;
                `top_k` is out of range; or the model's scores are not finite.
        """
        most = self.tokenizer.vocabulary_size
        if not is_whole(top_k) or not 1 <= top_k <= most:
            raise ValueError(
                f"top_k must be an integer in [1, {most}], the size of the vocabulary. "
                f"Received: {shown(top_k)}"
            )
        texts, single = texts_or_one(texts)
        rows = self._rows_with_gaps(texts)
        found = [None] * len(texts)
        lengths = [len(ids) for ids, _ in rows]
        for batch in _batches(np.argsort(lengths, kind="stable"), rows, most):
            for row, scores, ids in zip(
                batch, *self._likeliest([rows[i] for i in batch], top_k), strict=True
            ):
                found[row] = self._words(row, scores[: len(rows[row][1])], ids)
        return found[0] if single else found

    def _rows_with_gaps(self, texts):
        """For each text, its ids and the positions of its mask tokens."""
        encode = functools.partial(self.tokenizer.encode_batch, mask_token=True)
        cut = _rows(encode(texts, max_length=self.max_sequence_length))
        mask_id, rows = self.tokenizer.mask_id, []
        for row, (ids, whole) in enumerate(zip(cut, _rows(encode(texts)), strict=True)):
            gaps = np.flatnonzero(ids == mask_id)
            lost = np.count_nonzero(whole == mask_id) - len(gaps)
            if lost or not len(gaps):
                without = f"{lost} beyond them" if lost else "none"
                raise ValueError(
                    f"A text must contain {self.tokenizer.mask_token} within its first "
                    f"{self.max_sequence_length} tokens. Received: {without} in row "
                    f"{row}, {shown(text_of(texts[row]))}"
                )
            rows.append((ids, gaps))
        return rows

    def _likeliest(self, rows, top_k):
        """Probabilities and ids (B, M, K) for rows of (ids, gaps)."""
        ids = tf.ragged.constant([ids for ids, _ in rows], dtype=tf.int32)
        inputs = dense_batch(
            {"token_ids": ids, "segment_ids": tf.zeros_like(ids)},
            self.tokenizer.pad_id,
            self.length_multiple,
        )
        positions = np.zeros((len(rows), max(len(gaps) for _, gaps in rows)), np.int32)
        for row, (_, gaps) in zip(positions, rows, strict=True):
            row[: len(gaps)] = gaps
        logits = self.outputs_of({**inputs, "mask_positions": positions})
        scores, ids = likeliest_words(logits, self.tokenizer.vocabulary_size, top_k)
        return scores.numpy(), ids.numpy()

    def _words(self, row, scores, ids):
        if not np.isfinite(scores).all():
            raise ValueError(
                "Scores must be finite, but the model's weights are not, or its dtype "
                f"{self.backbone.dtype_name} overflows. Received: NaN in row {row}"
            )
        text = self.tokenizer.token_text
        return [
            [
                {"token": text(int(i)), "score": float(score)}
                for i, score in zip(*gap, strict=True)
            ]
            for gap in zip(ids[: len(scores)], scores, strict=True)
        ]


def _rows(encoded):
    """The ids of an `EncodedBatch`, one array per text."""
    splits = encoded.row_splits
    return [encoded.token_ids[a:b] for a, b in itertools.pairwise(splits)]


def _batches(order, rows, vocabulary_size):
    """Yields lists of row numbers whose logits fit in memory."""
    batch, most = [], 0
    for row in order:
        most = max(most, len(rows[row][1]))
        full = (len(batch) + 1) * most * vocabulary_size > MOST_LOGITS
        if batch and (full or len(batch) == BATCH_SIZE):
            yield batch
            batch, most = [], len(rows[row][1])
        batch.append(int(row))
    if batch:
        yield batch
