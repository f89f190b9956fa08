"""The tokens of sequences in progress, for logits processors.

Shapes: B rows, W token slots, V vocabulary_size.
"""

import typing

import tensorflow as tf


class History(typing.NamedTuple):
    """The tokens of B sequences.

    Attributes:
        tokens: int32 (B, W); row b has `lengths[b]` tokens, the rest is undefined.
        lengths: int32 (B,), number of tokens so far, including the prompt.
        prompt_lengths: int32 (B,).
        finite: Boolean (B,), whether all tokens were selected by finite logits.
        counts: Empty, or `{"prompt": ..., "new": ...}`, int32 (B, V): how often each
            token occurs in the prompt and after it. Stored because recounting at every
            step would be a scatter, which XLA on a CPU runs one element at a time.
    """

    tokens: tf.Tensor
    lengths: tf.Tensor
    prompt_lengths: tf.Tensor
    finite: tf.Tensor
    counts: dict

    @property
    def num_new(self):
        """int32 (B,), number of tokens after the prompt."""
        return self.lengths - self.prompt_lengths

    def with_finite(self, logits):
        """Sets `finite` to whether all logits (B, V) of a row are finite."""
        return self._replace(finite=tf.reduce_all(tf.math.is_finite(logits), axis=1))


def history_of_prompts(prompts, lengths, vocabulary_size=None):
    """The history before the first new token.

    Args:
        prompts: int32 (B, W).
        lengths: int32 (B,).
        vocabulary_size: V to keep counts; None not to.
    """
    counts = {}
    if vocabulary_size is not None:
        rows, width = tf.shape(prompts)[0], tf.shape(prompts)[1]
        row = tf.repeat(tf.range(rows)[:, None], width, axis=1)
        real = tf.sequence_mask(lengths, width)
        counts["prompt"] = tf.scatter_nd(
            tf.stack([row, prompts], axis=-1),
            tf.cast(real, tf.int32),
            tf.stack([rows, vocabulary_size]),
        )
        counts["new"] = tf.zeros_like(counts["prompt"])
    finite = tf.ones_like(lengths, tf.bool)
    return History(prompts, lengths, lengths, finite, counts)


def appended(history, ids, alive):
    """Appends a token to the rows that are `alive`.

    Args:
        history: A `History` with room for another token.
        ids: int32 (B,).
        alive: Boolean (B,).
    """
    width = tf.shape(history.tokens)[1]
    here = (tf.range(width) == history.lengths[:, None]) & alive[:, None]
    counts = dict(history.counts)
    if counts:
        vocabulary = tf.range(tf.shape(counts["new"])[1])
        chosen = (vocabulary == ids[:, None]) & alive[:, None]
        counts["new"] += tf.cast(chosen, tf.int32)
    return history._replace(
        tokens=tf.where(here, ids[:, None], history.tokens),
        lengths=history.lengths + tf.cast(alive, tf.int32),
        counts=counts,
    )
