"""Documents packed into windows, for a model that predicts the next token.

The documents of a corpus stand in one row, the end token before each, and the start
token after that where there is one. A window is cut out of that row wherever it falls,
so no position is spent on padding. Before the first document comes, again, the last:
the row is a ring, and every window is full.

Every batch is a function of (corpus, arguments, seed, step) alone. Letters: B rows,
S max_sequence_length, R tokens of the ring, end and start tokens counted.
"""

import bisect

import numpy as np
import tensorflow as tf

from tfzoo.data.corpus import build_corpus
from tfzoo.data.pipelines import require_whole, without_waiting
from tfzoo.data.shuffling import shuffled
from tfzoo.data.whole_text import WholeText


def open_packed_text(
    paths,
    tokenizer,
    *,
    cache_directory=None,
    max_sequence_length,
    start_id=None,
    document_borders=True,
    documents="auto",
    text_column="text",
    seed=0,
    processes=1,
    progress=True,
):
    """Opens text as windows of whole documents.

    Args:
        paths: Files, as of `WholeText`.
        tokenizer: A `ByteBPETokenizer` with an end token.
        cache_directory: Where the tokenised text is kept. None: in a temporary
            directory, until the result is dropped.
        max_sequence_length: S.
        start_id: As of `PackedText`; the `begin_id` of a task's tokenizer.
        document_borders: As of `PackedText`.
        documents: Where documents end, as of `WholeText`.
        text_column: Column of the text in files with columns.
        seed: Names all random choices. Whole number from 0.
        processes: How many processes tokenise.
        progress: Whether to show bars.

    Returns:
        `PackedText`.

    Raises:
        DataError: the data breaks a rule, or holds no token.
    """
    return PackedText(
        build_corpus(
            WholeText(paths, documents, text_column),
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
    """Windows of a corpus and the token that follows each of theirs.

    An epoch cuts the ring into windows from a random place on and gives them in a
    random order; at its end a few tokens (less than a window) may come twice.

    Args:
        corpus: A `Corpus`.
        end_id: Id of the token that ends a document, and so stands before the next.
        max_sequence_length: S, 1 or more.
        start_id: Id of the token that begins a document; None: the end token does.
        document_borders: Whether a token sees its own document alone and positions
            restart with it; else a window is one text.
        seed: Whole number from 0.

    Attributes:
        num_tokens: Tokens R of the ring.
        num_examples: Windows of an epoch.
        fingerprint: That of the corpus.
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
                "Packing needs an end token to stand before each document. "
                "Received: end_id=None"
            )
        self._corpus, self._seed = corpus, seed
        # What stands before each document; the last of it begins the document.
        self._before = [end_id] if start_id in (None, end_id) else [end_id, start_id]
        self._length, self._borders = max_sequence_length, document_borders
        self.fingerprint = corpus.fingerprint
        self.num_tokens = corpus.num_tokens + len(self._before) * corpus.num_documents
        self.num_examples = -(-self.num_tokens // max_sequence_length)

    def batches(self, batch_size, *, start_step=0):
        """Endless batches of B windows from step `start_step` on.

        Returns:
            `tf.data.Dataset` of (inputs, targets, weights): `token_ids` and
            `padding_mask` int32 (B, S), where the mask numbers the documents as
            `GPTDecoder` wants it; the next tokens int32 (B, S); float32 (B, S).
        """
        require_whole("batch_size", batch_size, 1)
        require_whole("start_step", start_step, 0)
        steps = tf.data.Dataset.counter(start_step)
        return self._dataset(steps, batch_size, self._random_rows)

    def validation_batches(self, batch_size, *, max_examples=None):
        """The windows (or the first `max_examples`) in their order, always the same.

        Every token of them is the target of one of weight 1; the last window and the
        last batch are filled up with targets of weight 0.
        """
        require_whole("batch_size", batch_size, 1)
        require_whole("max_examples", max_examples, 1)
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
        """int32 (B, S + 1) ids of the ring from each of `starts` on."""
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
        """Ids [start, stop) of the row of documents."""
        first, last = self._specials_before(start), self._specials_before(stop)
        ids = self._corpus.tokens(start - first, stop - last)
        specials = range(first, last)
        count = len(self._before)
        starts = [self._corpus.document_start(i // count) for i in specials]
        places = np.array(starts, np.int64) - (start - first)
        return np.insert(ids, places, [self._before[i % count] for i in specials])

    def _specials_before(self, position):
        """How many end and start tokens stand before this position of the row."""
        count = len(self._before)
        return bisect.bisect_left(
            range(count * self._corpus.num_documents),
            position,
            key=lambda i: self._corpus.document_start(i // count) + i,
        )


def next_tokens(ids, lengths, *, begin_id, document_borders=True):
    """Rows of ids -> (inputs, targets, weights), by TensorFlow operations.

    Args:
        ids: int32 (B, S + 1).
        lengths: (B,) how many of the S targets of each row count.
        begin_id: Id of the token with which a document begins.
        document_borders: As of `PackedText`.

    Returns:
        As `PackedText.batches`.
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
