"""The mean of the weights of the last epochs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.errors import OutputError
from tfzoo.training import KeepLast, Run


class PowerCut(Exception):
    pass


class At(keras.callbacks.Callback):
    """Ends a training at a step as a loss of power would, at once."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise PowerCut


class Weights(keras.callbacks.Callback):
    """The weights after each epoch."""

    def __init__(self):
        super().__init__()
        self.of_epoch = {}

    def on_epoch_end(self, epoch, logs=None):
        self.of_epoch[epoch + 1] = self.model.get_weights()


def make_model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    return model


def make_dataset(start_step):
    x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, x @ np.ones((2, 3))))
    return data.batch(4).skip(start_step)


def train(output, *callbacks, epochs=3, **options):
    """Trains five epochs of two steps; returns the model and the kept epochs."""
    with Run(output, {}, **options) as run:
        model, last = make_model(), KeepLast(run.checkpoints, epochs=epochs)
        run.fit(
            model,
            make_dataset,
            steps_per_epoch=2,
            epochs=5,
            callbacks=[*callbacks, last],
        )
    return model, last


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A model with the mean weights, the epochs, and the weights after each."""
    weights = Weights()
    model, last = train(tmp_path_factory.mktemp("whole"), weights)
    return model, last.average(model), weights.of_epoch


def test_the_weights_become_the_mean_of_the_last_epochs(whole):
    model, epochs, weights = whole
    assert epochs == [3, 4, 5]
    of_epochs = [weights[epoch] for epoch in epochs]
    assert not np.array_equal(of_epochs[0][0], of_epochs[2][0])
    for found, *kept in zip(model.get_weights(), *of_epochs, strict=True):
        expected = np.mean(np.stack(kept), axis=0, dtype=np.float64)
        np.testing.assert_array_equal(found, expected.astype("float32"))


def test_an_interrupted_run_gives_the_same_mean(tmp_path, whole):
    with pytest.raises(PowerCut):  # after epoch 3, and a checkpoint within it
        train(tmp_path, At(7), steps_between_saves=5)
    model, last = train(tmp_path, steps_between_saves=5)
    assert last.average(model) == [3, 4, 5]
    for one, other in zip(model.get_weights(), whole[0].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_damaged_epochs_are_left_out_and_all_damaged_are_an_error(tmp_path, capsys):
    weights = Weights()
    model, last = train(tmp_path, weights, epochs=2)
    files = sorted((tmp_path / "checkpoints").glob("epoch-*/state.safetensors"))
    files[0].write_bytes(files[0].read_bytes()[:-1])
    assert last.average(model) == [5]
    np.testing.assert_array_equal(model.get_weights()[0], weights.of_epoch[5][0])
    assert f"{files[0]}: The checksum does not match" in capsys.readouterr().err
    files[1].write_bytes(b"")
    with pytest.raises(OutputError, match=r"a snapshot epoch-\* that is intact"):
        last.average(model)


def test_the_number_of_epochs_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="epochs must be an integer >= 1. Received: 0"):
        KeepLast(tmp_path, epochs=0)
