"""The padded core: few lengths, and XLA agrees with the graph at each of them."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.serving.core import PaddedCore, few_lengths, length_buckets, num_columns

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
    """A core that notes the shapes it sees and sums the ids that are not hidden."""

    def core(inputs):
        ids, mask = inputs["token_ids"], inputs["padding_mask"]

        def note(ids):
            shapes.append(ids.shape)
            return ids

        ids = tf.numpy_function(note, [ids], tf.int32)
        ids = tf.ensure_shape(ids, [None, None])
        return tf.reduce_sum(tf.cast(ids * mask, tf.float32), 1, keepdims=True)

    return core


def test_the_buckets_are_multiples_of_32_up_to_the_maximum():
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
        (17, 32, 32),
        (32, 32, 32),
        (97, 128, 160),
        (161, 192, 256),
        (290, 300, 300),
    ],
)
def test_texts_are_padded_to_a_multiple_or_one_of_the_few(length, graph, xla):
    assert int(num_columns(tf.constant(length), 300, jit_compile=False)) == graph
    assert int(num_columns(tf.constant(length), 300, jit_compile=True)) == xla


def test_the_core_sees_no_length_but_the_buckets_and_rows_keep_their_answer():
    shapes = []
    padded = PaddedCore(recording(shapes), max_sequence_length=72, pad_id=3)
    for length in range(1, 73, 5):
        inputs = inputs_of(2, length)
        expected = (inputs["token_ids"] * inputs["padding_mask"]).numpy().sum(1)
        np.testing.assert_array_equal(padded(inputs)[:, 0], expected)
    assert {shape[1] for shape in shapes} == set(length_buckets(72))
    assert {shape[0] for shape in shapes} == {2}


def test_the_core_sees_one_row_where_the_batch_has_none():
    shapes = []
    padded = PaddedCore(recording(shapes), max_sequence_length=72, pad_id=3)
    assert padded(inputs_of(0, 4)).shape == (0, 1)
    assert shapes == [(1, 32)]


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
        np.testing.assert_allclose(xla(inputs), graph(inputs), atol=1e-5)
    assert xla(inputs_of(0, 5)).shape == (0, 3)


@pytest.mark.parametrize(
    ("rows", "seen"), [(0, 1), (1, 1), (3, 4), (17, 32), (32, 32), (33, 64), (65, 96)]
)
def test_a_compiled_core_sees_few_batch_sizes(rows, seen):
    padded = PaddedCore(
        lambda inputs: (
            tf.ones_like(inputs["token_ids"], tf.float32)
            * tf.cast(tf.shape(inputs["token_ids"])[0], tf.float32)
        ),
        max_sequence_length=72,
        pad_id=0,
        jit_compile=True,
    )
    answer = padded(inputs_of(rows, 4))
    assert answer.shape == (rows, 32)
    assert (answer.numpy() == seen).all()


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
        answer = xla(inputs)
        assert answer.shape == (3, masks, 16)
        np.testing.assert_allclose(answer, graph(inputs), atol=1e-5)
