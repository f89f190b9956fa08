"""Scores texts in a served causal language model.

Shapes: B texts, S tokens, V vocabulary_size.
"""

import tensorflow as tf

from tfzoo.generation.decoding import read_prompts
from tfzoo.serving.core import PART, longest_first, num_columns, rows_of_part
from tfzoo.serving.request_rows import first_ids, padded_ids, padded_rows
from tfzoo.serving.text_parts import flat_rows, ragged_rows, text_in_parts

TOKENS_AT_ONCE = 256  # tokens whose logits are in memory


def laid_out(decoder, kernels):
    """A decoder with its kernels, variables of the served model.

    They are stored instead of the weights that they are made from.
    """
    tensors = {path: tf.convert_to_tensor(kernel) for path, kernel in kernels.items()}
    return decoder.laid_out(tensors, alone=True)


class TextScoring:
    """Strings (B,) -> `log_probability` float32 and `token_count` int32 (B,).

    Args:
        decoder: A `Decoder`.
        kernels: Its `kernels_for` a single row, as variables.
        tokenizer: A `ByteBPETokenizer` or `SentencePieceTokenizer` with an end token.
        max_sequence_length: Maximum number of tokens S of a text. Defaults to the
            decoder's.
        jit_compile: Whether XLA compiles the numeric part.
    """

    def __init__(self, decoder, kernels, tokenizer, max_sequence_length, jit_compile):
        self._decoder, self._kernels, self._tokenizer = decoder, kernels, tokenizer
        self._end_id = tokenizer.required_id("end")
        self._jit_compile = jit_compile
        self.max_sequence_length = max_sequence_length or decoder.max_sequence_length
        self._compute = tf.function(
            self._log_probability,
            input_signature=[
                tf.TensorSpec([None, None], tf.int32),
                tf.TensorSpec([None], tf.int32),
            ],
            autograph=False,
            jit_compile=jit_compile or None,
        )

    def __call__(self, texts):
        most = self.max_sequence_length

        def tokenize(texts):
            return flat_rows(
                {"ids": self._tokenizer.graph.in_bounds(texts["text"])[:, :most]}
            )

        with tf.device("/CPU:0"):
            flat = text_in_parts(tokenize, {"text": texts})
            ids = ragged_rows(flat, ["ids"])["ids"]
            ids, lengths = first_ids(ids, most, self._end_id)

        def score(rows):
            with tf.device("/CPU:0"):
                kept = tf.gather(lengths, rows)
                part = tf.gather(ids, rows)[:, : tf.reduce_max(tf.pad(kept, [[0, 1]]))]
                part = padded_ids(part, self._end_id, most, self._jit_compile)
                real = padded_rows(kept, tf.shape(part)[0], 0)
            return {"sums": self._compute(part, real)[: tf.size(rows)]}

        found = longest_first(
            score,
            lengths,
            lambda cost: rows_of_part(
                num_columns(cost, most, jit_compile=self._jit_compile),
                PART,
                jit_compile=self._jit_compile,
            ),
        )
        return {"log_probability": found["sums"], "token_count": lengths}

    def _log_probability(self, ids, lengths):
        """Ids (B, S) of texts with these lengths -> float32 (B,)."""
        shape, begin_id = tf.shape(ids), self._tokenizer.begin_id
        before = tf.pad(ids[:, :-1], [[0, 0], [1, 0]], constant_values=begin_id)
        mask = tf.sequence_mask(lengths, shape[1], tf.int32)
        decoder = laid_out(self._decoder, self._kernels)
        hidden, _ = read_prompts(decoder, before, lengths, every_position=True)
        # Logits (B, S, V) of a whole part would not fit in memory.
        size = tf.reduce_prod(shape)
        some = tf.minimum(size, TOKENS_AT_ONCE)
        number = (size + some - 1) // some
        hidden = tf.reshape(hidden, [size, hidden.shape[-1]])
        more = number * some - size
        hidden = tf.reshape(
            tf.pad(hidden, [[0, more], [0, 0]]), [number, some, hidden.shape[-1]]
        )
        labels = tf.reshape(tf.pad(tf.reshape(ids, [-1]), [[0, more]]), [number, some])

        losses = tf.map_fn(
            lambda tokens: tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=tokens[1], logits=decoder.logits(tokens[0])
            ),
            (hidden, labels),
            parallel_iterations=1,
            fn_output_signature=tf.float32,
        )
        losses = tf.reshape(tf.reshape(losses, [-1])[:size], shape)
        return 0.0 - tf.reduce_sum(losses * tf.cast(mask, tf.float32), axis=1)
