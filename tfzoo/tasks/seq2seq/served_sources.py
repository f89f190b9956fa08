"""The ids of sources and targets in a served model.

Shapes: B rows, S columns.
"""

import tensorflow as tf

from tfzoo.serving.request_rows import first_ids
from tfzoo.serving.text_parts import flat_rows, ragged_rows, text_in_parts


def ids_of_texts(tokenizer, texts, most):
    """Strings (B,) -> ids (B, S) of at most `most` tokens, and their numbers (B,)."""

    def tokenize(texts):
        encoded = tokenizer.graph.encode(texts["text"], max_length=most)
        return flat_rows({"ids": encoded["token_ids"]})

    with tf.device("/CPU:0"):
        flat = text_in_parts(tokenize, {"text": texts})
        ids = ragged_rows(flat, ["ids"])["ids"]
        return first_ids(ids, most, tokenizer.required_id("end"))
