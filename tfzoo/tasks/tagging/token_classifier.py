"""Token classification: labels for words, such as entities or parts of speech.

Shapes: N sentences, B batch, S sequence, W words, C labels.
"""

import keras
import numpy as np
import tensorflow as tf

from tfzoo.data.string_batches import dense_batch
from tfzoo.data.word_rows import (
    encode_ragged,
    encode_sentences,
    targets_of_tokens,
)
from tfzoo.errors import require_whole
from tfzoo.layers.keywords import known_keywords
from tfzoo.tasks.batches import dataset_of_batches, is_batches
from tfzoo.tasks.checks import weights_in_graph
from tfzoo.tasks.classifier import Classifier
from tfzoo.tasks.feeding import made_by_a_task
from tfzoo.tasks.inputs import texts_of, values_of
from tfzoo.tasks.numeric import example_weights
from tfzoo.tasks.plan import BATCH_SIZE
from tfzoo.tasks.predicting import as_rows, refuse_steps
from tfzoo.tasks.tagging.sentences import (
    raw_sentences,
    raw_word_batches,
    without_targets,
)
from tfzoo.tasks.tagging.served_tags import token_classifier_signatures
from tfzoo.tasks.tagging.tags import tagged_text, tagged_words
from tfzoo.tasks.tagging.word_targets import WordTargets
from tfzoo.tasks.targets import listed
from tfzoo.tasks.token_outputs import token_outputs
from tfzoo.text.segments import EncodedBatch
from tfzoo.training import losses, metrics
from tfzoo.training.entities import OUTSIDE, EntityMetrics


@keras.saving.register_keras_serializable("tfzoo")
class TokenClassifier(Classifier):
    """Token classifier: labels each word from the vector of its first token.

    Args:
        backbone: A `BertEncoder`, a `RobertaEncoder` or a `DistilBertEncoder`.
        tokenizer: A `WordPieceTokenizer` or a `ByteBPETokenizer` with the special
            tokens of an encoder.
        labels: Class names in order. If `O` is among them, they are tags of entities,
            as `O`, `B-X` and `I-X`.
        max_sequence_length: Maximum number of tokens. Defaults to the backbone's.
        classifier_dropout: Fraction of units of the head to drop during training.
            Defaults to the backbone's.

    Raw input `x` is a list of sentences, each a list of words (or a string, which is
    split at spaces), a dict or table with such a column `text`, or a dataset of ragged
    strings (B, W). `y`, or the column `label` of the table, contains for each sentence
    the labels of its words by name or index; -1 and -100 mark words to ignore. Words
    beyond `max_sequence_length` are not trained on, counted or labeled, and neither are
    words without a token (of control characters only). For prepared ids, `y` contains
    an index for every token (B, S).

    Returns:
        (B, S, C) float32 logits.

    Source: Devlin et al. 2018, section 5.3, https://arxiv.org/abs/1810.04805
    """

    capability = "TokenClassifier"
    peft_task = "TOKEN_CLS"
    heads = ("token_classifier",)
    learns = "classes"
    weighs_positions = True
    head_arguments = ("labels",)
    argument_types = {
        "labels": list,
        "max_sequence_length": int,
        "classifier_dropout": float,
    }
    signatures = staticmethod(token_classifier_signatures)

    def __init__(
        self,
        backbone,
        tokenizer,
        labels,
        *,
        max_sequence_length=None,
        classifier_dropout=None,
        **kwargs,
    ):
        targets = WordTargets(labels)
        dropout = backbone.dropout if classifier_dropout is None else classifier_dropout
        super().__init__(
            backbone,
            tokenizer,
            token_outputs(backbone, targets.num_outputs, dropout, name=self.heads[0]),
            max_sequence_length=max_sequence_length,
            **kwargs,
        )
        self.targets = targets
        self.classifier_dropout = classifier_dropout

    @property
    def names_entities(self):
        """Whether the labels are tags of entities: `O` is among them."""
        return OUTSIDE in self.labels

    def served_arguments(self):
        return {"labels": self.labels}

    def default_loss(self, label_smoothing):
        return losses.SparseCategoricalCrossentropy(label_smoothing=label_smoothing)

    def default_metrics(self):
        """Accuracy over words and, for entities, precision, recall and F1."""
        if self.names_entities:
            return [EntityMetrics(self.labels)]
        return [metrics.Accuracy()]

    raw_input = staticmethod(raw_sentences)
    raw_batches = staticmethod(raw_word_batches)

    def batches_of(self, x, y, sample_weight, plan):
        """Batches of raw sentences, see `Task`, with similar lengths together."""
        sentences = raw_sentences(x)
        labels = self.targets_of_raw(sentences, y)
        encoded, first_words = self._encode(sentences)
        splits = np.cumsum([0, *map(len, sentences)])
        targets, weights = targets_of_tokens(labels, splits, first_words)
        weights_of_rows = example_weights(sample_weight, len(sentences))
        rows = np.arange(len(sentences))
        batches = self.padded(encoded, rows, weights_of_rows, plan)

        def with_targets(inputs, rows, weight):
            shape = tf.shape(inputs["token_ids"])
            y, weights_of_rows = (
                tf.gather(x, rows).to_tensor(shape=shape) for x in (targets, weights)
            )
            return inputs, y, weights_of_rows * weight[:, tf.newaxis]

        return made_by_a_task(batches.map(with_targets).prefetch(2))

    def map_strings(self, dataset, *, seed=0):
        """A dataset of ragged batches of words -> one of (inputs, targets, weights)."""
        del seed  # nothing is random here

        def encode(number, batch):
            words, y, *rest = batch
            token_ids, first_words = encode_ragged(
                words, self.tokenizer, max_length=self.max_sequence_length
            )
            labels = self.targets.encode_graph(y, words, number, self.refusals)
            targets, weights = targets_of_tokens(labels, words.row_splits, first_words)
            inputs = dense_batch(
                {"token_ids": token_ids, "segment_ids": tf.zeros_like(token_ids)},
                self.tokenizer.pad_id,
                self.length_multiple,
            )
            shape = tf.shape(inputs["token_ids"])
            weights = weights.to_tensor(shape=shape)
            for weight in weights_in_graph(rest, number, self.refusals):
                weights *= weight[:, tf.newaxis]
            return inputs, targets.to_tensor(shape=shape), weights

        if not isinstance(dataset.element_spec, tuple):
            raise ValueError(
                "Training on batches of words requires labels: (words, labels). "
                f"Received: {dataset.element_spec}"
            )
        return dataset.enumerate().map(encode, num_parallel_calls=2).prefetch(2)

    def targets_of_raw(self, x, y):
        return self.targets.encode(y, x)

    def targets_of_batch(self, y, *, is_raw):
        return listed(y) if is_raw else y

    def targets_of_ids(self, y, inputs):
        found = self.targets.of_tokens(y, inputs["token_ids"].shape)
        return np.maximum(found, 0), (found >= 0).astype(np.float32)

    def target_specs_of_ids(self, y, x):
        shape = x["token_ids"].shape
        return tf.TensorSpec(shape, tf.int32), tf.TensorSpec(shape, tf.float32)

    def _encode(self, sentences):
        """`EncodedBatch` of the sentences, and the ragged result of `word_rows`."""
        token_ids, first_words = encode_sentences(
            sentences, self.tokenizer, max_length=self.max_sequence_length
        )
        ids = token_ids.flat_values.numpy()
        splits = token_ids.row_splits.numpy()
        return EncodedBatch(ids, np.zeros_like(ids), splits), first_words

    @known_keywords("verbose", "steps", "callbacks")
    def predict(self, x, batch_size=None, **kwargs):
        """Logits; otherwise as in Keras.

        Args:
            x: Raw sentences, or a dataset of them, or prepared ids.
            batch_size: Sentences per batch. Defaults to 32.
            **kwargs: As in Keras, with prepared ids.

        Returns:
            For raw sentences, the logits of their words, float32 (N, W, C), with W the
            maximum number of words and NaN for padding and for words that were not
            read. For prepared ids, the logits of all tokens.
        """
        if is_batches(x):
            x = dataset_of_batches(x, self, learns=False)
        if isinstance(x, tf.data.Dataset):
            x = x.map(without_targets)
        if (raw := self.raw_batches(x)) is not None:
            with self.refusals.told():
                x = [row for batch in raw for row in batch.to_list()]
        sentences = raw_sentences(x)
        if sentences is None:
            return self.predict_batches(x, batch_size, **kwargs)
        refuse_steps(kwargs)
        require_whole("batch_size", batch_size, 1, optional=True)
        return as_rows(
            self._word_logits(sentences, batch_size or BATCH_SIZE), self.num_outputs
        )

    def _word_logits(self, sentences, batch_size):
        """For each sentence float32 (words, C), NaN for words that were not read."""
        encoded, first_words = self._encode(sentences)
        logits = self.outputs_of_rows(encoded, batch_size=batch_size)
        rows = []
        for words, row, first in zip(sentences, logits, first_words, strict=True):
            first = first.numpy()
            found = np.full((len(words), self.num_outputs), np.nan, np.float32)
            found[first[first >= 0]] = row[first >= 0]
            rows.append(found)
        return rows

    @known_keywords()
    def tag(self, texts, *, batch_size=BATCH_SIZE):
        """Labels words and, if the labels are tags of entities, finds the entities.

        Args:
            texts: A text, or a list of texts or of lists of words. The words of a text
                are those of the tokenizer, which splits at punctuation; a model that
                was trained on other words does better on lists of such words.
            batch_size: Texts per batch.

        Returns:
            For each text a dict: `words`, a list of dicts of `word`, `label`, its
            probability `score`, and `start` and `end` in characters of the text; and
            `entities`, a list of dicts of `text`, `label`, the mean `score` of its
            words, `start` and `end`. For a list of words, `start` and `end` count
            words. Words beyond `max_sequence_length` are skipped in a text, and have
            the label None in a list of words. One dict if `texts` is a single text.
        """
        if isinstance(texts, np.ndarray | tf.Tensor) and texts.ndim == 0:
            texts = np.asarray(texts).item()
        if isinstance(texts, str | bytes):
            return self.tag([texts], batch_size=batch_size)[0]
        texts = values_of(texts, "texts")
        if not any(isinstance(text, list | tuple | np.ndarray) for text in texts):
            return self._tag_texts(texts_of(texts), batch_size)
        return [
            tagged_words(words, logits, self.labels)
            for words, logits in zip(
                texts,
                self._word_logits(raw_sentences(texts), batch_size),
                strict=True,
            )
        ]

    def _tag_texts(self, texts, batch_size):
        encodings = [
            self.tokenizer.encode(text, max_length=self.max_sequence_length)
            for text in texts
        ]
        encoded = EncodedBatch.of(encodings)
        logits = self.outputs_of_rows(encoded, batch_size=batch_size)
        return [
            tagged_text(text, encoding, row, self.labels)
            for text, encoding, row in zip(texts, encodings, logits, strict=True)
        ]
