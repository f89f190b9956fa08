"""Batches of source and target rows of similar lengths, for encoder-decoders.

Letters: N pairs, B rows of a batch, S and T lengths of its longest source and target.
"""

import numpy as np
import tensorflow as tf

from tfzoo.data.buckets import PaddedRows, bucketed_batches, planned_batches
from tfzoo.data.pipelines import without_waiting
from tfzoo.errors import require_whole


class PairBatches:
    """Divides pairs into batches of similar lengths, each pair in one batch.

    With `tokens_per_batch`, all pairs are sorted by target length, then by source
    length, and cut; which of equally long pairs share a batch differs by epoch, and so
    does the order of the batches. With `batch_size`, the same order is that within the
    pools of `bucketed_batches`.

    Args:
        source_lengths: (N,) number of tokens of each source.
        target_lengths: (N,) number of tokens of each target.
        tokens_per_batch: Maximum of B * max(S, T), including padding. A pair that is
            longer than that is a batch of its own.
        batch_size: B, instead of `tokens_per_batch`; the last batch may be smaller.
        multiple: Lengths count as rounded up to a multiple of this.

    Attributes:
        num_batches: Number of batches, the same in every epoch.
    """

    def __init__(
        self,
        source_lengths,
        target_lengths,
        *,
        tokens_per_batch=None,
        batch_size=None,
        multiple=1,
    ):
        if (tokens_per_batch is None) == (batch_size is None):
            raise ValueError(
                "Either tokens_per_batch or batch_size must be given, not both. "
                f"Received: tokens_per_batch={tokens_per_batch}, "
                f"batch_size={batch_size}"
            )
        require_whole("tokens_per_batch", tokens_per_batch, 1, optional=True)
        require_whole("batch_size", batch_size, 1, optional=True)
        require_whole("multiple", multiple, 1)
        self._batch_size = batch_size
        self._sources, self._targets = (
            -(-np.maximum(np.asarray(lengths, np.int64), 1) // multiple) * multiple
            for lengths in (source_lengths, target_lengths)
        )
        if tokens_per_batch is None:
            self.num_batches = -(-len(self._sources) // batch_size)
            return
        order = np.lexsort((self._sources, self._targets))
        larger = np.maximum(self._sources, self._targets)[order]
        self._cuts = _cuts(larger.tolist(), tokens_per_batch)
        self.num_batches = len(self._cuts) + (len(order) > 0)

    def of_epoch(self, epoch, *, seed=0, shuffle=True):
        """The batches of an epoch, a pure function of the arguments.

        The cuts are the same in every epoch, since the sorted lengths are.

        Args:
            epoch: Integer >= 0.
            seed: Integer >= 0.
            shuffle: If False, equally long pairs keep their order, and batches are
                sorted by length; the same in every epoch.

        Returns:
            List of `num_batches` int64 arrays (B,) of indices.
        """
        if self._batch_size is not None:
            by_both = self._targets * (self._sources.max(initial=0) + 1) + self._sources
            return bucketed_batches(
                by_both, self._batch_size, seed=seed, epoch=epoch, shuffle=shuffle
            )
        if not self.num_batches:
            return []
        if not shuffle:
            order = np.lexsort((self._sources, self._targets))
            return np.split(order, self._cuts)
        random = np.random.default_rng([seed, epoch])
        ties = random.permutation(len(self._sources))
        order = np.lexsort((ties, self._sources, self._targets))
        batches = np.split(order, self._cuts)
        return [batches[i] for i in random.permutation(len(batches))]


def padded_pairs(
    sources,
    targets,
    weights=None,
    *,
    tokens_per_batch=None,
    batch_size=None,
    source_pad_id,
    target_pad_id,
    start_id,
    multiple=1,
    seed=0,
    start_step=0,
    epochs=1,
    shuffle=True,
):
    """Batches of encoded pairs, each side padded to its longest row.

    Args:
        sources: N rows: `token_ids`, int32, and `row_splits`, int64 (N + 1,): row i is
            [row_splits[i], row_splits[i + 1]).
        targets: N rows, likewise, which end in the decoder's end token.
        weights: (N,) weights of the pairs, which multiply those of their tokens.
        tokens_per_batch: As in `PairBatches`.
        batch_size: As in `PairBatches`.
        source_pad_id: Padding id of the encoder.
        target_pad_id: Padding id of the decoder.
        start_id: As in `teacher_forced`.
        multiple: S and T are rounded up to a multiple of this; for example 32, if XLA
            compiles every pair of S and T.
        seed: As in `PairBatches.of_epoch`.
        start_step: Number of batches to skip from the beginning.
        epochs: Number of epochs; None for an endless dataset.
        shuffle: As in `PairBatches.of_epoch`.

    Returns:
        `tf.data.Dataset` of what `teacher_forced` returns.
    """
    splits = [np.asarray(side.row_splits) for side in (sources, targets)]
    if len(splits[0]) != len(splits[1]):
        raise ValueError(
            "There must be as many sources as targets. "
            f"Received: {len(splits[0]) - 1} and {len(splits[1]) - 1}"
        )
    batches = PairBatches(
        *map(np.diff, splits),
        tokens_per_batch=tokens_per_batch,
        batch_size=batch_size,
        multiple=multiple,
    )
    padded = [
        PaddedRows(
            {"token_ids": side.token_ids},
            side.row_splits,
            fillings={"token_ids": pad_id},
            multiple=multiple,
        )
        for side, pad_id in ((sources, source_pad_id), (targets, target_pad_id))
    ]
    if weights is not None:
        weights = tf.constant(weights, tf.float32)
        weights = tf.ensure_shape(weights, (len(splits[0]) - 1,))

    return planned_pairs(
        batches,
        lambda epoch, indices: [rows(indices) for rows in padded],
        weights,
        pad_id=target_pad_id,
        start_id=start_id,
        seed=seed,
        start_step=start_step,
        epochs=epochs,
        shuffle=shuffle,
    )


def planned_pairs(
    batches,
    load,
    weights=None,
    *,
    pad_id,
    start_id,
    seed,
    start_step,
    epochs,
    shuffle,
):
    """The batches of a plan, of rows that a function loads.

    Args:
        batches: `PairBatches`.
        load: Function of (epoch, indices (B,)), in TensorFlow operations, that returns
            the `source` and `target` of `teacher_forced`.
        weights: float32 tensor (N,), or None.
        pad_id: As in `teacher_forced`.
        start_id: As in `teacher_forced`.
        seed: As in `PairBatches.of_epoch`.
        start_step: As in `padded_pairs`.
        epochs: As in `padded_pairs`.
        shuffle: As in `PairBatches.of_epoch`.

    Returns:
        `tf.data.Dataset` of what `teacher_forced` returns.
    """

    def batch(epoch, indices):
        return teacher_forced(
            *load(epoch, indices),
            None if weights is None else tf.gather(weights, indices),
            pad_id=pad_id,
            start_id=start_id,
        )

    rows = planned_batches(
        lambda epoch: batches.of_epoch(epoch, seed=seed, shuffle=shuffle),
        batches.num_batches,
        start_step=start_step,
        epochs=epochs,
    )
    return without_waiting(rows.map(batch).prefetch(2))


def teacher_forced(source, target, weights=None, *, pad_id, start_id):
    """Padded rows -> (inputs, targets, weights), in TensorFlow operations.

    The decoder reads the target shifted by one: of r_0 ... r_n it sees start_id, r_0
    ... r_{n-1}.

    Args:
        source: {"token_ids", "padding_mask"}, int32 (B, S); the mask is 1 for a token.
        target: Likewise, (B, T).
        weights: float32 (B,) weights of the rows, or None.
        pad_id: Padding id of the decoder.
        start_id: Id that begins the decoder's input.

    Returns:
        Inputs {"encoder_token_ids", "encoder_padding_mask", "decoder_token_ids",
        "decoder_padding_mask"}, int32 (B, S) and (B, T); targets, int32 (B, T);
        weights, float32 (B, T), 0 for padding.
    """
    ids, mask = target["token_ids"], target["padding_mask"]
    shifted = tf.pad(ids[:, :-1], [[0, 0], [1, 0]], constant_values=start_id)
    inputs = {
        "encoder_token_ids": source["token_ids"],
        "encoder_padding_mask": source["padding_mask"],
        "decoder_token_ids": tf.where(mask > 0, shifted, pad_id),
        "decoder_padding_mask": mask,
    }
    token_weights = tf.cast(mask, tf.float32)
    if weights is not None:
        token_weights *= weights[:, tf.newaxis]
    return inputs, ids, token_weights


def _cuts(lengths, limit):
    """Where to cut rows, so that each part has at most `limit` padded tokens.

    A part is as long as possible, and has one row at least.
    """
    cuts, start, longest = [], 0, 0
    for row, length in enumerate(lengths):
        longest = max(longest, length)
        if row > start and (row + 1 - start) * longest > limit:
            cuts.append(row)
            start, longest = row, length
    return cuts
