"""Packing of documents into windows, for next-token prediction.

The documents of a corpus are concatenated, each preceded by the end token and, if there
is one, the start token, and this sequence is cut into windows regardless of borders, so
no position is wasted on padding. The last document is followed by the first: the
sequence is a ring, and every window is full.

Every batch is a function of (corpus, arguments, seed, step) only. Letters: B rows,
S max_sequence_length, R tokens of the ring, including end and start tokens.
"""

import bisect

import numpy as np
import tensorflow as tf

from tfzoo.data.corpus import build_corpus
from tfzoo.data.pipelines import without_waiting
from tfzoo.data.shuffling import shuffled
from tfzoo.errors import require_whole


def open_packed_text(
    text,
    tokenizer,
    *,
    cache_directory=None,
    max_sequence_length,
    start_id=None,
    document_borders=True,
    seed=0,
    processes=1,
    progress=True,
):
    """Opens text as windows of packed documents.

    Args:
        text: A `WholeText`.
        tokenizer: A `ByteBPETokenizer` or `SentencePieceTokenizer` with an end token.
        cache_directory: Where to keep the tokenized text. None for a temporary
            directory that lives as long as the result.
        max_sequence_length: S.
        start_id: As in `PackedText`, for a task its tokenizer's `begin_id`.
        document_borders: As in `PackedText`.
        seed: Seed of all random choices, an integer >= 0.
        processes: Number of tokenizing processes.
        progress: Whether to show progress bars, if stderr is a terminal.

    Returns:
        `PackedText`.

    Raises:
        DataError: the data is invalid or has no tokens.
    """
    return PackedText(
        build_corpus(
            text,
            tokenizer,
            cache_directory,
            processes=processes,
            progress=progress,
        ),
        end_id=tokenizer.end_id,
        max_sequence_length=max_sequence_length,
        start_id=start_id,
        document_borders=document_borders,
        seed=seed,
    )


class PackedText:
    """Windows of a corpus, with the next token as target at every position.

    An epoch cuts the ring into windows, starting at a random place, and yields them in
    random order; at its end a few tokens (less than a window) may be repeated.

    Args:
        corpus: A `Corpus`.
        end_id: Id of the token after each document, and so before the next.
        max_sequence_length: S, at least 1.
        start_id: Id of the token that begins a document. None for the end token.
        document_borders: Whether tokens attend only to their own document and positions
            restart with it. Otherwise a window is treated as one text.
        seed: Integer >= 0.

    Attributes:
        num_tokens: Number of tokens R of the ring.
        num_examples: Number of windows in an epoch.
        fingerprint: Fingerprint of the corpus.
    """

    def __init__(
        self,
        corpus,
        *,
        end_id,
        max_sequence_length,
        start_id=None,
        document_borders=True,
        seed=0,
    ):
        if end_id is None:
            raise ValueError(
                "Packing requires an end token to put before each document. "
                "Received: end_id=None"
            )
        self._corpus, self._seed = corpus, seed
        # The tokens before each document, of which the last begins it.
        self._before = [end_id] if start_id in (None, end_id) else [end_id, start_id]
        self._length, self._borders = max_sequence_length, document_borders
        self.fingerprint = corpus.fingerprint
        self.num_tokens = corpus.num_tokens + len(self._before) * corpus.num_documents
        self.num_examples = -(-self.num_tokens // max_sequence_length)

    def batches(self, batch_size, *, start_step=0):
        """Endless batches of B windows, starting at step `start_step`.

        Returns:
            `tf.data.Dataset` of (inputs, targets, weights): `token_ids` and
            `padding_mask`, int32 (B, S), where the mask holds document numbers as
            `GPTDecoder` expects; the next tokens, int32 (B, S); float32 (B, S).
        """
        require_whole("batch_size", batch_size, 1)
        require_whole("start_step", start_step, 0)
        steps = tf.data.Dataset.counter(start_step)
        return self._dataset(steps, batch_size, self._random_rows)

    def validation_batches(self, batch_size, *, max_examples=None):
        """All windows (or the first `max_examples`) in a fixed order.

        Every token is a target with weight 1 exactly once; the last window and the last
        batch are filled up with targets of weight 0.
        """
        require_whole("batch_size", batch_size, 1)
        require_whole("max_examples", max_examples, 1, optional=True)
        count = min(self.num_examples, max_examples or self.num_examples)

        def rows(step, batch_size):
            windows = np.arange(step * batch_size, (step + 1) * batch_size)
            starts = np.where(windows < count, windows, 0) * self._length
            left = np.where(windows < count, self.num_tokens - starts, 0)
            return self._rows(starts), np.minimum(left, self._length)

        steps = tf.data.Dataset.range(-(-count // batch_size))
        return self._dataset(steps, batch_size, rows)

    def _dataset(self, steps, batch_size, rows):
        def load(step):
            ids, lengths = tf.numpy_function(
                lambda step: rows(int(step), batch_size), [step], [tf.int32, tf.int64]
            )
            ids = tf.ensure_shape(ids, (batch_size, self._length + 1))
            return ids, tf.ensure_shape(lengths, (batch_size,))

        return without_waiting(steps.map(load).map(self._objective).prefetch(2))

    def _objective(self, ids, lengths):
        return next_tokens(
            ids, lengths, begin_id=self._before[-1], document_borders=self._borders
        )

    def _random_rows(self, step, batch_size):
        examples = step * batch_size + np.arange(batch_size)
        epochs, places = np.divmod(examples, self.num_examples)
        starts = np.empty(batch_size, np.int64)
        for epoch in np.unique(epochs).tolist():
            of_epoch, seed = epochs == epoch, (self._seed, epoch)
            windows = shuffled(places[of_epoch], self.num_examples, seed=seed)
            first = np.random.default_rng(seed).integers(self._length)
            starts[of_epoch] = first + windows * self._length
        return self._rows(starts), np.full(batch_size, self._length)

    def _rows(self, starts):
        """Ids of the ring, int32 (B, S + 1), beginning at each of `starts`."""
        return np.stack([self._window(int(start)) for start in starts])

    def _window(self, start):
        parts, missing = [], self._length + 1
        while missing:
            start %= self.num_tokens
            stop = min(start + missing, self.num_tokens)
            parts.append(self._ids(start, stop))
            missing -= stop - start
            start = stop
        return np.concatenate(parts)

    def _ids(self, start, stop):
        """Ids [start, stop) of the concatenated documents."""
        first, last = self._specials_before(start), self._specials_before(stop)
        ids = self._corpus.tokens(start - first, stop - last)
        specials = range(first, last)
        count = len(self._before)
        starts = [self._corpus.document_start(i // count) for i in specials]
        places = np.array(starts, np.int64) - (start - first)
        return np.insert(ids, places, [self._before[i % count] for i in specials])

    def _specials_before(self, position):
        """Number of end and start tokens before this position."""
        count = len(self._before)
        return bisect.bisect_left(
            range(count * self._corpus.num_documents),
            position,
            key=lambda i: self._corpus.document_start(i // count) + i,
        )


def next_tokens(ids, lengths, *, begin_id, document_borders=True):
    """Rows of ids -> (inputs, targets, weights), in TensorFlow operations.

    Args:
        ids: int32 (B, S + 1).
        lengths: (B,) number of targets in each row, of S, that have weight 1.
        begin_id: Id of the token that begins a document.
        document_borders: As in `PackedText`.

    Returns:
        As in `PackedText.batches`.
    """
    token_ids, targets = ids[:, :-1], ids[:, 1:]
    counts = tf.sequence_mask(lengths, tf.shape(token_ids)[1])
    documents = tf.ones_like(token_ids)
    if document_borders:
        begins = tf.cast(tf.equal(token_ids, begin_id), tf.int32)
        documents += tf.cumsum(begins, axis=1)
    inputs = {
        "token_ids": token_ids,
        "padding_mask": tf.where(counts, documents, 0),
    }
    weights = tf.ensure_shape(tf.cast(counts, tf.float32), token_ids.shape)
    return inputs, targets, weights
