"""The padded core: parts of bounded size, few lengths, and XLA gives the same."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.serving.core import (
    PART,
    XLA_BATCH_SIZES,
    PaddedCore,
    few_lengths,
    length_buckets,
    num_columns,
)

IDS = ("token_ids", "segment_ids", "padding_mask")


def inputs_of(rows, length):
    rng = np.random.default_rng(length)
    values = {
        "token_ids": rng.integers(0, 16, (rows, length)),
        "segment_ids": rng.integers(0, 2, (rows, length)),
        "padding_mask": rng.integers(0, 2, (rows, length)) | (np.arange(length) == 0),
    }
    return {name: tf.constant(value, tf.int32) for name, value in values.items()}


def recording(shapes):
    """A core that records the shapes of its inputs and sums the unmasked ids."""

    def core(inputs):
        ids, mask = inputs["token_ids"], inputs["padding_mask"]

        def note(ids):
            shapes.append(ids.shape)
            return ids

        ids = tf.numpy_function(note, [ids], tf.int32)
        ids = tf.ensure_shape(ids, [None, None])
        return tf.reduce_sum(tf.cast(ids * mask, tf.float32), 1, keepdims=True)

    return core


def numbers(logits, rows):
    """The core's outputs, and the rows it was called with."""
    return {"logits": logits, "rows": rows}


def logits_of(padded, inputs, *lengths):
    answer = padded(inputs, numbers, *lengths)
    rows = inputs["token_ids"].shape[0]
    np.testing.assert_array_equal(answer["rows"], np.arange(rows))
    return answer["logits"]


def test_the_buckets_of_xla_are_multiples_of_32_up_to_the_maximum():
    assert length_buckets(128) == (32, 64, 96, 128)
    assert length_buckets(72) == (32, 64, 72)
    assert length_buckets(20) == (20,)


def test_few_lengths_are_each_about_half_more_up_to_the_maximum():
    assert few_lengths(1024) == (16, 32, 64, 96, 160, 256, 384, 640, 1024)
    assert few_lengths(72) == (16, 32, 64, 72)
    assert few_lengths(20) == (16, 20)
    assert few_lengths(9) == (9,)


@pytest.mark.parametrize(
    ("length", "graph", "xla"),
    [
        (1, 16, 16),
        (17, 24, 32),
        (32, 32, 32),
        (97, 104, 160),
        (161, 168, 256),
        (297, 300, 300),
    ],
)
def test_texts_are_padded_to_a_multiple_or_one_of_the_few(length, graph, xla):
    assert int(num_columns(tf.constant(length), 300, jit_compile=False)) == graph
    assert int(num_columns(tf.constant(length), 300, jit_compile=True)) == xla


def test_the_core_only_gets_bucket_lengths_and_answers_stay_the_same():
    shapes = []
    padded = PaddedCore(recording(shapes), max_sequence_length=72, pad_id=3)
    for length in range(1, 73, 5):
        inputs = inputs_of(2, length)
        expected = (inputs["token_ids"] * inputs["padding_mask"]).numpy().sum(1)
        np.testing.assert_array_equal(logits_of(padded, inputs)[:, 0], expected)
    assert {shape[1] for shape in shapes} == set(range(8, 73, 8))
    assert {shape[0] for shape in shapes} == {2}


def test_the_core_gets_one_row_for_an_empty_batch():
    shapes = []
    padded = PaddedCore(recording(shapes), max_sequence_length=72, pad_id=3)
    assert logits_of(padded, inputs_of(0, 4)).shape == (0, 1)
    assert shapes == [(1, 8)]


def test_a_large_batch_is_computed_in_parts_of_similar_length():
    shapes, rows = [], 3000
    padded = PaddedCore(recording(shapes), max_sequence_length=72, pad_id=3)
    lengths = np.random.default_rng(0).permutation(np.arange(rows) % 72 + 1)
    inputs = inputs_of(rows, 72)
    inputs["padding_mask"] = tf.sequence_mask(lengths, 72, tf.int32)
    expected = (inputs["token_ids"] * inputs["padding_mask"]).numpy().sum(1)
    found = logits_of(padded, inputs, tf.constant(lengths, tf.int32))
    np.testing.assert_array_equal(found[:, 0], expected)
    tokens = [rows * length for rows, length in shapes]
    assert max(tokens) <= PART
    assert sum(tokens) < 1.2 * lengths.sum()
    assert sum(shape[0] for shape in shapes) == rows


@pytest.mark.parametrize(("length", "most"), [(5, 32), (160, 4), (600, 1)])
def test_xla_compiles_no_more_rows_than_a_part_and_the_warm_up_have(length, most):
    padded = PaddedCore(
        lambda inputs: tf.fill(
            [tf.shape(inputs["token_ids"])[0], 1], tf.shape(inputs["token_ids"])[0]
        ),
        max_sequence_length=600,
        pad_id=3,
        jit_compile=True,
    )
    seen = {*logits_of(padded, inputs_of(most + 1, length)).numpy().ravel()}
    assert seen == {most, 1}
    assert most in XLA_BATCH_SIZES


@pytest.mark.slow
def test_xla_compiles_the_core_for_every_bucket_and_agrees(classifier):
    def core(inputs):
        return classifier(inputs, training=False)

    graph, xla = (
        PaddedCore(core, max_sequence_length=72, pad_id=0, jit_compile=jit)
        for jit in (False, True)
    )
    for length in length_buckets(72):
        inputs = inputs_of(3, length - 1)
        np.testing.assert_allclose(
            logits_of(xla, inputs), logits_of(graph, inputs), atol=1e-5
        )
    assert logits_of(xla, inputs_of(0, 5)).shape == (0, 3)


@pytest.mark.parametrize(
    ("rows", "seen"),
    [(0, {}), (1, {1}), (3, {4}), (17, {32}), (32, {32}), (33, {32, 1})],
)
def test_a_compiled_core_gets_few_batch_sizes(rows, seen):
    padded = PaddedCore(
        lambda inputs: (
            tf.ones_like(inputs["token_ids"], tf.float32)
            * tf.cast(tf.shape(inputs["token_ids"])[0], tf.float32)
        ),
        max_sequence_length=72,
        pad_id=0,
        jit_compile=True,
    )
    answer = logits_of(padded, inputs_of(rows, 4))
    assert answer.shape == (rows, 32)
    assert {*answer.numpy().ravel()} == set(seen)


@pytest.mark.slow
def test_a_compiled_masked_word_core_agrees_with_the_graph(masked_lm):
    def core(inputs):
        return masked_lm(inputs, training=False)

    graph, xla = (
        PaddedCore(
            core,
            max_sequence_length=72,
            pad_id=0,
            mask_positions=True,
            jit_compile=jit,
        )
        for jit in (False, True)
    )
    for masks in (0, 3):
        inputs = inputs_of(3, 40)
        inputs["mask_positions"] = tf.zeros([3, masks], tf.int32) + tf.range(masks)
        answer = logits_of(xla, inputs)
        assert answer.shape == (3, masks, 16)
        np.testing.assert_allclose(answer, logits_of(graph, inputs), atol=1e-5)
