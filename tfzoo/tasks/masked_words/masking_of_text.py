"""Code shared by the tasks with masked words: the head, and masking raw text.

Shapes: B batch, S sequence, M masked positions, V vocabulary_size.
"""

import keras
import tensorflow as tf

from tfzoo.data.masking import WordMasking
from tfzoo.layers import MaskedLMHead

MASKED_FRACTION = 0.15


def masked_words_head(backbone):
    """The inputs of a masked language model and its logits (B, M, V)."""
    positions = keras.Input((None,), dtype="int32", name="mask_positions")
    logits = MaskedLMHead(
        backbone.token_embedding,
        activation=backbone.word_transform or backbone.activation,
        layer_norm_epsilon=backbone.layer_norm_epsilon,
        dtype=backbone.token_embedding.dtype_policy,
        name="masked_lm_head",
    )(backbone.output["sequence_output"], positions)
    return {**backbone.input, "mask_positions": positions}, logits


def max_predictions(max_sequence_length):
    """The maximum number of masked tokens in an input."""
    return max(1, round(MASKED_FRACTION * max_sequence_length))


def masking_of_batches(tokenizer, *, max_sequence_length, whole_word, seed):
    """A function that masks batches of padded ids for training.

    Args:
        tokenizer: Tokenizer with the special tokens.
        max_sequence_length: Maximum S.
        whole_word: Whether all pieces of a word are masked together.
        seed: Seed of the masks.

    Returns:
        A function of step, inputs (dict of (B, S)) and weights (B,) of the texts that
        returns (inputs with `mask_positions` (B, M), words (B, M), weights (B, M)),
        with M the maximum over the rows.
    """
    most = max_predictions(max_sequence_length)
    masking = WordMasking(
        tokenizer,
        max_sequence_length=max_sequence_length,
        max_predictions=most,
        masked_fraction=MASKED_FRACTION,
        whole_word=whole_word,
    )

    def mask(step, inputs, weight):
        length = tf.shape(inputs["token_ids"])[1]
        wide = [[0, 0], [0, tf.maximum(0, most - length)]]
        token_ids, positions, words, weights = masking(
            tf.pad(inputs["token_ids"], wide),
            tf.pad(inputs["padding_mask"], wide),
            tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)]),
        )
        used = tf.reduce_max(tf.reduce_sum(tf.cast(weights > 0, tf.int32), axis=1))
        used = tf.maximum(used, 1)
        inputs = {
            **inputs,
            "token_ids": token_ids[:, :length],
            "mask_positions": positions[:, :used],
        }
        return inputs, words[:, :used], weights[:, :used] * tf.expand_dims(weight, 1)

    return mask
