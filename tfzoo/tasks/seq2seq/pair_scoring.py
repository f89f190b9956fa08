"""The likelihood of targets, given their sources.

Shapes: B batch, T target sequence.
"""

import numpy as np
import tensorflow as tf

from tfzoo.data.pair_batches import padded_pairs
from tfzoo.errors import require_whole
from tfzoo.generation.log_probabilities import log_probabilities
from tfzoo.layers.keywords import known_keywords
from tfzoo.tasks.causal_lm.scoring import refuse_non_finite
from tfzoo.tasks.inputs import Texts, texts_or_one
from tfzoo.tasks.seq2seq.pairs import targets_of_pairs


class PairScoring:
    """Mixin: `score` of a task with an encoder-decoder."""

    @known_keywords()
    def score(self, sources, targets, *, batch_size=32):
        """The log-probability of every token of the targets, given their sources.

        Args:
            sources: A text, or a column of them, as in `generate`.
            targets: A text if `sources` is one, otherwise a column of as many.
            batch_size: Number of pairs at a time.

        Returns:
            For each pair a dict: `token_ids` of the target, with its special tokens,
            `tokens` (as in the vocabulary), `log_probabilities` (float32 array, in
            nats) and their sum `log_probability`. One dict if `sources` is a single
            text.

        Raises:
            ValueError: a text is missing, there are not as many targets as sources, or
                a log-probability is not finite.
        """
        require_whole("batch_size", batch_size, 1)
        sources, single = texts_or_one(sources, "sources")
        if single:
            targets, _ = texts_or_one(targets, "targets")
        targets = targets_of_pairs(Texts(sources), targets)
        if not sources:
            return []
        tokenizer = self.target_tokenizer
        encoded = self.encoded_targets(targets)
        splits = encoded.row_splits
        counts = np.diff(splits)
        data = padded_pairs(
            self.encoded_sources(sources),
            encoded,
            np.arange(1.0, len(sources) + 1),  # to find the row of each result
            source_pad_id=self.tokenizer.required_id("end"),
            target_pad_id=tokenizer.required_id("end"),
            start_id=self.start_token_id,
            batch_size=batch_size,
            multiple=self.length_multiple,
            shuffle=False,
        )
        found = [None] * len(sources)
        for inputs, ids, weights in data:
            values = self._scores_of_batch(inputs, ids)
            rows = weights.numpy().max(axis=1).astype(int) - 1
            for row, value in zip(rows, values.numpy(), strict=True):
                found[row] = value[: counts[row]]
        refuse_non_finite(found, self.backbone)
        rows = np.split(np.asarray(encoded.token_ids), splits[1:-1])
        results = [
            {
                "token_ids": ids.tolist(),
                "tokens": [tokenizer.id_to_token(i) for i in ids],
                "log_probabilities": values,
                "log_probability": float(values.sum(dtype=np.float64)),
            }
            for ids, values in zip(rows, found, strict=True)
        ]
        return results[0] if single else results

    def forget_traces(self):
        super().forget_traces()
        self._score_function = None

    def _scores_of_batch(self, inputs, ids):
        """Log-probabilities (B, T) of the targets `ids` of prepared inputs."""
        if getattr(self, "_score_function", None) is None:
            matrix = tf.TensorSpec([None, None], tf.int32)
            self._score_function = tf.function(
                self._scored,
                input_signature=[dict.fromkeys(inputs, matrix), matrix],
                autograph=False,
            )
        return self._score_function(inputs, ids)

    def _scored(self, inputs, ids):
        hidden = self.backbone(inputs, training=False)["decoder_sequence_output"]
        return log_probabilities(self.backbone, hidden, ids)
