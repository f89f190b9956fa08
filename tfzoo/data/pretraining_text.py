"""Pretraining batches made from a corpus on the fly.

Every batch is a function of (corpus, arguments, seed, step) only. Letters: B rows,
S max_sequence_length, M max_predictions.
"""

import collections
import threading

import numpy as np
import tensorflow as tf

from tfzoo.data.example_settings import Settings
from tfzoo.data.pair_table import PairTable, rows_of_pairs
from tfzoo.data.pipelines import without_waiting
from tfzoo.data.record_layout import as_training_batch, weigh_first
from tfzoo.data.shuffling import shuffled
from tfzoo.errors import DataError, require_whole

_TABLES_KEPT = 2  # a batch may span two epochs


class TextSource:
    """Sentence pairs from a corpus, masked differently in every epoch.

    Every epoch divides the corpus into pairs anew and puts them in a new order. It has
    as many examples as epoch 0: if its division gives more, random ones are left out;
    if it gives fewer, some are repeated.

    Args:
        corpus: A `Corpus` made with this tokenizer.
        tokenizer: The tokenizer.
        next_sentence: As in `sentence_pairs`.
        **settings: As in `Settings`.

    Attributes:
        num_examples: Number of examples in an epoch.
        fingerprint: Fingerprint of the corpus.
    """

    def __init__(self, corpus, tokenizer, *, next_sentence=True, **settings):
        self._settings = Settings(**settings)
        self._masking = self._settings.masking(tokenizer)
        self._corpus, self._tokenizer = corpus, tokenizer
        self.next_sentence = next_sentence
        self._tables = collections.OrderedDict()
        self._lock = threading.Lock()
        self.fingerprint = corpus.fingerprint
        self.num_examples = len(self._table(0))
        if self.num_examples == 0:
            raise DataError(
                "The corpus must give at least one example.", path=corpus.directory
            )

    def batches(self, batch_size, *, start_step=0):
        """Endless batches of B examples, starting at step `start_step`."""
        require_whole("batch_size", batch_size, 1)
        require_whole("start_step", start_step, 0)
        return self._dataset(tf.data.Dataset.counter(start_step), batch_size)

    def validation_batches(self, batch_size, *, max_examples=None):
        """The examples of epoch 0 (or the first `max_examples`), in a fixed order.

        The last batch is filled up with copies of weight 0.
        """
        require_whole("batch_size", batch_size, 1)
        require_whole("max_examples", max_examples, 1, optional=True)
        count = min(self.num_examples, max_examples or self.num_examples)
        steps = tf.data.Dataset.range(-(-count // batch_size))
        return (
            self._dataset(steps, batch_size)
            .enumerate()
            .map(lambda step, batch: weigh_first(batch, count - step * batch_size))
        )

    def _dataset(self, steps, batch_size):
        rows = (batch_size, self._settings.max_sequence_length)

        def load(step):
            *ids, is_random = tf.numpy_function(
                lambda step: self._rows(int(step), batch_size), [step], [tf.int32] * 4
            )
            ids = [tf.ensure_shape(x, rows) for x in ids]
            return step, *ids, tf.ensure_shape(is_random, rows[:1])

        return without_waiting(steps.map(load).map(self._objective).prefetch(2))

    def _objective(self, step, token_ids, segment_ids, padding_mask, is_random):
        seed = tf.stack([tf.constant(self._settings.seed, tf.int64), step])
        masked = self._masking(token_ids, padding_mask, seed)
        rows, most = token_ids.shape[0], self._settings.max_predictions
        token_ids, positions, words, weights = masked
        return as_training_batch(
            tf.ensure_shape(token_ids, (rows, self._settings.max_sequence_length)),
            segment_ids,
            padding_mask,
            tf.ensure_shape(positions, (rows, most)),
            tf.ensure_shape(words, (rows, most)),
            tf.ensure_shape(weights, (rows, most)),
            is_random if self.next_sentence else None,
        )

    def _rows(self, step, batch_size):
        examples = step * batch_size + np.arange(batch_size)
        epochs, places = np.divmod(examples, self.num_examples)
        pairs = []
        with self._lock:
            for epoch in np.unique(epochs).tolist():
                table = self._table(epoch)
                size = max(len(table), self.num_examples)
                order = shuffled(
                    places[epochs == epoch], size, seed=(self._settings.seed, epoch)
                )
                pairs += [table[i % len(table)] for i in order.tolist()]
        return rows_of_pairs(
            self._corpus, pairs, self._tokenizer, self._settings.max_sequence_length
        )

    def _table(self, epoch):
        if epoch not in self._tables:
            while len(self._tables) >= _TABLES_KEPT:
                self._tables.popitem(last=False)
            self._tables[epoch] = PairTable.temporary(
                self._corpus,
                **self._settings.of_pairs,
                next_sentence=self.next_sentence,
                epoch=epoch,
            )
        self._tables.move_to_end(epoch)
        return self._tables[epoch]
