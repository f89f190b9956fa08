"""Batches of similar lengths."""

import time
import types

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.data.buckets import bucketed_batches, ordered_batches, padded_batches
from tfzoo.data.examples import read_examples
from tfzoo.text import WordPieceTokenizer

PAD = 7


def encoded_of(lengths, segment_from=2):
    """Texts whose ids are 100 x row + column, segment 1 from column 2 on."""
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = [100 * row + i for row, length in enumerate(lengths) for i in range(length)]
    segments = [int(i >= segment_from) for length in lengths for i in range(length)]
    return types.SimpleNamespace(
        token_ids=np.array(ids, np.int32),
        segment_ids=np.array(segments, np.int32),
        row_splits=splits,
    )


@pytest.fixture(scope="module")
def lengths():
    return np.random.default_rng(0).integers(2, 60, 1003)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    ("count", "size"), [(1003, 8), (5, 8), (16, 8), (1, 1), (0, 4)]
)
def test_every_example_is_in_one_batch(lengths, count, size, shuffle):
    batches = bucketed_batches(lengths[:count], size, seed=1, epoch=2, shuffle=shuffle)
    assert len(batches) == -(-count // size)
    assert sorted(np.concatenate(batches or [[]]).tolist()) == list(range(count))
    assert sum(len(batch) != size for batch in batches) == bool(count % size)


def test_batches_are_a_function_of_seed_and_epoch(lengths):
    def plan(seed, epoch):
        np.random.seed(np.random.randint(1000))
        batches = bucketed_batches(lengths, 8, seed=seed, epoch=epoch)
        return tuple(tuple(batch) for batch in batches)

    assert plan(1, 2) == plan(1, 2)
    assert len({plan(0, 0), plan(0, 1), plan(1, 0), plan(1, 1)}) == 4


def test_shuffled_batches_are_in_no_order_of_length(lengths):
    means = [lengths[b].mean() for b in bucketed_batches(lengths, 8, seed=0, epoch=0)]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.3


def by_hand(encoded, batch, multiple):
    rows = [
        encoded.token_ids[encoded.row_splits[i] : encoded.row_splits[i + 1]]
        for i in batch
    ]
    width = -(-max(map(len, rows)) // multiple) * multiple
    ids = np.full((len(rows), width), PAD)
    mask = np.zeros((len(rows), width))
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return ids, mask


@pytest.mark.parametrize("multiple", [1, 8])
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_are_padded_to_their_longest(lengths, multiple, shuffle):
    encoded = encoded_of(lengths[:50])
    targets = {"y": np.arange(50), "z": np.ones((50, 2), np.float32)}
    weights = np.arange(50, dtype=np.float32)
    dataset = padded_batches(
        encoded,
        targets,
        weights,
        batch_size=8,
        pad_id=PAD,
        multiple=multiple,
        seed=3,
        epochs=2,
        shuffle=shuffle,
    )
    assert dataset.cardinality() == 14
    found = list(dataset.as_numpy_iterator())
    plans = [
        batch
        for epoch in range(2)
        for batch in bucketed_batches(
            lengths[:50], 8, seed=3, epoch=epoch, shuffle=shuffle
        )
    ]
    for (inputs, target, weight), batch in zip(found, plans, strict=True):
        ids, mask = by_hand(encoded, batch, multiple)
        np.testing.assert_array_equal(inputs["token_ids"], ids)
        np.testing.assert_array_equal(inputs["padding_mask"], mask)
        column = np.arange(mask.shape[1])
        np.testing.assert_array_equal(inputs["segment_ids"], mask * (column >= 2))
        assert {x.dtype for x in inputs.values()} == {np.dtype("int32")}
        assert target["y"].tolist() == weight.tolist() == batch.tolist()
        assert target["z"].shape == (len(batch), 2)


@pytest.mark.parametrize("start", [0, 1, 6, 7, 20, 21, 30])
def test_starting_at_a_step_equals_skipping_that_many(lengths, start):
    options = {"batch_size": 8, "pad_id": PAD, "seed": 3, "epochs": 3}
    encoded, targets = encoded_of(lengths[:50]), np.arange(50)
    whole = list(padded_batches(encoded, targets, **options).as_numpy_iterator())
    dataset = padded_batches(encoded, targets, start_step=start, **options)
    found = list(dataset.as_numpy_iterator())
    assert dataset.cardinality() == len(found) == max(21 - start, 0)
    for (x, y), (x_before, y_before) in zip(found, whole[start:], strict=True):
        np.testing.assert_array_equal(x["token_ids"], x_before["token_ids"])
        np.testing.assert_array_equal(y, y_before)


def test_without_epochs_the_dataset_is_endless(lengths):
    encoded = encoded_of(lengths[:5])
    dataset = padded_batches(encoded, batch_size=2, pad_id=PAD, epochs=None)
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    assert len(list(dataset.take(50))) == 50


def test_no_examples_give_no_batches():
    encoded = encoded_of([])
    dataset = padded_batches(encoded, np.zeros(0), batch_size=2, pad_id=PAD, epochs=3)
    assert list(dataset) == []
    assert dataset.element_spec[0]["token_ids"].shape.rank == 2
    dataset, order = ordered_batches(encoded, batch_size=2, pad_id=PAD)
    assert list(dataset) == [] and order.shape == (0,)


def test_the_order_of_ordered_batches_can_be_restored(lengths):
    encoded = encoded_of(lengths)
    dataset, order = ordered_batches(encoded, batch_size=16, pad_id=PAD)
    firsts = np.concatenate([x["token_ids"][:, 0] for x in dataset.as_numpy_iterator()])
    np.testing.assert_array_equal(firsts[order], 100 * np.arange(len(lengths)))
    widths = [x["token_ids"].shape[1] for x in dataset.as_numpy_iterator()]
    assert widths == sorted(widths)


def test_weights_without_targets_are_refused():
    with pytest.raises(ValueError, match="weights require targets"):
        padded_batches(encoded_of([1]), None, np.ones(1), batch_size=1, pad_id=0)
    with pytest.raises(ValueError, match="Received: 0"):
        bucketed_batches([1], 0, seed=0, epoch=0)


@pytest.mark.slow
def test_batching_is_fast(lengths):
    encoded = encoded_of(np.tile(lengths, 10))
    dataset = padded_batches(
        encoded, np.zeros(10_030), batch_size=32, pad_id=PAD, epochs=None
    )
    batches = iter(dataset)
    next(batches)
    begun = time.process_time()
    for _ in range(300):
        next(batches)
    assert 300 * 32 / (time.process_time() - begun) > 20_000


def test_batches_of_sst2_have_little_padding(shared_data):
    examples = read_examples(
        shared_data / "sst2/train.tsv.gz", text_column="sentence", label_column="label"
    )
    texts = examples.texts[:20_000]
    tokenizer = WordPieceTokenizer.train(texts, vocabulary_size=3000, progress=False)
    lengths = np.array([len(ids) + 2 for ids in tokenizer.tokenize(texts)])
    batches = bucketed_batches(lengths, 32, seed=0, epoch=0)
    places = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert 1 - lengths.sum() / places < 0.1
