"""How pairs of a source and a target enter `fit`, `evaluate` and `predict`.

Shapes: N pairs, B batch, T target sequence, V vocabulary_size.
"""

import contextlib
import logging

import numpy as np
import tensorflow as tf

from tfzoo.data.pair_batches import padded_pairs, teacher_forced
from tfzoo.data.string_batches import dense_batch
from tfzoo.errors import require_whole
from tfzoo.layers.keywords import known_keywords, named_parameters
from tfzoo.tasks.numeric import example_weights
from tfzoo.tasks.plan import Plan
from tfzoo.tasks.seq2seq.pairs import raw_pair_batches, raw_pairs, targets_of_pairs
from tfzoo.tasks.task import Task

logger = logging.getLogger("tfzoo")


class PairFeeding(Task):
    """A `Task` whose raw input is pairs.

    Besides what `Task` asks for, a task defines `target_tokenizer` and
    `start_token_id`.
    """

    reads_pairs = True
    input_prefixes = ("encoder_", "decoder_")
    _tokens_per_batch = None

    raw_input = staticmethod(raw_pairs)
    raw_batches = staticmethod(raw_pair_batches)

    def given_targets(self, x, y):
        return y

    def targets_of_raw(self, x, y):
        return targets_of_pairs(x, y)

    @known_keywords(*named_parameters(Task.fit)[1:])
    def fit(self, x=None, y=None, batch_size=None, *, tokens_per_batch=None, **kwargs):
        """Trains on pairs, as in `Task`, and:

        Texts of more than `max_sequence_length` tokens are cut to it, with a warning
        that counts them; those of batches of strings without one.

        Args:
            x: Sources, or pairs; or batches.
            y: Targets, if `x` has none.
            batch_size: Pairs per batch. Defaults to 32; None with batches.
            tokens_per_batch: Instead of `batch_size`, the maximum number of tokens of
                the longer side of a batch, including padding; only for raw pairs in
                memory. Batches then have pairs of similar lengths, and the more of
                them, the shorter they are.
            **kwargs: The other arguments of `fit` of other tasks.
        """
        with self._limited(x, batch_size, tokens_per_batch):
            return super().fit(x, y, batch_size, **kwargs)

    @known_keywords("tokens_per_batch", *Plan._fields)
    def training_data(
        self, x, y=None, sample_weight=None, *, tokens_per_batch=None, **plan
    ):
        """Batches of raw pairs for `fit`, as in `Task`.

        Args:
            x: Raw pairs as in `fit`, but not a dataset.
            y: As in `fit`.
            sample_weight: As in `fit`.
            tokens_per_batch: As in `fit`.
            **plan: Attributes of a `Plan`.
        """
        x = raw_pairs(x)
        with self._limited(x, plan.get("batch_size"), tokens_per_batch):
            return super().training_data(x, y, sample_weight, **plan)

    @contextlib.contextmanager
    def _limited(self, x, batch_size, tokens_per_batch):
        """Applies a limit in tokens to the batches that are made in this context."""
        if tokens_per_batch is not None:
            require_whole("tokens_per_batch", tokens_per_batch, 1)
            if batch_size is not None:
                raise ValueError(
                    "batch_size and tokens_per_batch are mutually exclusive. Received: "
                    f"batch_size={batch_size}, tokens_per_batch={tokens_per_batch}"
                )
            if raw_pairs_in_memory(x) is None:
                raise ValueError(
                    "tokens_per_batch is only for raw pairs in memory. Received: "
                    f"{type(x).__name__}"
                )
        before, self._tokens_per_batch = self._tokens_per_batch, tokens_per_batch
        try:
            yield
        finally:
            self._tokens_per_batch = before

    def batches_of(self, x, y, sample_weight, plan):
        sources, targets = x.texts, self.targets_of_raw(x, y)
        limit = self._tokens_per_batch if plan.shuffle else None
        return padded_pairs(
            self.encoded_sources(sources),
            self.encoded_targets(targets),
            None
            if sample_weight is None
            else example_weights(sample_weight, len(sources)),
            source_pad_id=_pad_id(self.tokenizer),
            target_pad_id=_pad_id(self.target_tokenizer),
            start_id=self.start_token_id,
            multiple=self.length_multiple,
            tokens_per_batch=limit,
            **plan._replace(batch_size=None if limit else plan.batch_size)._asdict(),
        )

    def encoded_sources(self, sources):
        """The `EncodedBatch` of sources; what is too long is cut, with a warning."""
        return self._encoded(self.tokenizer, sources, "sources")

    def encoded_targets(self, targets):
        """Likewise of targets."""
        return self._encoded(self.target_tokenizer, targets, "targets")

    def _encoded(self, tokenizer, texts, what):
        encoded = tokenizer.encode_batch(texts)
        most = self.max_sequence_length
        longer = int((np.diff(encoded.row_splits) > most).sum())
        if longer:
            logger.warning(
                "%d of %d %s are longer than %d tokens, the max_sequence_length, and "
                "cut to it.",
                longer,
                len(texts),
                what,
                most,
            )
            encoded = tokenizer.encode_batch(texts, max_length=most)
        return encoded

    def map_strings(self, dataset, *, seed=0):
        """A dataset of batched pairs -> one of (inputs, targets, weights)."""
        del seed  # nothing is random here

        def encode(pairs, weights=None):
            return self._forced(*pairs, weights)

        return dataset.map(encode, num_parallel_calls=2).prefetch(2)

    def map_to_predict(self, dataset):
        return dataset.map(lambda pairs, *_: self._forced(*pairs)[0])

    def _forced(self, sources, targets, weights=None):
        """Strings (B,) -> (inputs, targets, weights), in TensorFlow."""
        most = self.max_sequence_length
        return self._forced_ids(
            self.tokenizer.graph.encode(sources, max_length=most),
            self.target_tokenizer.graph.encode(targets, max_length=most),
            weights,
        )

    def _forced_ids(self, sources, targets, weights=None):
        """Ragged ids (B, None) of both sides -> (inputs, targets, weights)."""
        rows = [
            dense_batch(encoded, _pad_id(tokenizer), self.length_multiple)
            for tokenizer, encoded in (
                (self.tokenizer, sources),
                (self.target_tokenizer, targets),
            )
        ]
        if weights is not None:
            weights = tf.cast(tf.reshape(weights, [-1]), tf.float32)
        return teacher_forced(
            *({n: row[n] for n in ("token_ids", "padding_mask")} for row in rows),
            weights,
            pad_id=_pad_id(self.target_tokenizer),
            start_id=self.start_token_id,
        )

    def input_limits(self, length, prefix):
        limits = {**super().input_limits(length, prefix)}
        if prefix == "encoder_":
            limits["token_ids"] = self.backbone.input_vocabulary_size
        return limits

    @known_keywords("verbose", "steps", "callbacks")
    def predict(self, x, batch_size=None, **kwargs):
        """Logits of the next token at each place of the targets, float32 (N, T, V).

        Args:
            x: Raw pairs or prepared ids, or batches of either.
            batch_size: Pairs per batch. Defaults to 32; None with batches.
            **kwargs: As in Keras.

        Returns:
            For raw pairs, T is that of the longest target; rows of shorter ones end in
            meaningless logits.
        """
        pairs = raw_pairs_in_memory(x)
        if pairs is not None:
            if not pairs.texts:
                return np.zeros((0, 0, self.backbone.vocabulary_size), np.float32)
            targets = self.targets_of_raw(pairs, None)
            sides = self.encoded_sources(pairs.texts), self.encoded_targets(targets)
            x, _, _ = self._forced_ids(*map(_ragged, sides))
        return self.predict_batches(x, batch_size, **kwargs)


def raw_pairs_in_memory(x):
    """As `raw_pairs`; None for batches, too."""
    return None if isinstance(x, tf.data.Dataset) else raw_pairs(x)


def _ragged(encoded):
    """An `EncodedBatch` as ragged ids, like those of `graph.encode`."""
    return {
        name: tf.RaggedTensor.from_row_splits(
            getattr(encoded, name), encoded.row_splits
        )
        for name in ("token_ids", "segment_ids")
    }


def _pad_id(tokenizer):
    """The id of padding, which is never read; that of the end token without one."""
    return (
        tokenizer.required_id("end") if tokenizer.pad_id is None else tokenizer.pad_id
    )
