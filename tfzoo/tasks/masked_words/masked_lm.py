"""Masked language modeling.

Shapes: N texts, B batch, S sequence, M masked positions, V vocabulary_size.
"""

import keras
import numpy as np
import tensorflow as tf

from tfzoo.errors import require_flags
from tfzoo.layers.keywords import known_keywords
from tfzoo.tasks.encoder_task import EncoderTask
from tfzoo.tasks.inputs import raw_texts
from tfzoo.tasks.learned_tokens import LearnsTokens
from tfzoo.tasks.masked_words.gap_filling import GapFilling
from tfzoo.tasks.masked_words.masking_of_text import (
    masked_words_head,
    masking_of_batches,
)
from tfzoo.tasks.masked_words.served_gaps import masked_lm_signatures
from tfzoo.tasks.numeric import example_weights
from tfzoo.tasks.raw_datasets import refuse_targets
from tfzoo.training import metrics


@keras.saving.register_keras_serializable("tfzoo")
class MaskedLM(GapFilling, LearnsTokens, EncoderTask):
    """Masked language model: trains on raw text, predicts masked words.

    Args:
        backbone: A `BertEncoder`, a `RobertaEncoder` or a `DistilBertEncoder`.
        tokenizer: A `WordPieceTokenizer` or a `ByteBPETokenizer` with a mask token.
        max_sequence_length: Maximum number of tokens; longer inputs are truncated.
            Defaults to the backbone's.
        whole_word: Whether all pieces of a selected word are masked in training.

    In `fit` and `evaluate`, 15 % of the words of raw texts are masked, differently at
    each step, and there is no `y`. In `predict`, the mask tokens are those in the text.

    Returns:
        (B, M, V) float32 logits.

    Source: Devlin et al. 2018, section 3.1, https://arxiv.org/abs/1810.04805
    """

    capability = "MaskedLM"
    heads = ("masked_lm_head",)
    learned_at = "mask_positions"
    own_targets = "The words are their own targets"
    argument_types = {"max_sequence_length": int, "whole_word": bool}
    signatures = staticmethod(masked_lm_signatures)

    def __init__(
        self,
        backbone,
        tokenizer,
        *,
        max_sequence_length=None,
        whole_word=False,
        **kwargs,
    ):
        tokenizer.required_id("mask")
        require_flags(whole_word=whole_word)
        inputs, logits = masked_words_head(backbone)
        super().__init__(
            backbone,
            tokenizer,
            logits,
            inputs=inputs,
            max_sequence_length=max_sequence_length,
            **kwargs,
        )
        self.whole_word = bool(whole_word)

    def default_metrics(self):
        return [metrics.Accuracy()]

    def batches_of(self, x, y, sample_weight, plan):
        """Batches of raw text, see `Task`, masked differently at each step."""
        self.targets_of_raw(x, y)
        texts = raw_texts(x)
        encoded = self.tokenizer.encode_batch(
            texts.texts, texts.text_pairs, max_length=self.max_sequence_length
        )
        count = len(texts.texts)
        weights = example_weights(sample_weight, count)
        batches = self.padded(encoded, np.zeros(count, np.int32), weights, plan)
        mask = self._masking(plan.seed)
        return (
            batches.enumerate(plan.start_step)
            .map(lambda step, batch: mask(step, batch[0], batch[2]))
            .prefetch(2)
        )

    def map_strings(self, dataset, *, seed=0):
        """A batched dataset of raw text -> one of (inputs, words, weights)."""
        mask = self._masking(seed)

        refuse_targets(dataset, self.own_targets)

        def encode(step, text):
            inputs = self.encode_strings(text)
            return mask(step, inputs, tf.ones(tf.shape(inputs["token_ids"])[0]))

        return dataset.enumerate().map(encode, num_parallel_calls=2).prefetch(2)

    def map_to_predict(self, dataset):
        return dataset.map(self._gaps)

    def _masking(self, seed):
        return masking_of_batches(
            self.tokenizer,
            max_sequence_length=self.max_sequence_length,
            whole_word=self.whole_word,
            seed=seed,
        )

    @known_keywords("verbose", "steps", "callbacks")
    def predict(self, x, batch_size=None, **kwargs):
        """Logits at the mask tokens, float32 (N, M, V); otherwise as in Keras.

        Args:
            x: Raw text with mask tokens, or prepared ids, or batches of either.
            batch_size: Texts per batch. Defaults to 32; None with batches.
            **kwargs: As in Keras.

        Returns:
            For raw text, M is the maximum number of mask tokens in a text; rows with
            fewer end in meaningless logits.
        """
        texts = raw_texts(x)
        if texts is None:
            return self.predict_batches(x, batch_size, **kwargs)
        if not texts.texts:
            return np.zeros((0, 0, self.backbone.vocabulary_size), np.float32)
        text = texts.texts
        if texts.text_pairs is not None:
            text = {"text": text, "text_pair": texts.text_pairs}
        return self.predict_batches(self._gaps(text), batch_size, **kwargs)

    def _gaps(self, text):
        """Prepared inputs (N, S), with `mask_positions` (N, M) of the mask tokens.

        Args:
            text: As in `encode_strings`.
        """
        inputs = self.encode_strings(text, mask_token=True)
        gaps = tf.equal(inputs["token_ids"], self.tokenizer.mask_id)
        positions = tf.RaggedTensor.from_value_rowids(
            tf.cast(tf.where(gaps)[:, 1], tf.int32),
            tf.where(gaps)[:, 0],
            nrows=tf.cast(tf.shape(gaps)[0], tf.int64),
        )
        return {**inputs, "mask_positions": positions.to_tensor(0)}
