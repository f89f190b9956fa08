"""Text classification, with one or several labels, and regression.

Shapes: N texts, B batch, C labels.
"""

import keras
import numpy as np

from tfzoo.errors import require_flags
from tfzoo.layers import ClassificationHead
from tfzoo.layers.keywords import known_keywords
from tfzoo.tasks.checks import weights_in_graph
from tfzoo.tasks.class_weights import class_factors
from tfzoo.tasks.classification.answers import named_answers
from tfzoo.tasks.classification.served_classes import classifier_signatures
from tfzoo.tasks.classifier import (
    PROBLEM_TYPES,
    Classifier,
    check_task,
    stored_task,
)
from tfzoo.tasks.evaluating import FiguresOfAll
from tfzoo.tasks.feeding import made_by_a_task
from tfzoo.tasks.inputs import Texts, raw_texts, texts_or_one
from tfzoo.tasks.numeric import example_weights
from tfzoo.tasks.plan import BATCH_SIZE
from tfzoo.tasks.predicting import RowPerText
from tfzoo.tasks.targets import Targets
from tfzoo.training import losses, metrics

_LEARNS = {
    "classification": "classes",
    "multi_label": "multi_label",
    "regression": "numbers",
}


@keras.saving.register_keras_serializable("tfzoo")
class TextClassifier(FiguresOfAll, RowPerText, Classifier):
    """Text classifier on the vector of the first token.

    Args:
        backbone: A `BertEncoder` with its pooler, a `RobertaEncoder` or a
            `DistilBertEncoder`.
        tokenizer: A `WordPieceTokenizer` or a `ByteBPETokenizer` with the special
            tokens of an encoder.
        labels: Class names in order; None for regression.
        task: `"classification"` (one label per text), `"multi_label"` (any number of
            labels per text) or `"regression"` (a number per text).
        text_pair: Whether an input is a pair of texts.
        max_sequence_length: Maximum number of tokens; longer inputs are truncated.
            Defaults to the backbone's.
        classifier_dropout: Fraction of units of the head to drop during training.
            Defaults to the backbone's.

    Targets `y`, in any container: labels by name, or by index as integers (only by name
    if names are numbers); for multi_label, rows of names, or of C numbers 0 and 1; for
    regression, numbers. The columns of a data frame are matched with the labels by
    name. For regression on raw texts, `evaluate` also returns `spearman`, the rank
    correlation.

    Returns:
        (B, C) float32 logits, C = 1 for regression.

    Source: Devlin et al. 2018, section 4.1, https://arxiv.org/abs/1810.04805
    """

    capability = "TextClassifier"
    peft_task = "SEQ_CLS"
    heads = ("classifier",)
    head_arguments = ("labels", "task")
    argument_types = {
        "labels": list,
        "task": str,
        "text_pair": bool,
        "max_sequence_length": int,
        "classifier_dropout": float,
    }
    signatures = staticmethod(classifier_signatures)

    def __init__(
        self,
        backbone,
        tokenizer,
        labels=None,
        *,
        task="classification",
        text_pair=False,
        max_sequence_length=None,
        classifier_dropout=None,
        **kwargs,
    ):
        targets = Targets(task, labels)
        require_flags(text_pair=text_pair)
        if self.wants_pooler(type(backbone)) and not backbone.pooler:
            raise ValueError(
                "A classifier requires pooled_output. Received: a backbone with "
                "pooler=False"
            )
        logits = _head(backbone, targets.num_outputs, classifier_dropout)
        super().__init__(
            backbone,
            tokenizer,
            logits,
            max_sequence_length=max_sequence_length,
            **kwargs,
        )
        self.targets = targets
        self.text_pair = bool(text_pair)
        self.classifier_dropout = classifier_dropout

    @classmethod
    def wants_pooler(cls, backbone_class):
        return backbone_class.sentence_transform is None

    @classmethod
    def stored_arguments(cls, config, path):
        stored = super().stored_arguments(config, path)
        check_task(stored.get("task"), path)
        if cls.is_named_in(config):
            task = stored_task(config, path, stored.get("task"), stored["labels"])
            stored["task"] = task
            if task == "regression":
                stored["labels"] = None
        return stored

    @classmethod
    def with_asked(cls, stored, asked):
        # A requested regression has no labels, and requested labels mean no regression.
        stored = dict(stored)
        if asked.get("task") == "regression":
            stored.pop("labels", None)
        if asked.get("labels") is not None and stored.get("task") == "regression":
            stored.pop("task")
        return super().with_asked(stored, asked)

    def label_fields(self):
        return {**super().label_fields(), "problem_type": PROBLEM_TYPES[self.task]}

    def served_arguments(self):
        return {name: getattr(self, name) for name in ("labels", "task", "text_pair")}

    @property
    def task(self):
        """`"classification"`, `"multi_label"` or `"regression"`."""
        return self.targets.task

    @property
    def learns(self):
        """Kind of targets, for Keras's names of losses and metrics."""
        return _LEARNS[self.task]

    def default_loss(self, label_smoothing):
        if self.task == "regression" and label_smoothing:
            raise ValueError(
                "label_smoothing must be 0 for regression. "
                f"Received: label_smoothing={label_smoothing}"
            )
        if self.task == "regression":
            return losses.MeanSquaredError()
        if self.task == "multi_label":
            return losses.BinaryCrossentropy(label_smoothing=label_smoothing)
        return losses.SparseCategoricalCrossentropy(label_smoothing=label_smoothing)

    def default_metrics(self):
        if self.task == "regression":
            return [metrics.RegressionMetrics()]
        if self.task == "multi_label":
            return [metrics.MultiLabelMetrics(len(self.labels))]
        return [metrics.ClassificationMetrics(len(self.labels))]

    def encode_texts(self, texts):
        self.check_pairs(texts.text_pairs is not None)
        return self.tokenizer.encode_batch(
            texts.texts, texts.text_pairs, max_length=self.max_sequence_length
        )

    def check_pairs(self, are_pairs):
        """Raises `ValueError` unless the input matches `text_pair`."""
        if self.text_pair != are_pairs:
            raise ValueError(
                f"Inputs must match text_pair={self.text_pair}. Received: "
                + ("pairs" if are_pairs else "single texts")
            )

    def batches_of(self, x, y, sample_weight, plan):
        """Batches of raw text, see `Task`, with texts of similar length together."""
        texts = raw_texts(x)
        targets = self.targets_of_raw(texts, y)
        weights = example_weights(sample_weight, len(texts.texts))
        batches = self.padded(self.encode_texts(texts), targets, weights, plan)
        return made_by_a_task(batches)

    def map_strings(self, dataset, *, seed=0):
        """A batched dataset of raw text -> one of (inputs, targets, weights)."""
        del seed  # nothing is random here

        spec = dataset.element_spec
        text = spec[0] if isinstance(spec, tuple) else spec
        self.check_pairs(isinstance(text, dict))

        def encode(number, text, *rest):
            if isinstance(text, tuple):  # `enumerate` gives (i, (text, y, ...))
                text, *rest = text
            inputs = self.encode_strings(text)
            if not rest:
                return inputs
            targets = self.targets.encode_graph(rest[0], number, self.refusals)
            weights = weights_in_graph(rest[1:], number, self.refusals)
            return (inputs, targets, *weights)

        return dataset.enumerate().map(encode, num_parallel_calls=2).prefetch(2)

    def targets_of_raw(self, x, y):
        return self.targets.encode(y, len(x.texts))

    def targets_of_batch(self, y, *, is_raw):
        if self.has_own_loss and not is_raw:
            return self.targets.in_order(y)
        return self.targets.in_batch(y)

    def checked_targets(self, y, inputs):
        return super().checked_targets(self.targets.in_order(y), inputs)

    def targets_of_ids(self, y, inputs):
        return self.targets.encode(y, len(inputs["token_ids"])), None

    def target_specs_of_ids(self, y, x):
        return self.targets.spec(y.shape), None

    def class_factors(self, class_weight):
        if self.task != "classification":
            return super().class_factors(class_weight)
        return class_factors(class_weight, self.labels)

    def figures_of_all(self, raw, y, batch_size):
        """For regression, `spearman`, the rank correlation."""
        if self.task != "regression" or len(raw.texts) < 2:
            return {}
        scores = self.predict(raw, batch_size=batch_size, verbose=0)
        y = self.targets.encode(y, len(raw.texts))
        return {"spearman": metrics.spearman(scores, y)}

    @known_keywords()
    def classify(self, texts, text_pairs=None, *, batch_size=BATCH_SIZE):
        """Classifies texts.

        Args:
            texts: A string, or a column of strings.
            text_pairs: The same for second texts, if the classifier takes pairs.
            batch_size: Texts per batch.

        Returns:
            For each text a dict: `label` and its probability `score`; for multi_label,
            `labels` (those with a probability of at least 0.5) and `scores` (dict of
            label -> probability); for regression, `score`. One dict if `texts` is a
            single string.
        """
        texts, is_one = texts_or_one(texts)
        pairs = text_pairs
        if text_pairs is not None:
            pairs, _ = texts_or_one(text_pairs, "text_pairs")
        logits = self.predict(Texts(texts, pairs), batch_size=batch_size, verbose=0)
        answers = named_answers(logits.astype(np.float64), self.task, self.labels)
        return answers[0] if is_one else answers


def _head(backbone, num_outputs, dropout):
    """Logits (B, C) on the outputs of a backbone."""
    dropout = backbone.dropout if dropout is None else dropout
    transform = backbone.sentence_transform
    head = ClassificationHead(
        num_outputs,
        transform,
        dropout=dropout,
        input_dropout=dropout if transform == "tanh" else 0.0,  # RoBERTa's
        dtype=backbone.dtype_name,
        name="classifier",
    )
    if transform is None:
        return head(backbone.output["pooled_output"])
    return head(keras.ops.take(backbone.output["sequence_output"], 0, axis=1))
