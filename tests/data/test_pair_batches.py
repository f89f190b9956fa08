"""Batches of pairs of similar lengths."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.data.pair_batches import PairBatches, padded_pairs

SOURCE_PAD, TARGET_PAD, START = 7, 8, 9
OPTIONS = dict(source_pad_id=SOURCE_PAD, target_pad_id=TARGET_PAD, start_id=START)


@pytest.fixture(scope="module")
def lengths():
    rng = np.random.default_rng(0)
    sources = rng.integers(1, 40, 500)
    return sources, np.clip(sources + rng.integers(-5, 6, 500), 1, None)


def rows_of(lengths, first):
    """Rows whose ids are first + 100 x row + column."""
    ids = [first + 100 * row + i for row, n in enumerate(lengths) for i in range(n)]
    splits = np.cumsum([0, *lengths])
    return types.SimpleNamespace(token_ids=np.array(ids, np.int32), row_splits=splits)


def padded_tokens(batch, lengths, multiple=1):
    longest = max(side[batch].max() for side in lengths)
    return len(batch) * -(-longest // multiple) * multiple


MODES = [{"tokens_per_batch": 200}, {"batch_size": 16}]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [0, 1, 500])
def test_every_pair_is_in_one_batch(lengths, count, mode, shuffle):
    plan = PairBatches(*(side[:count] for side in lengths), **mode)
    for epoch in range(3):
        batches = plan.of_epoch(epoch, seed=1, shuffle=shuffle)
        assert len(batches) == plan.num_batches
        assert sorted(np.concatenate([[], *batches]).tolist()) == [*range(count)]


@pytest.mark.parametrize("multiple", [1, 8])
def test_batches_are_as_large_as_the_limit_allows(lengths, multiple):
    plan = PairBatches(*lengths, tokens_per_batch=200, multiple=multiple)
    batches = plan.of_epoch(0, shuffle=False)
    for batch, following in zip(batches, [*batches[1:], None], strict=True):
        assert padded_tokens(batch, lengths, multiple) <= 200
        if following is not None:
            more = np.append(batch, following[0])
            assert padded_tokens(more, lengths, multiple) > 200
    shuffled = plan.of_epoch(3, seed=5)
    assert max(padded_tokens(b, lengths, multiple) for b in shuffled) <= 200
    assert sorted(map(len, shuffled)) == sorted(map(len, batches))


@pytest.mark.parametrize("sides", [([3, 50, 2], [3, 3, 3]), ([3, 3, 2], [3, 50, 3])])
def test_a_pair_over_the_limit_is_a_batch_of_its_own(sides):
    batches = PairBatches(*sides, tokens_per_batch=10).of_epoch(0, seed=0)
    assert {frozenset(batch.tolist()) for batch in batches} == {
        frozenset({1}),
        frozenset({0, 2}),
    }


def test_batches_have_less_padding_than_sorting_by_one_side_leaves(lengths):
    batches = PairBatches(*lengths, tokens_per_batch=200).of_epoch(0)
    pads = sum(
        len(b) * side[b].max() - side[b].sum() for b in batches for side in lengths
    )
    by_target = np.array_split(np.argsort(lengths[1], kind="stable"), len(batches))
    pads_by_target = sum(
        len(b) * side[b].max() - side[b].sum() for b in by_target for side in lengths
    )
    assert pads < pads_by_target


@pytest.mark.parametrize("mode", MODES)
def test_batches_are_a_function_of_seed_and_epoch(lengths, mode):
    def plan(seed, epoch):
        batches = PairBatches(*lengths, **mode).of_epoch(epoch, seed=seed)
        return tuple(tuple(batch.tolist()) for batch in batches)

    assert plan(1, 2) == plan(1, 2)
    plans = plan(0, 0), plan(0, 1), plan(1, 0)
    assert len({*plans}) == 3
    contents = [{frozenset(batch) for batch in batches} for batches in plans]
    assert contents[0] != contents[1] != contents[2]


def test_shuffled_batches_are_in_no_order_of_length(lengths):
    batches = PairBatches(*lengths, tokens_per_batch=200).of_epoch(0)
    means = [lengths[1][batch].mean() for batch in batches]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.3


@pytest.mark.parametrize("multiple", [1, 8])
@pytest.mark.parametrize("mode", MODES)
def test_batches_are_rows_padded_and_shifted(lengths, mode, multiple):
    lengths = [side[:40] for side in lengths]
    sources, targets = rows_of(lengths[0], 10), rows_of(lengths[1], 50)
    weights = np.arange(40) / 2
    dataset = padded_pairs(
        sources,
        targets,
        weights,
        **mode,
        **OPTIONS,
        multiple=multiple,
        seed=3,
        epochs=2,
    )
    plan = PairBatches(*lengths, **mode, multiple=multiple)
    assert dataset.cardinality() == 2 * plan.num_batches
    indices = [batch for epoch in range(2) for batch in plan.of_epoch(epoch, seed=3)]
    for batch, rows in zip(dataset.as_numpy_iterator(), indices, strict=True):
        inputs, ids, token_weights = batch
        for side, found in ((0, inputs["encoder_token_ids"]), (1, ids)):
            width = max(lengths[side][rows])
            assert found.shape == (len(rows), -(-width // multiple) * multiple)
        for i, row in enumerate(rows):
            source = [10 + 100 * row + k for k in range(lengths[0][row])]
            target = [50 + 100 * row + k for k in range(lengths[1][row])]
            found = inputs["encoder_token_ids"][i].tolist()
            padding = len(found) - len(source)
            assert found == source + [SOURCE_PAD] * padding
            mask = inputs["encoder_padding_mask"][i].tolist()
            assert mask == [1] * len(source) + [0] * padding
            padding = ids.shape[1] - len(target)
            assert ids[i].tolist() == target + [TARGET_PAD] * padding
            found = inputs["decoder_token_ids"][i].tolist()
            assert found == [START, *target[:-1]] + [TARGET_PAD] * padding
            mask = [1] * len(target) + [0] * padding
            assert inputs["decoder_padding_mask"][i].tolist() == mask
            assert token_weights[i].tolist() == [m * weights[row] for m in mask]
        assert {x.dtype for x in (*inputs.values(), ids)} == {np.dtype("int32")}
        assert token_weights.dtype == np.float32


@pytest.mark.parametrize("mode", MODES)
def test_starting_at_a_step_equals_skipping_that_many(lengths, mode):
    sides = [rows_of(side[:30], 10) for side in lengths]
    options = {**mode, **OPTIONS, "seed": 3, "epochs": 3}
    whole = [*padded_pairs(*sides, **options).as_numpy_iterator()]
    count = len(whole) // 3
    for start in (1, count, 2 * count + 1, 3 * count + 5):
        dataset = padded_pairs(*sides, start_step=start, **options)
        found = [*dataset.as_numpy_iterator()]
        assert dataset.cardinality() == len(found) == max(3 * count - start, 0)
        for one, other in zip(found, whole[start:], strict=True):
            tf.nest.map_structure(np.testing.assert_array_equal, one, other)


def test_without_epochs_the_dataset_is_endless(lengths):
    sides = [rows_of(side[:5], 10) for side in lengths]
    dataset = padded_pairs(*sides, batch_size=2, epochs=None, **OPTIONS)
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    assert len(list(dataset.take(20))) == 20


def test_no_pairs_give_no_batches():
    dataset = padded_pairs(*[rows_of([], 0)] * 2, tokens_per_batch=9, **OPTIONS)
    assert list(dataset) == []


def test_there_must_be_a_weight_for_each_pair(lengths):
    sources, targets = rows_of(lengths[0][:4], 10), rows_of(lengths[1][:4], 50)
    with pytest.raises(tf.errors.InvalidArgumentError, match="shape"):
        padded_pairs(sources, targets, np.ones(5), batch_size=2, **OPTIONS)


def test_both_limits_or_none_and_sides_of_different_size_are_refused():
    with pytest.raises(ValueError, match="tokens_per_batch=None, batch_size=None"):
        PairBatches([1], [1])
    with pytest.raises(ValueError, match="tokens_per_batch=3, batch_size=2"):
        PairBatches([1], [1], tokens_per_batch=3, batch_size=2)
    with pytest.raises(ValueError, match="as many sources.*Received: 2 and 1"):
        padded_pairs(rows_of([1, 1], 0), rows_of([1], 0), batch_size=1, **OPTIONS)
