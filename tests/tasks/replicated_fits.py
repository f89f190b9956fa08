"""Fits on raw strings on two replicas and on one device."""

import keras
import numpy as np
import tensorflow as tf

from cheap_tokenizers import plain_bytes
from tfzoo.families import BertEncoder, TransformerEncoderDecoder
from tfzoo.tasks import Seq2SeqLM, TextClassifier
from tfzoo.text import WordPieceTokenizer
from tfzoo.training.distribution import strategy

WORDS = "the cat dog sat ran on under mat tree good bad film".split()


def fitted(name, kind):
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
    if kind == "dataset":
        batches = tf.data.Dataset.from_tensor_slices((texts, labels)).batch(8)
        history = task.fit(batches, epochs=2, verbose=0)
    else:
        history = task.fit(texts, labels, batch_size=7, epochs=2, verbose=0)
    return task, history.history["loss"]


def translator(name, kind):
    rng = np.random.default_rng(0)
    pairs = [("ab" * rng.integers(1, 6), "ba" * rng.integers(1, 6)) for _ in range(42)]
    sources, targets = map(list, zip(*pairs, strict=True))
    tokenizer = plain_bytes()
    keras.utils.set_random_seed(0)
    with strategy(name).scope():
        backbone = TransformerEncoderDecoder(
            tokenizer.vocabulary_size, 1, 2, 8, 16, dropout=0.0, max_sequence_length=16
        )
        task = Seq2SeqLM(backbone, tokenizer)
        task.compile(learning_rate=1e-3, label_smoothing=0.1)
    if kind == "dataset":
        batches = tf.data.Dataset.from_tensor_slices((sources, targets)).batch(8)
        history = task.fit(batches, epochs=2, verbose=0)
    else:
        limit = dict(tokens_per_batch=64) if kind == "tokens" else dict(batch_size=8)
        history = task.fit(sources, targets, epochs=2, verbose=0, **limit)
    return task, history.history["loss"]


def gap(fit, kind):
    """The largest difference of weights and losses, and the number of replicas."""
    (one, losses), (two, losses_two) = (
        fit(name, kind) for name in ("none", "mirrored")
    )
    pairs = [*zip(one.get_weights(), two.get_weights(), strict=True)]
    pairs += [(np.array(losses), np.array(losses_two))]
    largest = max(float(np.abs(a - b).max()) for a, b in pairs)
    return largest, two.distribute_strategy.num_replicas_in_sync


def compare():
    """The results of `gap` by kind of data."""
    return {
        **{kind: gap(fitted, kind) for kind in ("list", "dataset")},
        **{f"pairs, {k}": gap(translator, k) for k in ("list", "dataset", "tokens")},
    }
