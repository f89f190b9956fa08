"""Keras's callbacks in a run: patience and best values survive an interruption."""

import csv
import pathlib

import keras
import numpy as np
import pytest
from keras import callbacks

from helpers import module
from tfzoo.training import keras_callbacks

FOLDER = pathlib.Path(__file__).parent
eager_run = module(FOLDER / "eager_run.py")
At = module(FOLDER / "tiny_run.py").At
PER_EPOCH = eager_run.STEPS_PER_EPOCH


class PowerCut(Exception):
    pass


def cut():
    raise PowerCut


class Figures(callbacks.Callback):
    """Gives every epoch a prescribed `figure`."""

    def __init__(self, *figures):
        super().__init__()
        self.figures = figures

    def on_epoch_end(self, epoch, logs=None):
        logs["figure"] = self.figures[epoch]


def runs(tmp_path, make_callbacks, *, cuts, epochs):
    """(Run, model) of an uninterrupted run and of one with power cuts."""
    found = []
    for name, steps in (("whole", []), ("cut", cuts)):
        for step in [*steps, 1000]:
            ours = make_callbacks(tmp_path / name)
            try:
                done = eager_run.train(
                    tmp_path / name,
                    [*ours, At(step, cut)],
                    epochs=epochs,
                    finish=False,
                    steps_between_saves=1,
                )
            except PowerCut:
                for callback in ours:
                    if isinstance(callback, callbacks.CSVLogger):
                        callback.csv_file.close()
                continue
            found.append((*done, ours))
    (whole, model, _), (resumed, other, ours) = found
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole.record.as_json() == resumed.record.as_json()
    return resumed, other, ours


@pytest.mark.parametrize(
    "cuts",
    [
        [4, 6],
        pytest.param([PER_EPOCH * 2], marks=pytest.mark.slow),
        pytest.param([10, 1], marks=pytest.mark.slow),
    ],
)
def test_early_stopping_waits_as_long_as_without_interruptions(tmp_path, cuts):
    def make(output):
        figures = Figures(0.3, 0.9, 0.5, 0.4, 0.2, 0.1)
        stopping = callbacks.EarlyStopping(monitor="figure", mode="max", patience=2)
        return [figures, stopping]

    run, *_ = runs(tmp_path, make, cuts=cuts, epochs=6)
    assert run.record.step == 4 * PER_EPOCH
    # A run that was stopped and then killed does not train any further.
    again, _ = eager_run.train(tmp_path / "cut", make(None), epochs=6, finish=False)
    assert again.record.step == 4 * PER_EPOCH


def test_reduce_lr_on_plateau_waits_as_long_as_without_interruptions(tmp_path):
    def make(output):
        figures = Figures(0.9, 0.9, 0.9, 0.9)
        reducing = callbacks.ReduceLROnPlateau(
            monitor="figure", mode="min", patience=2, factor=0.5, cooldown=1
        )
        return [figures, reducing]

    run, model, _ = runs(tmp_path, make, cuts=[4, 4], epochs=4)
    rates = [rate for _, _, rate in run.record.points[::PER_EPOCH]]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.1, 0.05])


def test_a_learning_rate_scheduler_sets_every_epoch_once(tmp_path):
    def make(output):
        return [callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 * rate)]

    run, model, _ = runs(tmp_path, make, cuts=[5, 1], epochs=3)
    np.testing.assert_allclose(model.optimizer.learning_rate, 0.1 / 8)


def test_model_checkpoint_keeps_the_best_epoch_from_before_an_interruption(tmp_path):
    def make(output):
        checkpoint = callbacks.ModelCheckpoint(
            output / "kept.keras", monitor="figure", mode="max", save_best_only=True
        )
        return [Figures(0.9, 0.5), checkpoint]

    _, model, (_, checkpoint) = runs(tmp_path, make, cuts=[4], epochs=2)
    assert checkpoint.best == 0.9
    kept, other = (
        keras.models.load_model(tmp_path / name / "kept.keras").get_weights()
        for name in ("whole", "cut")
    )
    np.testing.assert_array_equal(kept[0], other[0])
    assert not np.array_equal(kept[0], model.get_weights()[0])


def test_a_csv_logger_that_appends_has_every_epoch(tmp_path):
    def make(output):
        return [callbacks.CSVLogger(output / "log.csv", append=True)]

    runs(tmp_path, make, cuts=[4, 5], epochs=4)
    logged = (tmp_path / "cut" / "log.csv").read_text()
    rows = csv.DictReader(logged.splitlines())
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert logged == (tmp_path / "whole" / "log.csv").read_text()


def test_an_attribute_that_a_callback_names_survives_an_interruption(tmp_path):
    class Counting(callbacks.Callback):
        remembered = ("count",)

        def on_train_begin(self, logs=None):
            self.count = 0

        def on_train_batch_begin(self, batch, logs=None):
            self.count += 1

    _, _, (counting,) = runs(tmp_path, lambda output: [Counting()], cuts=[4], epochs=2)
    assert counting.count == 2 * PER_EPOCH


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (lambda: callbacks.BackupAndRestore("x"), "BackupAndRestore must be left out"),
        (
            lambda: callbacks.EarlyStopping(restore_best_weights=True),
            "must have restore_best_weights=False in a run.*KeepBest",
        ),
        (lambda: callbacks.CSVLogger("x"), "CSVLogger must have append=True in a run"),
    ],
)
def test_a_callback_that_would_lose_its_work_is_refused_at_the_start(
    tmp_path, callback, message
):
    with pytest.raises(ValueError, match=message) as raised:
        eager_run.train(tmp_path, [callback()])
    assert "\n" not in str(raised.value)


def test_without_its_package_tensorboard_is_refused_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(keras_callbacks, "_has_tensorboard", lambda: False)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        eager_run.train(tmp_path, [callbacks.TensorBoard(tmp_path / "tb")])


def test_tensorboard_writes_every_epoch(tmp_path):
    pytest.importorskip("tensorboard")
    eager_run.train(tmp_path / "run", [callbacks.TensorBoard(tmp_path / "tb")])
    assert list((tmp_path / "tb" / "validation").iterdir())
