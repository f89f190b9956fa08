"""Keras's callbacks in the `fit` of a task."""

import csv

import keras
import numpy as np
import pytest
from keras import callbacks

from tfzoo.tasks import TextClassifier
from tfzoo.training import keras_callbacks

X, Y = ["the cat", "a good dog", "bad", "good film"] * 2, ["no", "yes"] * 4


@pytest.fixture
def make(small_encoder, tokenizer):
    """Function that makes a classifier with a constant learning rate.

    Only its head is trained, which is faster and suffices.
    """

    def make(optimizer=None, seed=0):
        keras.utils.set_random_seed(seed)
        options = dict(classifier_dropout=0.0)
        task = TextClassifier(small_encoder(), tokenizer, ["no", "yes"], **options)
        task.backbone.trainable = False
        task.compile(optimizer or keras.optimizers.SGD(0.5), run_eagerly=True)
        return task

    return make


class Figures(callbacks.Callback):
    """Gives every epoch a prescribed `figure`; keeps its weights and learning rate."""

    def __init__(self, *figures, last=None):
        super().__init__()
        self.figures, self.last = figures, last
        self.weights, self.rates, self.epochs = [], [], []

    def on_epoch_end(self, epoch, logs=None):
        logs["figure"] = self.figures[epoch]
        self.epochs.append(epoch)
        self.weights.append(self.model.get_weights())
        self.rates.append(float(self.model.optimizer.learning_rate))

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.last:
            raise InterruptedError


def fit(task, *ours, epochs=4, **options):
    options = dict(batch_size=4, epochs=epochs, verbose=0, **options)
    return task.fit(X, Y, callbacks=[*ours], **options)


def test_early_stopping_stops_and_restores_the_best_weights(make):
    task, figures = make(), Figures(0.5, 0.9, 0.7, 0.6, 0.5)
    stopping = callbacks.EarlyStopping(
        monitor="figure", mode="max", patience=2, restore_best_weights=True
    )
    fit(task, figures, stopping, epochs=5)
    assert figures.epochs == [0, 1, 2, 3]
    for ours, best in zip(task.get_weights(), figures.weights[1], strict=True):
        np.testing.assert_array_equal(ours, best)


def test_the_learning_rate_falls_on_a_plateau(make):
    figures = Figures(0.9, 0.9, 0.9, 0.9)
    reducing = callbacks.ReduceLROnPlateau(
        monitor="figure", mode="min", patience=1, factor=0.5
    )
    fit(make(), figures, reducing)
    assert figures.rates == [0.5, 0.5, 0.25, 0.125]


def test_a_scheduler_sets_the_learning_rate_of_every_epoch(make):
    figures = Figures(1, 1, 1, 1)
    fit(make(), callbacks.LearningRateScheduler(lambda e, r: 0.5**e), figures)
    assert figures.rates == [1, 0.5, 0.25, 0.125]


@pytest.mark.parametrize(
    "callback",
    [callbacks.ReduceLROnPlateau(), callbacks.LearningRateScheduler(lambda e, r: r)],
)
def test_a_learning_rate_with_a_schedule_cannot_be_set_by_a_callback(make, callback):
    name = type(callback).__name__
    with pytest.raises(ValueError, match=f"^{name} sets the learning.*AdamW") as raised:
        fit(make("auto"), callback)
    assert "\n" not in str(raised.value)


def test_a_model_checkpoint_is_the_best_epoch_and_opens(make, tmp_path):
    task, figures = make(), Figures(0.5, 0.9, 0.7, 0.6)
    checkpoint = callbacks.ModelCheckpoint(
        tmp_path / "best.keras", monitor="figure", mode="max", save_best_only=True
    )
    fit(task, figures, checkpoint)
    best = keras.models.load_model(tmp_path / "best.keras")
    for ours, kept in zip(best.get_weights(), figures.weights[1], strict=True):
        np.testing.assert_array_equal(ours, kept)


def test_backup_and_restore_goes_on_with_the_epoch_that_was_interrupted(make, tmp_path):
    whole = make()
    fit(whole, shuffle=False)
    backup, first = callbacks.BackupAndRestore(tmp_path / "backup"), Figures(*"abcd")
    first.last = 2
    with pytest.raises(InterruptedError):
        fit(make(), first, backup, shuffle=False)
    task, figures = make(seed=1), Figures(*"abcd")
    backup = callbacks.BackupAndRestore(tmp_path / "backup")
    fit(task, figures, backup, shuffle=False)
    assert figures.epochs == [2, 3]
    for ours, theirs in zip(task.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_csv_logger_has_a_row_per_epoch(make, tmp_path):
    history = fit(make(), callbacks.CSVLogger(tmp_path / "log.csv"))
    rows = csv.DictReader((tmp_path / "log.csv").read_text().splitlines())
    assert [float(row["loss"]) for row in rows] == history.history["loss"]


def test_without_its_package_tensorboard_is_refused_at_the_start(make, monkeypatch):
    monkeypatch.setattr(keras_callbacks, "_has_tensorboard", lambda: False)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        fit(make(), callbacks.TensorBoard("absent"))


def test_tensorboard_gets_the_epochs(make, tmp_path):
    pytest.importorskip("tensorboard")
    fit(make(), callbacks.TensorBoard(tmp_path))
    assert list((tmp_path / "train").iterdir())


def test_a_single_callback_needs_no_list(make):
    figures = Figures(1, 1)
    make().fit(X, Y, epochs=2, verbose=0, callbacks=figures)
    assert figures.epochs == [0, 1]
