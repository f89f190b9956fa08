"""The head on the vector of a whole text."""

import keras
import numpy as np
import pytest

from tfzoo.layers import ClassificationHead

B, D, C = 64, 32, 3
TRANSFORMS = {None: None, "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}


def head_of(**options):
    head = ClassificationHead(C, **options)
    head(np.zeros((1, D), np.float32))
    rng = np.random.default_rng(0)
    head.set_weights([rng.normal(size=w.shape) * 0.3 for w in head.get_weights()])
    return head


def vectors():
    return np.random.default_rng(1).normal(size=(B, D)).astype(np.float32)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_equals_numpy(transform):
    head, x = head_of(transform=transform), vectors()
    *inner, kernel, bias = head.get_weights()
    y = x
    if transform is not None:
        y = TRANSFORMS[transform](x @ inner[0] + inner[1])
    np.testing.assert_allclose(head(x), y @ kernel + bias, atol=1e-5)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_dropout_applies_to_the_input_of_the_output_layer(transform):
    """With an identity as the last layer, the logits are its input."""
    head = ClassificationHead(D, transform=transform, dropout=0.25)
    x = np.ones((B, D), np.float32)
    head(x)
    weights = head.get_weights()
    weights[-2:] = np.eye(D), np.zeros(D)
    if transform is not None:
        weights[:2] = np.eye(D), np.zeros(D)
    head.set_weights(weights)
    kept, dropped = (np.asarray(head(x, training=t)) for t in (False, True))
    zero = dropped == 0
    assert zero.mean() == pytest.approx(0.25, abs=0.03)
    np.testing.assert_allclose(dropped[~zero], kept[~zero] / 0.75, rtol=1e-5)


def test_input_dropout_applies_only_before_a_transform():
    options = dict(dropout=0.0, input_dropout=0.5)
    x = vectors()
    for transform in TRANSFORMS:
        head = head_of(transform=transform, **options)
        change = np.abs(head(x, training=True) - head(x)).max()
        assert (change > 0.1) == (transform is not None)


def test_logits_are_float32_and_a_copy_keeps_the_arguments():
    head = head_of(transform="tanh", dropout=0.3, input_dropout=0.2)
    half = ClassificationHead(C, dtype="mixed_bfloat16")
    assert half(vectors()).dtype == "float32"
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(head)
    )
    found = (copy.num_outputs, copy.transform, copy.dropout, copy.input_dropout)
    assert found == (C, "tanh", 0.3, 0.2)
