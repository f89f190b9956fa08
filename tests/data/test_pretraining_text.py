"""Batches made on the fly."""

import gc
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.data.pretraining import open_pretraining_data, pretraining_dataset
from tfzoo.data.pretraining_text import TextSource
from tfzoo.errors import DataError, TokenizerError
from tfzoo.text import WordPieceTokenizer

OPTIONS = {"max_sequence_length": 32, "max_predictions": 5, "progress": False}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def source(text_file, tokenizer, cache):
    return open_pretraining_data(
        [text_file], tokenizer, cache_directory=cache, seed=3, **OPTIONS
    )


def take(dataset, count):
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def assert_equal(one, other):
    tf.nest.assert_same_structure(one, other)
    for x, y in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
        np.testing.assert_array_equal(x, y)


def assert_different(one, other):
    assert not np.array_equal(one[0]["token_ids"], other[0]["token_ids"])


def test_batches_have_static_shapes_and_the_trainers_structure(source):
    dataset = source.batches(4)
    inputs, targets, weights = dataset.element_spec
    assert {name: (x.shape, x.dtype) for name, x in inputs.items()} == {
        "token_ids": ((4, 32), tf.int32),
        "segment_ids": ((4, 32), tf.int32),
        "padding_mask": ((4, 32), tf.int32),
        "mask_positions": ((4, 5), tf.int32),
    }
    assert {name: (x.shape, x.dtype) for name, x in targets.items()} == {
        "masked_words": ((4, 5), tf.int32),
        "next_sentence": ((4,), tf.int32),
    }
    assert {name: (x.shape, x.dtype) for name, x in weights.items()} == {
        "masked_words": ((4, 5), tf.float32),
        "next_sentence": ((4,), tf.float32),
    }
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY


@pytest.mark.parametrize(("whole_word", "next_sentence"), [(0, 1), (1, 0)])
def test_starting_at_a_step_equals_skipping_that_many(
    text_file, tokenizer, cache, whole_word, next_sentence
):
    options = {
        "batch_size": 50,
        "cache_directory": cache,
        "whole_word": bool(whole_word),
        "next_sentence": bool(next_sentence),
        "seed": 7,
        **OPTIONS,
    }
    source = open_pretraining_data(
        [text_file],
        tokenizer,
        **{name: x for name, x in options.items() if name != "batch_size"},
    )
    steps = 3 * source.num_examples // 50
    whole = take(pretraining_dataset([text_file], tokenizer, **options), steps + 2)
    assert len(whole) == steps + 2, "it never ends"
    for start in (1, steps // 3, steps // 2, steps):
        keras.utils.set_random_seed(start)
        dataset = pretraining_dataset(
            [text_file], tokenizer, start_step=start, **options
        )
        for one, other in zip(take(dataset, 2), whole[start:], strict=False):
            assert_equal(one, other)
    assert ("next_sentence" in whole[0][1]) == next_sentence
    assert whole[0][0]["segment_ids"].any() == next_sentence


def test_an_epoch_has_each_pair_once_and_the_next_one_differs(source):
    """The first epoch has each pair of the table; later ones, new orders and masks."""
    count = source.num_examples
    epochs = [take(source.batches(count, start_step=e), 1)[0] for e in range(3)]

    def unmasked(batch):
        ids = batch[0]["token_ids"].copy()
        rows, columns = np.nonzero(batch[2]["masked_words"])
        ids[rows, batch[0]["mask_positions"][rows, columns]] = batch[1]["masked_words"][
            rows, columns
        ]
        return [tuple(row) for row in ids]

    fixed = list(source.validation_batches(count).as_numpy_iterator())[0]
    assert sorted(unmasked(fixed)) == sorted(unmasked(epochs[0]))
    assert unmasked(epochs[0]) != unmasked(epochs[1]) != unmasked(epochs[2])
    common = set(unmasked(epochs[0])) & set(unmasked(epochs[1]))
    assert len(common) < 0.9 * count


@pytest.mark.slow
def test_the_seed_changes_pairs_order_and_masks(source, text_file, tokenizer, cache):
    other = open_pretraining_data(
        [text_file], tokenizer, cache_directory=cache, seed=4, **OPTIONS
    )
    one, two = take(source.batches(8), 1)[0], take(other.batches(8), 1)[0]
    assert_different(one, two)
    assert other.fingerprint == source.fingerprint


def test_ids_are_in_the_vocabulary_and_special_ones_in_place(source, tokenizer):
    for inputs, targets, weights in take(source.batches(64), 4):
        ids, mask = inputs["token_ids"], inputs["padding_mask"]
        assert ids.min() >= 0
        assert ids.max() < tokenizer.vocabulary_size
        assert (ids[:, 0] == tokenizer.cls_id).all()
        assert (ids[mask == 0] == tokenizer.pad_id).all()
        assert (np.diff(mask, axis=1) <= 0).all()
        ends = mask.sum(1) - 1
        assert (ids[np.arange(64), ends] == tokenizer.sep_id).all()
        assert set(np.unique(targets["next_sentence"])) <= {0, 1}
        assert weights["masked_words"].sum(1).min() >= 1


def test_validation_is_finite_fixed_and_filled_up(source):
    count, size = source.num_examples, 64
    dataset = source.validation_batches(size)
    assert dataset.cardinality() == -(-count // size)
    batches = list(dataset.as_numpy_iterator())
    for one, other in zip(batches, source.validation_batches(size), strict=True):
        assert_equal(one, tf.nest.map_structure(lambda x: x.numpy(), other))
    real = np.concatenate([w["next_sentence"] for _, _, w in batches])
    assert real.tolist() == [1.0] * count + [0.0] * (len(batches) * size - count)
    assert not batches[-1][2]["masked_words"][count % size :].any()
    few = list(source.validation_batches(size, max_examples=70).as_numpy_iterator())
    assert sum(w["next_sentence"].sum() for _, _, w in few) == 70
    assert_equal(few[0], batches[0])


def test_a_corpus_smaller_than_a_batch_repeats(number_text, number_tokenizer, tmp_path):
    source = open_pretraining_data(
        [number_text([[2], [3]])],
        number_tokenizer(),
        max_sequence_length=16,
        max_predictions=2,
        progress=False,
    )
    assert source.num_examples == 2
    inputs, _, _ = take(source.batches(9, start_step=10**6), 1)[0]
    assert inputs["token_ids"].shape == (9, 16)


def test_one_document_is_an_error_unless_next_sentence_is_off(
    number_text, number_tokenizer
):
    path = number_text([[5, 5]])
    with pytest.raises(DataError, match=r"\.txt: .*at least two documents"):
        open_pretraining_data([path], number_tokenizer(), **OPTIONS)
    source = open_pretraining_data(
        [path], number_tokenizer(), next_sentence=False, **OPTIONS
    )
    assert source.num_examples == 1


def test_a_vocabulary_without_mask_is_named(text_file):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"]
    with pytest.raises(TokenizerError, match=r"contain the mask token \[MASK\]"):
        open_pretraining_data([text_file], WordPieceTokenizer(tokens), **OPTIONS)


def test_text_and_records_are_not_mixed(text_file, tmp_path, tokenizer):
    (tmp_path / "a.tfrecord").write_bytes(b"")
    with pytest.raises(DataError, match="text files or TFRecord files, not both"):
        open_pretraining_data([text_file, tmp_path / "a.tfrecord"], tokenizer)


def test_the_fingerprint_is_that_of_the_text(source, tokenizer, tmp_path, documents):
    (tmp_path / "a.txt").write_text("\n\n".join("\n".join(d) for d in documents[:5]))
    other = open_pretraining_data([tmp_path / "a.txt"], tokenizer, **OPTIONS)
    assert isinstance(other, TextSource)
    assert other.fingerprint != source.fingerprint


def test_temporary_files_are_removed_with_the_source(
    text_file, tokenizer, monkeypatch, tmp_path
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source = open_pretraining_data([text_file], tokenizer, **OPTIONS)
    assert list(tmp_path.iterdir())
    del source
    gc.collect()
    assert not list(tmp_path.iterdir())
