"""The work of the processes of `prepare_pretraining_data`."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfzoo.data.corpus import Corpus
from tfzoo.data.example_settings import Settings
from tfzoo.data.pair_table import PairTable, rows_of_pairs, write_pairs
from tfzoo.data.record_layout import as_training_batch, serialised
from tfzoo.data.shuffling import shuffled
from tfzoo.files import written_beside


class Plan(NamedTuple):
    """All examples in order: those in the files `pairs`, with `counts[k]` in file k."""

    corpus: str
    pairs: tuple
    counts: tuple
    settings: Settings


class Maker:
    """State of a process: tokenizer, masking, and the files of the current plan."""

    def __init__(self, make_tokenizer, settings):
        self.tokenizer = make_tokenizer()
        self.tokenize = self.tokenizer.tokenize
        row = tf.TensorSpec([None, settings.max_sequence_length], tf.int32)
        self.mask = tf.function(
            settings.masking(self.tokenizer),
            input_signature=[row, row, tf.TensorSpec([2], tf.int64)],
        )
        self.mask.get_concrete_function()  # traced before the timing starts
        self._plan = None

    def follow(self, plan):
        """Opens the plan's files, once."""
        if self._plan == plan:
            return
        self._plan = plan
        self.corpus = Corpus(plan.corpus)
        self.tables = [PairTable(path) for path in plan.pairs]
        self.ends = np.cumsum(plan.counts)


def list_pairs(maker, task):
    """Writes the pairs of one pass to a file; returns their number."""
    corpus, settings, epoch, path = task
    with written_beside(path, replace=True) as beside:
        return write_pairs(
            beside,
            Corpus(corpus),
            **settings.of_pairs,
            epoch=epoch,
        )


def make_examples(maker, task):
    """(serialized examples [first, end) of the shuffled plan, their counts)."""
    plan, first, end = task
    maker.follow(plan)
    settings = plan.settings
    numbers = shuffled(np.arange(first, end), int(maker.ends[-1]), seed=settings.seed)
    lists = np.searchsorted(maker.ends, numbers, side="right")
    places = numbers - maker.ends[lists] + np.array(plan.counts)[lists]
    pairs = [
        maker.tables[k][i] for k, i in zip(lists.tolist(), places.tolist(), strict=True)
    ]
    token_ids, segment_ids, padding_mask, is_random = rows_of_pairs(
        maker.corpus, pairs, maker.tokenizer, settings.max_sequence_length
    )
    masked = maker.mask(token_ids, padding_mask, np.array([settings.seed, first]))
    token_ids, positions, words, weights = (x.numpy() for x in masked)
    batch = as_training_batch(
        token_ids, segment_ids, padding_mask, positions, words, weights, is_random
    )
    counts = {
        "examples": end - first,
        "tokens": int(padding_mask.sum()),
        "random": int(is_random.sum()),
        "masked": int(weights.sum()),
    }
    return serialised(batch), counts
