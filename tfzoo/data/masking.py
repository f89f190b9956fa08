"""Masking for the masked-word objective.

Follows Devlin et al. 2018, A.1, and Google's create_pretraining_data.py
(https://github.com/google-research/bert): 15 % of the tokens are selected, at most
`max_predictions`; 80 % of them become [MASK], 10 % stay, 10 % become a random id.

Letters: B rows, S max_sequence_length, M max_predictions, V vocabulary_size.
"""

import numpy as np
import tensorflow as tf


class WordMasking:
    """Masks token ids with TensorFlow operations of static shape.

    Args:
        tokenizer: The tokenizer; its special tokens around texts are never selected.
        max_sequence_length: S.
        max_predictions: M, at most S.
        masked_fraction: Fraction of a row's tokens, including [CLS] and [SEP], to
            select: `min(M, max(1, round(tokens * masked_fraction)))` tokens.
        whole_word: Whether to select all pieces of a word together. Words are taken in
            random order; one that would exceed the number is skipped.
    """

    def __init__(
        self,
        tokenizer,
        *,
        max_sequence_length,
        max_predictions=20,
        masked_fraction=0.15,
        whole_word=False,
    ):
        if not 1 <= max_predictions <= max_sequence_length:
            raise ValueError(
                "max_predictions must be in [1, max_sequence_length]. Received: "
                f"max_predictions={max_predictions}, "
                f"max_sequence_length={max_sequence_length}"
            )
        if not 0 < masked_fraction <= 1:
            raise ValueError(
                f"masked_fraction must be in (0, 1]. Received: {masked_fraction}"
            )
        around = {*tokenizer.layout_ids.tokens, tokenizer.cls_id, tokenizer.sep_id}
        around = [tokenizer.required_id("pad"), *around - {None}]
        self._mask_id = tokenizer.required_id("mask")
        self._vocabulary_size = tokenizer.vocabulary_size
        self._max_predictions = max_predictions
        self._whole_word = whole_word
        selectable = np.ones(tokenizer.vocabulary_size, bool)
        selectable[[*around, self._mask_id]] = False
        self._selectable = selectable
        self._continues = np.asarray(tokenizer.continues, bool)
        self._counts = np.array(  # rounded as in Python, in double precision
            [
                min(max_predictions, max(1, round(tokens * masked_fraction)))
                for tokens in range(max_sequence_length + 1)
            ],
            np.int32,
        )

    def __call__(self, token_ids, padding_mask, seed):
        """Selects tokens and masks them.

        Args:
            token_ids: int32 (B, S).
            padding_mask: int32 (B, S), 1 for a token and 0 for padding.
            seed: (2,) integers; the result is a function of the seed and the ids.

        Returns:
            The masked token ids, int32 (B, S); mask_positions, int32 (B, M), ascending
            and filled up with 0; masked_words, int32 (B, M), the original ids, likewise
            filled up with 0; weights, float32 (B, M), 1 for a masked token and 0 for
            filling.
        """
        choice_seed, action_seed, word_seed = tf.unstack(tf.random.split(seed, 3))
        choose = self._choose_words if self._whole_word else self._choose_tokens
        positions = choose(token_ids, padding_mask, choice_seed)  # S stands for none
        length = tf.shape(token_ids)[1]
        chosen = positions < length
        shape = tf.shape(positions)
        mask_positions = tf.where(chosen, positions, 0)
        words = tf.gather(token_ids, mask_positions, batch_dims=1)
        action = _uniform(shape, action_seed)
        other = tf.random.stateless_uniform(
            shape, word_seed, 0, self._vocabulary_size, tf.int32, alg="philox"
        )
        seen = tf.where(action < 0.9, words, other)
        seen = tf.where(action < 0.8, self._mask_id, seen)
        rows = tf.broadcast_to(tf.range(shape[0])[:, tf.newaxis], shape)
        masked = tf.tensor_scatter_nd_update(
            tf.pad(token_ids, [[0, 0], [0, 1]]),
            tf.stack([rows, positions], axis=-1),
            seen,
        )[:, :length]
        return (
            masked,
            mask_positions,
            tf.where(chosen, words, 0),
            tf.cast(chosen, tf.float32),
        )

    def _candidates(self, token_ids, padding_mask):
        """(bool (B, S), tokens that may be selected; int32 (B,), number to select)."""
        candidates = tf.gather(self._selectable, token_ids) & (padding_mask > 0)
        counts = tf.gather(self._counts, tf.reduce_sum(padding_mask, axis=1))
        available = tf.reduce_sum(tf.cast(candidates, tf.int32), axis=1)
        return candidates, tf.minimum(counts, available)

    def _choose_tokens(self, token_ids, padding_mask, seed):
        candidates, counts = self._candidates(token_ids, padding_mask)
        scores = tf.where(candidates, _uniform(tf.shape(token_ids), seed), -1.0)
        positions = tf.math.top_k(scores, self._max_predictions).indices
        rank = tf.range(self._max_predictions)
        beyond = tf.shape(token_ids)[1]
        return tf.sort(tf.where(rank < counts[:, tf.newaxis], positions, beyond))

    def _choose_words(self, token_ids, padding_mask, seed):
        """Selects whole words: a token and the following ones that continue it.

        Special tokens belong to no word. Taking the best-scored word that still fits, M
        times, selects the same words as a walk over the shuffled words: a word that did
        not fit once never fits later.
        """
        candidates, remaining = self._candidates(token_ids, padding_mask)
        joined = tf.gather(self._continues, token_ids)[:, 1:] & candidates[:, :-1]
        starts = candidates & ~tf.pad(joined, [[0, 0], [1, 0]])
        word = tf.maximum(tf.cumsum(tf.cast(starts, tf.int32), axis=1) - 1, 0)  # (B, S)
        lengths = _sum_by(word, tf.cast(candidates, tf.int32))
        scores = _uniform(tf.shape(token_ids), seed)

        def take_best(count, taken, remaining):
            fits = (taken == 0) & (lengths > 0) & (lengths <= remaining[:, tf.newaxis])
            best = tf.argmax(tf.where(fits, scores, -1.0), axis=1)
            hit = tf.one_hot(best, tf.shape(token_ids)[1], dtype=tf.int32)
            hit *= tf.cast(fits, tf.int32)
            remaining -= tf.reduce_sum(hit * lengths, axis=1)
            return count + 1, taken + hit, remaining

        _, taken, _ = tf.while_loop(
            lambda count, *_: count < self._max_predictions,
            take_best,
            (0, tf.zeros_like(token_ids), remaining),
        )
        chosen = (tf.gather(taken, word, batch_dims=1) > 0) & candidates
        length = tf.shape(token_ids)[1]
        ahead = tf.where(chosen, length - tf.range(length), 0)
        return length - tf.math.top_k(ahead, self._max_predictions).values


def _uniform(shape, seed):
    return tf.random.stateless_uniform(shape, seed, alg="philox")


def _sum_by(index, values):
    """Sums of `values` (B, S) by `index` (B, S) within each row: (B, S)."""
    rows, width = tf.shape(index)[0], tf.shape(index)[1]
    flat = index + tf.range(rows)[:, tf.newaxis] * width
    sums = tf.math.unsorted_segment_sum(
        tf.reshape(values, [-1]), tf.reshape(flat, [-1]), rows * width
    )
    return tf.reshape(sums, [rows, width])
