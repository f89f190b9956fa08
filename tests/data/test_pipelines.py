"""No pipeline of the package waits after its last batch."""

import time

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.data.buckets import ordered_batches, padded_batches
from tfzoo.data.packing import open_packed_text
from tfzoo.data.pipelines import without_waiting
from tfzoo.data.preparation import prepare_pretraining_data
from tfzoo.data.pretraining import open_pretraining_data
from tfzoo.data.running_text import RunningText
from tfzoo.data.string_batches import bucketed_strings, padded_strings
from tfzoo.data.whole_text import WholeText
from tfzoo.text import ByteBPETokenizer

WAITS = 0.5  # seconds after the last batch


def is_tuned(dataset):
    return dataset.options().autotune.enabled


def nested():
    return tf.data.Dataset.range(1).flat_map(lambda _: tf.data.Dataset.range(10))


def encoded(tokenizer):
    return tokenizer.encode_batch(["two words", "three more words", "one"] * 4)


def test_text_and_packed_text_are_not_autotuned(text_file, tokenizer):
    source = open_pretraining_data([text_file], tokenizer, progress=False)
    assert is_tuned(source.batches(4)) is False
    assert is_tuned(source.validation_batches(4)) is False
    letters = ByteBPETokenizer.train([text_file.read_text()], vocabulary_size=300)
    packed = open_packed_text(
        WholeText([text_file]), letters, max_sequence_length=16, progress=False
    )
    assert is_tuned(packed.batches(4)) is False
    assert is_tuned(packed.validation_batches(4)) is False


def test_records_are_not_autotuned(text_file, tokenizer, tmp_path):
    prepare_pretraining_data(
        RunningText([text_file]),
        tokenizer,
        tmp_path,
        duplicates=1,
        shards=2,
        progress=False,
    )
    source = open_pretraining_data([tmp_path], tokenizer)
    assert is_tuned(source.batches(4)) is False
    assert is_tuned(source.validation_batches(4)) is False


def test_bucketed_batches_are_not_autotuned(tokenizer):
    rows = encoded(tokenizer)
    batches = padded_batches(rows, np.arange(12), batch_size=4, pad_id=0)
    assert is_tuned(batches) is False
    assert is_tuned(ordered_batches(rows, batch_size=4, pad_id=0)[0]) is False
    strings = tf.data.Dataset.from_tensor_slices(["two words", "one"])

    def encode(texts, *pairs):
        ids = tf.strings.unicode_decode(texts, "UTF-8")
        return {"token_ids": ids, "segment_ids": ids * 0}

    assert is_tuned(padded_strings(strings.batch(2), encode, pad_id=0)) is False
    bucketed = bucketed_strings(strings, encode, batch_size=2, pad_id=0)
    assert is_tuned(bucketed) is False


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True])
def test_an_invalid_batch_size_is_named(text_file, tokenizer, wrong):
    source = open_pretraining_data([text_file], tokenizer, progress=False)
    strings, rows = tf.data.Dataset.from_tensors("a"), encoded(tokenizer)
    for batches in (
        source.batches,
        source.validation_batches,
        lambda size: padded_batches(rows, batch_size=size, pad_id=0),
        lambda size: bucketed_strings(
            strings, tokenizer.graph.encode, batch_size=size, pad_id=0
        ),
    ):
        with pytest.raises(ValueError, match=f"batch_size must .* Received: {wrong}"):
            batches(wrong)
    with pytest.raises(ValueError, match="max_examples must .* >= 1. Received: 0"):
        source.validation_batches(4, max_examples=0)


def test_an_autotune_option_set_by_the_user_is_kept():
    options = tf.data.Options()
    options.autotune.enabled = True
    options.deterministic = False
    assert is_tuned(without_waiting(nested().with_options(options))) is True
    options = tf.data.Options()
    options.deterministic = False
    dataset = without_waiting(nested().with_options(options))
    assert is_tuned(dataset) is False
    assert dataset.options().deterministic is False
    assert list(dataset.as_numpy_iterator()) == list(range(10))


def waited(dataset, seconds, batches):
    """Seconds from the end of the last step to the end of the iteration."""
    square = tf.random.normal((600, 600))
    iterator = iter(dataset)
    for _ in range(batches):
        next(iterator)
        ended = time.perf_counter() + seconds / batches
        while time.perf_counter() < ended:  # the cores are busy, as in training
            tf.matmul(square, square).numpy()
    ended = time.perf_counter()
    assert next(iterator, None) is None
    del iterator
    return time.perf_counter() - ended


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1, 1.5, 2, 3, 6])
def test_an_iteration_ends_with_its_last_batch(tokenizer, seconds):
    assert waited(without_waiting(nested().prefetch(2)), seconds, 10) < WAITS
    batches = padded_batches(encoded(tokenizer), batch_size=2, pad_id=0)
    assert waited(batches, seconds, 6) < WAITS
