"""Scores texts: log-probabilities, perplexity, bits per character.

Shapes: B batch, S sequence, V vocabulary_size.
"""

import math

import numpy as np
import tensorflow as tf

from tfzoo.errors import is_whole, require_whole, shown
from tfzoo.generation.log_probabilities import log_probabilities
from tfzoo.layers.keywords import known_keywords
from tfzoo.tasks.inputs import text_of, texts_or_one

BATCH_SIZE = 16
MOST_ATTENTION = 2**24  # attention weights of one layer at a time: 64 MB


class Scoring:
    """Mixin: the likelihood of texts under a causal language model.

    A text longer than `max_sequence_length` is read in overlapping windows, and a token
    is scored in the first window that contains it, which has the most context before
    it. Windows start every `stride` tokens, so that a token (except in the first
    window) has at least `max_sequence_length - stride` tokens before it.
    Source: Radford et al. 2019, section 3.1, and the documentation of `transformers`,
    "Perplexity of fixed-length models".
    """

    @known_keywords()
    def score(self, texts, *, stride=None, batch_size=BATCH_SIZE):
        """The log-probability of every token, given those before it.

        Args:
            texts: A text, str or bytes, or a column of them: a list, an array, a string
                tensor, a column of a data frame, an iterator.
            stride: Number of tokens between the starts of consecutive windows, for long
                texts. Defaults to half of `max_sequence_length`.
            batch_size: Maximum number of windows at a time; fewer for long ones, so
                that memory in addition to the weights is at most some 500 MB.

        Returns:
            For each text a dict: `token_ids`, `tokens` (as in the vocabulary),
            `log_probabilities` (float32 array, in nats) and their sum
            `log_probability`. One dict if `texts` is a single text. The first token is
            conditioned on the tokenizer's `begin_id`; the end of the text is not
            scored.

        Raises:
            ValueError: a text is missing, an argument is out of range, or a
                log-probability is not finite.
        """
        texts, single = texts_or_one(texts)
        tokenized = self.tokenizer.tokenize(texts)
        scores = self._log_probabilities(tokenized, stride, batch_size)
        found = [
            {
                "token_ids": list(ids),
                "tokens": [self.tokenizer.id_to_token(i) for i in ids],
                "log_probabilities": values,
                "log_probability": float(values.sum(dtype=np.float64)),
            }
            for ids, values in zip(tokenized, scores, strict=True)
        ]
        return found[0] if single else found

    @known_keywords()
    def perplexity(self, texts, *, stride=None, batch_size=BATCH_SIZE):
        """The perplexity over all texts.

        Args:
            texts: As in `score`; each is a document.
            stride: As in `score`.
            batch_size: As in `score`.

        Returns:
            A dict: `perplexity` per token, `nats` and `bits` of all texts, `tokens` and
            `characters` (counts, without end tokens), `bits_per_character`.

        Raises:
            ValueError: there are no tokens; or as in `score`.
        """
        texts, _ = texts_or_one(texts)
        tokenized = self.tokenizer.tokenize(texts)
        tokens = sum(map(len, tokenized))
        if not tokens:
            raise ValueError(
                "texts must contain at least one token. "
                f"Received: {len(texts)} texts without tokens"
            )
        scores = self._log_probabilities(tokenized, stride, batch_size)
        nats = -sum(float(values.sum(dtype=np.float64)) for values in scores)
        characters = sum(len(text_of(text)) for text in texts)
        bits = nats / math.log(2)
        return {
            "perplexity": float(np.exp(np.float64(nats / tokens))),
            "nats": nats,
            "bits": bits,
            "tokens": tokens,
            "characters": characters,
            "bits_per_character": bits / characters,
        }

    def _log_probabilities(self, tokenized, stride, batch_size):
        """float32 arrays with one number per id."""
        stride = self._checked_stride(stride)
        require_whole("batch_size", batch_size, 1)
        begin_id = self.tokenizer.begin_id
        rows = [np.array([begin_id, *ids], np.int32) for ids in tokenized]
        found = [np.zeros(len(row) - 1, np.float32) for row in rows]
        places = [
            (text, *window)
            for text, row in enumerate(rows)
            for window in windows(len(row) - 1, self.max_sequence_length, stride)
        ]
        places.sort(key=lambda place: place[2] - place[1])  # by length
        for batch in self._batches(places, batch_size):
            scores = self._scores_of_targets(
                [rows[text][start : stop + 1] for text, start, stop, _ in batch]
            )
            for values, (text, start, stop, first) in zip(scores, batch, strict=True):
                found[text][first:stop] = values[first - start : stop - start]
        refuse_non_finite(found, self.backbone)
        return found

    def _batches(self, places, batch_size):
        """Yields batches of windows (text, start, stop, first), by length."""
        batch = []
        for place in places:
            width = place[2] - place[1]
            weights = (len(batch) + 1) * self.backbone.num_heads * width**2
            if len(batch) == batch_size or (batch and weights > MOST_ATTENTION):
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def _checked_stride(self, stride):
        longest = self.max_sequence_length
        stride = max(1, longest // 2) if stride is None else stride
        if not is_whole(stride) or not 1 <= stride <= longest:
            raise ValueError(
                f"stride must be in [1, {longest}], the max_sequence_length. "
                f"Received: stride={shown(stride)}"
            )
        return stride

    def forget_traces(self):
        super().forget_traces()
        self._score_function = None

    def _scores_of_targets(self, rows):
        """Arrays of ids (S + 1,) -> log-probabilities (B, S), without the first id."""
        multiple = self.length_multiple
        width = -(-max(len(row) - 1 for row in rows) // multiple) * multiple
        ids = np.full((len(rows), width + 1), self.tokenizer.end_id, np.int32)
        mask = np.zeros((len(rows), width), np.int32)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row) - 1] = 1
        if getattr(self, "_score_function", None) is None:
            self._score_function = tf.function(
                self._scored,
                input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2,
                autograph=False,
            )
        return self._score_function(ids, mask).numpy()

    def _scored(self, ids, mask):
        inputs = {"token_ids": ids[:, :-1], "padding_mask": mask}
        hidden = self.backbone(inputs, training=False)
        return log_probabilities(self.backbone, hidden, ids[:, 1:])


def windows(count, size, stride):
    """The overlapping windows over a sequence of `count` targets.

    Yields:
        (start, stop, first): the window contains the targets [start, stop), of which
        those from `first` on were in no previous window.
    """
    start = done = 0
    while done < count:
        stop = min(start + size, count)
        yield start, stop, done
        start, done = start + stride, stop


def refuse_non_finite(found, backbone):
    """Raises a ValueError if a log-probability, in a list of arrays, is not finite."""
    for row, values in enumerate(found):
        if not np.isfinite(values).all():
            place = int(np.isfinite(values).argmin())
            raise ValueError(
                "Log-probabilities must be finite, but the model's weights are not, or "
                f"its dtype {backbone.dtype_name} overflows. Received: "
                f"{values[place]} for token {place} of row {row}"
            )
