"""Pretraining of encoder-decoders on raw text, from a corpus on the fly.

Every batch is a function of (corpus, arguments, seed, step) only. Letters: N examples,
B rows, S and T lengths of the longest source and target of a batch.
"""

import numpy as np
import tensorflow as tf

from tfzoo.data.pair_batches import PairBatches, planned_pairs
from tfzoo.errors import DataError

_DOCUMENTS_AT_ONCE = 4096
_SHORTEST = 2  # tokens; of a single one no part can stay


class NoisedText:
    """Texts of a corpus as pairs of rows, with other noise in every epoch.

    A text is a document, or a part of one that is too long: documents are cut into
    parts of equal length and a rest. A text or rest of a single token is left out.

    Args:
        corpus: A `Corpus`.
        noise: Function of (sentences, seed) that returns (source, target), with methods
            `lengths` and `window`: a `SpanCorruption` or `Denoising`.
        max_source_length: Maximum number of tokens of a source.
        seed: Integer >= 0.

    Attributes:
        num_examples: Number N of texts in an epoch.
        fingerprint: Fingerprint of the corpus.

    Raises:
        DataError: there is no text.
    """

    def __init__(self, corpus, noise, *, max_source_length, seed=0):
        self._corpus, self._noise, self._seed = corpus, noise, seed
        window = noise.window(max_source_length)
        self._starts, self._lengths, self._sentences = _texts(corpus, window)
        self.num_examples = len(self._starts)
        self.fingerprint = corpus.fingerprint
        if self.num_examples == 0:
            raise DataError(
                f"The corpus must have a document of at least {_SHORTEST} tokens.",
                path=corpus.directory,
            )

    def row(self, index, epoch=0):
        """Source and target of a text, int32.

        Args:
            index: Number of the text, from 0.
            epoch: Number of the pass over the corpus, from 0.
        """
        start, length = int(self._starts[index]), int(self._lengths[index])
        first = int(self._sentences[index])
        last = min(first + length, self._corpus.num_sentences)
        borders = np.array(self._corpus.sentence_starts(first, last)) - start
        ids = self._corpus.tokens(start, start + length)
        sentences = np.split(ids, borders[(borders > 0) & (borders < length)])
        return self._noise(sentences, seed=(self._seed, epoch, index))

    def plan(self, *, tokens_per_batch=None, batch_size=None, multiple=1):
        """The `PairBatches` of an epoch, whose `num_batches` is that of an epoch.

        Args:
            tokens_per_batch: As in `PairBatches`.
            batch_size: As in `PairBatches`.
            multiple: As in `PairBatches`.
        """
        counts, places = np.unique(self._lengths, return_inverse=True)
        lengths = np.array([self._noise.lengths(int(count)) for count in counts])
        return PairBatches(
            *lengths[places].T,
            tokens_per_batch=tokens_per_batch,
            batch_size=batch_size,
            multiple=multiple,
        )

    def batches(
        self,
        *,
        tokens_per_batch=None,
        batch_size=None,
        source_pad_id,
        target_pad_id,
        start_id,
        multiple=1,
        start_step=0,
        epochs=None,
        shuffle=True,
    ):
        """Batches of the texts, as `padded_pairs` makes them of encoded pairs.

        Args:
            tokens_per_batch: As in `PairBatches`.
            batch_size: As in `PairBatches`.
            source_pad_id: Padding id of the encoder.
            target_pad_id: Padding id of the decoder.
            start_id: As in `teacher_forced`.
            multiple: As in `padded_pairs`.
            start_step: Number of batches to skip from the beginning.
            epochs: Number of epochs; None for an endless dataset.
            shuffle: As in `PairBatches.of_epoch`. False and `epochs=1`, for a
                validation, give the same batches every time.

        Returns:
            `tf.data.Dataset` of what `teacher_forced` returns.
        """
        pads = (source_pad_id, target_pad_id)

        def padded(epoch, indices):
            rows = [self.row(int(i), int(epoch)) for i in indices]
            sides = zip(zip(*rows, strict=True), pads, strict=True)
            return [x for side, pad in sides for x in _padded(side, pad, multiple)]

        def load(epoch, indices):
            arrays = tf.numpy_function(padded, [epoch, indices], [tf.int32] * 4)
            ids_and_masks = [tf.ensure_shape(x, (None, None)) for x in arrays]
            names = ("token_ids", "padding_mask")
            return [
                dict(zip(names, side, strict=True))
                for side in (ids_and_masks[:2], ids_and_masks[2:])
            ]

        plan = self.plan(
            tokens_per_batch=tokens_per_batch, batch_size=batch_size, multiple=multiple
        )
        return planned_pairs(
            plan,
            load,
            pad_id=target_pad_id,
            start_id=start_id,
            seed=self._seed,
            start_step=start_step,
            epochs=epochs,
            shuffle=shuffle,
        )


def _texts(corpus, window):
    """First token, number of tokens and first sentence of each text, int64 (N,)."""
    parts = [np.zeros((3, 0), np.int64)]
    for block in range(0, corpus.num_documents, _DOCUMENTS_AT_ONCE):
        stop = min(block + _DOCUMENTS_AT_ONCE, corpus.num_documents)
        first = np.array(corpus.document_starts(block, stop))
        begins = np.array(corpus.sentence_starts(int(first[0]), int(first[-1])))
        bounds = begins[first - first[0]]
        counts = -(-np.diff(bounds) // window)
        number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        starts = np.repeat(bounds[:-1], counts) + number * window
        lengths = np.minimum(np.repeat(bounds[1:], counts) - starts, window)
        sentences = first[0] + np.searchsorted(begins, starts, side="right") - 1
        found = np.stack([starts, lengths, sentences])
        parts.append(found[:, lengths >= _SHORTEST])
    return np.concatenate(parts, axis=1)


def _padded(rows, pad_id, multiple):
    """Ids and mask of padded rows, int32 (B, S)."""
    width = -(-max(map(len, rows)) // multiple) * multiple
    ids = np.full((len(rows), width), pad_id, np.int32)
    mask = np.zeros((len(rows), width), np.int32)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return ids, mask
