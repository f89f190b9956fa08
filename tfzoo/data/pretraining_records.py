"""Pretraining batches from prepared TFRecord files.

Every batch is a function of (files, seed, step) only. Letters: B rows,
S max_sequence_length, M max_predictions.
"""

import tensorflow as tf

from tfzoo.data.pipelines import without_waiting
from tfzoo.data.prepared_directory import record_files
from tfzoo.data.record_layout import RecordLayout, weigh_first
from tfzoo.data.running_text import content_hash
from tfzoo.data.tfrecord_frames import compression
from tfzoo.errors import DataError, require_whole

_SHUFFLED_AT_ONCE = 4096
assert_cardinality = tf.data.experimental.assert_cardinality


class RecordSource:
    """Examples from TFRecord files in the layout of `record_layout`.

    All files are read and checked once, here. An epoch takes the files in random order
    and shuffles `_SHUFFLED_AT_ONCE` records at a time: the files should already be
    shuffled, as those of `prepare_pretraining_data` and of Google's BERT are.

    Args:
        paths: Files, plain or gzip, or directories written by
            `prepare_pretraining_data`.
        tokenizer: The tokenizer they were made with.
        max_sequence_length, max_predictions: Upper bounds for the files' S and M. None
            for no bound.
        next_sentence: Whether to read next-sentence labels.
        seed: Integer.

    Attributes:
        layout: `RecordLayout` of all files.
        num_examples: Number of examples in an epoch.
        fingerprint: Hash of the files' content.

    Raises:
        DataError: a file or record is invalid; the message names it.
    """

    def __init__(
        self,
        paths,
        tokenizer,
        *,
        max_sequence_length=None,
        max_predictions=None,
        next_sentence=True,
        seed=0,
    ):
        files = record_files(paths, tokenizer)
        self._paths = [path for path, _ in files]
        self.layout = RecordLayout.of_file(
            self._paths[0], tokenizer.vocabulary_size, next_sentence=next_sentence
        )
        for name, most in (
            ("max_sequence_length", max_sequence_length),
            ("max_predictions", max_predictions),
        ):
            if most is not None and getattr(self.layout, name) > most:
                raise DataError(
                    f"{name} of the records must be at most {most}. "
                    f"Received: {getattr(self.layout, name)}.",
                    path=self._paths[0],
                )
        counts = self.layout.check_files(self._paths)
        self.num_examples = sum(counts)
        hashes = [content_hash(path) for path in self._paths]
        for file, count, digest in zip(files, counts, hashes, strict=True):
            _require_as_written(*file, count, digest)
        self.fingerprint = "-".join(hashes)
        self.next_sentence = next_sentence
        self._seed = seed
        self._types = [compression(path) for path in self._paths]

    def batches(self, batch_size, *, start_step=0):
        """Endless batches of B examples, starting at step `start_step`."""
        require_whole("batch_size", batch_size, 1)
        require_whole("start_step", start_step, 0)
        epoch, skipped = divmod(start_step * batch_size, self.num_examples)
        return without_waiting(
            tf.data.Dataset.counter(epoch)
            .flat_map(self._epoch)
            .skip(skipped)
            .batch(batch_size, drop_remainder=True)
            .map(self.layout.training_batch)
            .apply(assert_cardinality(tf.data.INFINITE_CARDINALITY))
            .prefetch(2)
        )

    def validation_batches(self, batch_size, *, max_examples=None):
        """All examples (or the first `max_examples`) in the order of the files.

        The last batch is filled up with copies of weight 0.
        """
        require_whole("batch_size", batch_size, 1)
        require_whole("max_examples", max_examples, 1, optional=True)
        count = min(self.num_examples, max_examples or self.num_examples)

        def filled(step, records):
            last = tf.shape(records)[0] - 1
            records = tf.gather(records, tf.minimum(tf.range(batch_size), last))
            batch = self.layout.training_batch(records)
            return weigh_first(batch, count - step * batch_size)

        records = self._records(tf.constant(self._names()), tf.constant(self._types))
        return without_waiting(
            records.take(count)
            .batch(batch_size)
            .enumerate()
            .map(filled)
            .apply(assert_cardinality(-(-count // batch_size)))
            .prefetch(2)
        )

    def _epoch(self, epoch):
        seed = tf.stack([tf.constant(self._seed, tf.int64), epoch])
        order = _random_order(len(self._paths), seed)
        records = self._records(
            tf.gather(self._names(), order), tf.gather(self._types, order)
        )

        def mixed(pool, records):
            order = _random_order(tf.shape(records)[0], tf.random.fold_in(seed, pool))
            return tf.data.Dataset.from_tensor_slices(tf.gather(records, order))

        return records.batch(_SHUFFLED_AT_ONCE).enumerate().flat_map(mixed)

    def _names(self):
        return [str(path) for path in self._paths]

    @staticmethod
    def _records(names, types):
        files = tf.data.Dataset.from_tensor_slices((names, types))
        return files.flat_map(tf.data.TFRecordDataset)


def _require_as_written(path, described, count, digest):
    """Raises `DataError` if a file does not match its manifest entry."""
    known = {"examples": count, "sha256": digest}
    for name, value in known.items():
        if described.get(name, value) != value:
            raise DataError(
                f"The file must match the manifest, which gives {name}="
                f"{described[name]!r}. Received: {name}={value!r}.",
                path=path,
                fix="Copy the file again, or prepare the data again in another "
                "directory.",
            )


def _random_order(count, seed):
    keys = tf.random.stateless_uniform([count], seed, alg="philox")
    return tf.argsort(keys, stable=True)
