"""Fits of a classifier on raw strings on two replicas and on one device."""

import keras
import numpy as np
import tensorflow as tf

from tfzoo.families import BertEncoder
from tfzoo.tasks import TextClassifier
from tfzoo.text import WordPieceTokenizer
from tfzoo.training.distribution import strategy

WORDS = "the cat dog sat ran on under mat tree good bad film".split()


def fitted(name, as_dataset):
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in range(42)]
    labels = ["yes" if "good" in text else "no" for text in texts]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = WordPieceTokenizer([*special, *WORDS])
    keras.utils.set_random_seed(0)
    with strategy(name).scope():
        encoder = BertEncoder(
            tokenizer.vocabulary_size, 1, 2, 8, 16, dropout=0.0, max_sequence_length=16
        )
        task = TextClassifier(encoder, tokenizer, ["no", "yes"])
        task.compile(learning_rate=1e-3)
    if as_dataset:
        batches = tf.data.Dataset.from_tensor_slices((texts, labels)).batch(8)
        history = task.fit(batches, epochs=2, verbose=0)
    else:
        history = task.fit(texts, labels, batch_size=8, epochs=2, verbose=0)
    return task, history.history["loss"]


def compare():
    """The largest difference of weights and losses, for lists and datasets."""
    gaps = {}
    for kind in (False, True):
        (one, losses), (two, losses_two) = (
            fitted(name, kind) for name in ("none", "mirrored")
        )
        pairs = [*zip(one.get_weights(), two.get_weights(), strict=True)]
        pairs += [(np.array(losses), np.array(losses_two))]
        gaps["dataset" if kind else "list"] = max(
            float(np.abs(a - b).max()) for a, b in pairs
        )
        gaps["replicas"] = two.distribute_strategy.num_replicas_in_sync
    return gaps
