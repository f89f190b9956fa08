import keras
import numpy as np
import pytest

from tfzoo.training import CosineError, InBatchNegatives

ALL_DIFFERENT = np.arange(8).reshape(4, 2)


@pytest.fixture
def pairs():
    """Vectors of 4 pairs, of any norm."""
    return np.random.default_rng(0).normal(size=(4, 2, 6)).astype(np.float32)


def cosines(pairs):
    unit = pairs / np.linalg.norm(pairs, axis=-1, keepdims=True)
    return unit[:, 0] @ unit[:, 1].T


def cross_entropy(scores, rows):
    losses = [np.log(np.exp(scores[i]).sum()) - scores[i, i] for i in rows]
    return np.mean(losses)


@pytest.mark.parametrize("scale", [20.0, 1.5])
def test_it_is_the_cross_entropy_of_the_texts_own_partner(pairs, scale):
    loss = InBatchNegatives(scale)(ALL_DIFFERENT, pairs)
    expected = cross_entropy(scale * cosines(pairs), range(4))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("column", [0, 1])
def test_the_second_text_of_a_pair_with_an_equal_text_is_no_negative(pairs, column):
    names = ALL_DIFFERENT.copy()
    names[3, column] = names[1, column]
    scores = 20 * cosines(pairs)
    scores[1, 3] = scores[3, 1] = -np.inf
    loss = InBatchNegatives()(names, pairs)
    np.testing.assert_allclose(loss, cross_entropy(scores, range(4)), rtol=1e-5)


def test_a_text_that_is_first_in_one_pair_and_second_in_another_is_a_negative(
    pairs,
):
    names = ALL_DIFFERENT.copy()
    names[3, 1] = names[1, 0]
    loss = InBatchNegatives()(names, pairs)
    expected = cross_entropy(20 * cosines(pairs), range(4))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_a_weight_of_zero_leaves_a_pair_out_but_not_its_second_text(pairs):
    loss = InBatchNegatives()(ALL_DIFFERENT, pairs, sample_weight=[1, 0, 1, 0])
    expected = cross_entropy(20 * cosines(pairs), [0, 2])
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_a_batch_of_one_pair_has_no_negatives(pairs):
    loss = InBatchNegatives()(ALL_DIFFERENT[:1], pairs[:1])
    assert float(loss) == pytest.approx(0, abs=1e-5)


def test_the_cosine_is_compared_with_its_target(pairs):
    wanted = np.array([1, -1, 0.5, 0], np.float32)
    squares = (np.diag(cosines(pairs)) - wanted) ** 2
    np.testing.assert_allclose(CosineError()(wanted, pairs), squares.mean(), rtol=1e-5)
    weighted = CosineError()(wanted, pairs, sample_weight=[1, 0, 0, 3])
    expected = (squares[0] + 3 * squares[3]) / 4
    np.testing.assert_allclose(weighted, expected, rtol=1e-5)


def test_targets_of_the_other_loss_are_refused(pairs):
    with pytest.raises(ValueError, match="CosineError.*Received: .* float32"):
        InBatchNegatives()(np.zeros(4, np.float32), pairs)
    with pytest.raises(ValueError, match="Received: y=None"):
        CosineError()(ALL_DIFFERENT, pairs)


@pytest.mark.parametrize("loss", [InBatchNegatives(7.0), CosineError()])
def test_their_configs_make_equal_losses(loss):
    config = keras.saving.serialize_keras_object(loss)
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.get_config() == loss.get_config()
