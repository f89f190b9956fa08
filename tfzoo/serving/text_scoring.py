"""How likely a served causal language model finds texts.

Shapes: B texts, S tokens, V vocabulary_size.
"""

import tensorflow as tf

from tfzoo.serving.request_rows import first_ids, padded_ids, padded_rows


class TextScoring:
    """Strings (B,) -> `log_probability` float32 and `token_count` int32 (B,).

    Args:
        decoder: A `GPTDecoder`.
        tokenizer: A `ByteBPETokenizer` with an end token.
        max_sequence_length: The most tokens S of a text; None takes the decoder's.
        jit_compile: Whether XLA compiles the numeric part.
    """

    def __init__(self, decoder, tokenizer, max_sequence_length, jit_compile):
        self._decoder, self._tokenizer = decoder, tokenizer
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
        with tf.device("/CPU:0"):
            count = tf.shape(texts)[0]
            ids, lengths = first_ids(
                self._tokenizer.graph(texts), self.max_sequence_length, self._end_id
            )
            most = self.max_sequence_length
            ids = padded_ids(ids, self._end_id, most, self._jit_compile)
            real = padded_rows(lengths, tf.shape(ids)[0], 0)
        sums = self._compute(ids, real)
        return {"log_probability": sums[:count], "token_count": lengths}

    def _log_probability(self, ids, lengths):
        """Ids (B, S) after the end token, of which `lengths` count -> float32 (B,)."""
        width = tf.shape(ids)[1]
        before = tf.pad(ids[:, :-1], [[0, 0], [1, 0]], constant_values=self._end_id)
        mask = tf.sequence_mask(lengths, width, tf.int32)
        inputs = {"token_ids": before, "padding_mask": mask}
        hidden = self._decoder(inputs, training=False)

        def of_one_row(row):
            # Logits (B, S, V) of a whole batch would not fit into memory.
            hidden, ids, mask = row
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=ids, logits=self._decoder.logits(hidden)
            )
            return 0.0 - tf.reduce_sum(losses * tf.cast(mask, tf.float32))

        return tf.map_fn(
            of_one_row,
            (hidden, ids, mask),
            parallel_iterations=1,
            fn_output_signature=tf.float32,
        )
