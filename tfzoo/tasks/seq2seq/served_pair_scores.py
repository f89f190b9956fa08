"""Scores of targets in a served model.

Shapes: B rows, S columns of sources, T columns of targets.
"""

import tensorflow as tf

from tfzoo.data.pair_batches import teacher_forced
from tfzoo.generation.log_probabilities import log_probabilities
from tfzoo.serving.core import PART, longest_first, num_columns, rows_of_part
from tfzoo.serving.request_rows import padded_ids, padded_rows
from tfzoo.tasks.seq2seq.served_sources import ids_of_texts


class PairScores:
    """Strings (B,) and (B,) -> `log_probability` float32 and `token_count` int32 (B,).

    Args:
        task: The `Seq2SeqLM`.
        jit_compile: Whether XLA compiles the numeric part.
    """

    def __init__(self, task, jit_compile):
        self._task, self._jit_compile = task, jit_compile
        matrix = tf.TensorSpec([None, None], tf.int32)
        self._compute = tf.function(
            self._log_probability,
            input_signature=[matrix, matrix, matrix, matrix],
            autograph=False,
            jit_compile=jit_compile or None,
        )

    def __call__(self, text, target):
        task, most = self._task, self._task.max_sequence_length
        sides = [
            ids_of_texts(task.tokenizer, text, most),
            ids_of_texts(task.target_tokenizer, target, most),
        ]
        lengths = [side[1] for side in sides]

        def score(rows):
            parts = []
            with tf.device("/CPU:0"):
                for ids, counts in sides:
                    kept = tf.gather(counts, rows)
                    width = tf.reduce_max(tf.pad(kept, [[0, 1]]))
                    part = tf.gather(ids, rows)[:, :width]
                    fill = task.tokenizer.required_id("end")
                    part = padded_ids(part, fill, most, self._jit_compile)
                    real = padded_rows(kept, tf.shape(part)[0], 0)
                    parts += [part, tf.sequence_mask(real, tf.shape(part)[1], tf.int32)]
            return {"sums": self._compute(*parts)[: tf.size(rows)]}

        found = longest_first(
            score,
            tf.maximum(*lengths),
            lambda cost: rows_of_part(
                num_columns(cost, most, jit_compile=self._jit_compile),
                PART,
                jit_compile=self._jit_compile,
            ),
        )
        return {"log_probability": found["sums"], "token_count": lengths[1]}

    def _log_probability(self, source, source_mask, target, target_mask):
        task = self._task
        inputs, ids, weights = teacher_forced(
            {"token_ids": source, "padding_mask": source_mask},
            {"token_ids": target, "padding_mask": target_mask},
            pad_id=task.target_tokenizer.required_id("end"),
            start_id=task.start_token_id,
        )
        hidden = task.backbone(inputs, training=False)["decoder_sequence_output"]
        scores = log_probabilities(task.backbone, hidden, ids)
        return tf.reduce_sum(scores * weights, axis=1)
