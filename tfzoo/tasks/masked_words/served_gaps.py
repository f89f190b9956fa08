"""The signatures of a served masked language model: texts in, words out.

Shapes: B rows, S tokens, M mask tokens, K answers for each, V vocabulary.
"""

import tensorflow as tf

from tfzoo.serving.core import of_width
from tfzoo.serving.signatures import (
    STRINGS,
    encoded,
    strings_and_ids,
    traced,
)
from tfzoo.tasks.masked_words.gap_filling import likeliest_words


def masked_lm_signatures(
    core,
    tokenizer,
    *,
    top_k=5,
):
    """The signatures of a masked language model.

    `serving_default` takes `text` string (B,) with the tokenizer's mask tokens, such as
    `[MASK]` or `<mask>`, and returns, most likely first,

    - `tokens` string (B, M, K): texts of tokens, including the space before a word if
      it is part of the token, as in `" fox"`;
    - `scores` float32 (B, M, K): their probabilities.

    M is the maximum number of mask tokens in a text of the batch, in reading order. If
    a text has fewer, its row is padded with empty strings and scores of 0; the result
    for a text never depends on the others. Mask tokens that are truncated have no
    answers. Without any mask token, M is 0.

    `token_ids` takes `token_ids`, `segment_ids` (if the core has segments) and
    `padding_mask` int32 (B, S), with S from 1 to `max_sequence_length`, and
    `mask_positions` int32 (B, M), and returns
    `logits` float32 (B, M, V).

    Args:
        core: A `PaddedCore` with `mask_positions` that returns logits (B, M, V).
        tokenizer: The tokenizer.
        top_k: Number of answers K per mask token.

    Returns:
        `ServedModel`.
    """
    mask_id = tokenizer.required_id("mask")
    words = [tokenizer.token_text(i) for i in range(tokenizer.vocabulary_size)]
    if not 1 <= top_k <= len(words):
        raise ValueError(
            f"top_k must be in [1, {len(words)}], the size of the vocabulary. "
            f"Received: top_k={top_k}"
        )

    @traced(text=STRINGS)
    def serving_default(text):
        inputs = encoded(
            tokenizer, {"text": text}, core.max_sequence_length, mask_token=True
        )
        with tf.device("/CPU:0"):
            positions, masks = _positions(inputs["token_ids"], mask_id)
            width = tf.shape(positions)[1]

        def likeliest(logits, rows):
            scores, ids = likeliest_words(logits, len(words), top_k)
            return {"ids": of_width(ids, width), "scores": of_width(scores, width)}

        best = core(
            {**inputs, "mask_positions": positions},
            likeliest,
            tf.reduce_sum(inputs["padding_mask"], axis=1),
            masks,
        )
        with tf.device("/CPU:0"):
            real = tf.sequence_mask(masks, width)[..., None]
            tokens = tf.gather(tf.constant(words), best["ids"])
            return {
                "tokens": tf.where(real, tokens, ""),
                "scores": tf.where(real, best["scores"], 0.0),
            }

    return strings_and_ids(serving_default, "logits", core, tokenizer)


def _positions(token_ids, mask_id):
    """Positions of the mask tokens (B, M), padded with 0, and their numbers (B,)."""
    rows, columns = tf.unstack(tf.where(tf.equal(token_ids, mask_id)), axis=1)
    gaps = tf.RaggedTensor.from_value_rowids(
        tf.cast(columns, tf.int32), rows, nrows=tf.shape(token_ids, tf.int64)[0]
    )
    return gaps.to_tensor(0), tf.cast(gaps.row_lengths(), tf.int32)
