"""Runs with a gradient, a loss or a weight that is not finite."""

import hashlib
import itertools
import json
import math
import os
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from helpers import module
from tfzoo.errors import OutputError, TfzooError
from tfzoo.training import KeepBest, Run, runs

SCRIPT = pathlib.Path(__file__).with_name("marked_run.py")
marked_run = module(SCRIPT)
train, STEPS, BAD = marked_run.train, marked_run.STEPS, marked_run.BAD


@pytest.fixture(autouse=True)
def no_curves(monkeypatch):
    """The curves of a run are tested elsewhere."""
    monkeypatch.setattr(runs, "save_curves", lambda *arguments: None)


def eager(output, **options):
    """The run without tracing, which takes as long as six steps."""
    return train(output, run_eagerly=True, **options)


EAGER_OR_SLOW = pytest.mark.parametrize(
    "run_eagerly", [True, pytest.param(False, marks=pytest.mark.slow)]
)


def newest(output):
    """The tensors of the newest checkpoint, and its name."""
    path = max((output / "checkpoints").glob("step-*"))
    return safetensors.numpy.load_file(path / "state.safetensors"), path.name


@pytest.mark.parametrize(
    "cls",
    [
        marked_run.marked.FiniteModel,
        pytest.param(keras.Model, marks=pytest.mark.slow),
    ],
)
def test_a_step_that_is_saved_and_not_finite_stops_and_can_be_skipped(tmp_path, cls):
    lines = []
    for _ in range(2):
        with pytest.raises(TfzooError) as raised:
            train(tmp_path, cls=cls)
        lines.append(str(raised.value))
        assert lines[-1].startswith(f"{tmp_path}: ")
        tensors, name = newest(tmp_path)
        assert name == f"step-{BAD[0] - 1:09d}"
        assert all(np.isfinite(t).all() for t in tensors.values())
    assert lines[0] == lines[1]
    assert f"at step {BAD[0]} of {STEPS}" in lines[0]
    run, model = train(tmp_path, cls=cls, on_non_finite="skip")
    assert run.record.left_out == list(BAD)
    assert json.loads((tmp_path / "metrics.json").read_text())["left_out"] == list(BAD)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_a_rewind_gives_the_same_weights_as_a_skip(tmp_path, capsys):
    _, skipped = train(tmp_path / "skip", on_non_finite="skip")
    run, rewound = train(
        tmp_path / "rewind", on_non_finite="rewind", steps_between_saves=2
    )
    assert run.record.left_out == list(BAD)
    for ours, theirs in zip(rewound.get_weights(), skipped.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert "continues from step 2 and skips update 3" in capsys.readouterr().err


def test_two_rewinds_before_the_first_checkpoint_start_over(tmp_path):
    steps = itertools.count(1)
    at_most = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: next(steps) < 30 or 1 / 0
    )
    run, model = eager(
        tmp_path,
        bad=(2, 4),
        on_non_finite="rewind",
        steps_between_saves=100,
        callbacks=[at_most],
    )
    assert run.record.left_out == [2, 4]
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize(("policy", "run"), [("stop", eager), ("skip", train)])
def test_an_update_that_overflows_is_never_saved(tmp_path, policy, run):
    optimizer = keras.optimizers.SGD(3e38, weight_decay=1e38)
    with pytest.raises(TfzooError, match="After step 1 of 6, .*not, although every"):
        run(tmp_path, bad=(), optimizer=optimizer, on_non_finite=policy)
    assert not list((tmp_path / "checkpoints").glob("step-*"))


@pytest.mark.slow
def test_a_rewind_skips_the_update_that_overflowed(tmp_path):
    class Once(keras.optimizers.SGD):
        def apply(self, grads, trainable_variables=None):
            huge = keras.ops.where(self.iterations == 3, 1e38, 1.0)
            grads = [tf.convert_to_tensor(g) * 1e3 * huge for g in grads]
            super().apply(grads, trainable_variables)

    run, model = train(
        tmp_path, bad=(), optimizer=Once(1e-5), on_non_finite="rewind", steps=4
    )
    assert run.record.left_out == [4]
    assert all(np.isfinite(w).all() for w in model.get_weights())


@EAGER_OR_SLOW
def test_endless_rewinding_is_an_error(tmp_path, run_eagerly):
    with pytest.raises(TfzooError, match="10 in a row that were not"):
        train(
            tmp_path,
            bad=range(2, 13),
            steps=13,
            on_non_finite="rewind",
            run_eagerly=run_eagerly,
        )


def spoil(output, name, part):
    """Makes a checkpoint like an older version's: undamaged but not finite."""
    path = output / "checkpoints" / name
    tensors = safetensors.numpy.load_file(path / "state.safetensors")
    key = next(
        k for k in tensors if k.startswith(part) and tensors[k].dtype.kind == "f"
    )
    tensors[key] = np.full_like(tensors[key], np.nan)
    content = json.loads((path / "state.json").read_text())
    safetensors.numpy.save_file(tensors, path / "state.safetensors")
    data = (path / "state.safetensors").read_bytes()
    content["state.safetensors"] = hashlib.sha256(data).hexdigest()
    (path / "state.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "part", ["model", pytest.param("optimizer", marks=pytest.mark.slow)]
)
def test_a_checkpoint_that_is_not_finite_is_skipped(tmp_path, capsys, part):
    with pytest.raises(TfzooError):
        eager(tmp_path)
    spoil(tmp_path, "step-000000002", part)
    run, _ = eager(tmp_path, on_non_finite="skip")
    assert f"{part}/" in (err := capsys.readouterr().err)
    assert "Every value must be finite" in err
    assert run.record.step == STEPS


def test_only_checkpoints_that_are_not_finite_are_an_error(tmp_path):
    with pytest.raises(TfzooError):
        eager(tmp_path)
    for name in ("step-000000001", "step-000000002"):
        spoil(tmp_path, name, "model")
    with pytest.raises(OutputError, match="finite step-000000002, step-000000001"):
        eager(tmp_path)


def test_the_best_epoch_is_never_one_that_is_not_finite(tmp_path):
    model = marked_run.marked.make_model("sgd")
    model.layers[-1].kernel.assign(np.full((3, 1), np.nan))
    best = KeepBest(tmp_path, monitor="loss", mode="min")
    best.set_model(model)
    best.on_train_begin()
    with pytest.raises(OutputError, match=r"kernel: Every value must be finite"):
        best.on_epoch_end(0, {"loss": 1.0})
    assert not list(tmp_path.glob("best-epoch-*"))


def test_the_best_epoch_is_never_one_whose_log_is_not_finite(tmp_path):
    best = KeepBest(tmp_path, monitor="loss", mode="min")
    best.set_model(marked_run.marked.make_model("sgd"))
    best.on_train_begin()
    for value in (math.nan, -math.inf, math.inf):
        best.on_epoch_end(0, {"loss": value})
    with pytest.raises(TfzooError, match="loss must be finite in at least one epoch"):
        best.restore(best.model)
    best.on_epoch_end(1, {"loss": 2.0})
    assert best.restore(best.model) == (2, 2.0)


def test_a_run_does_not_finish_with_weights_that_are_not_finite(tmp_path):
    with Run(tmp_path, {}) as run:
        model = marked_run.marked.make_model("sgd")
        run.fit(model, marked_run.make_dataset((), 1), steps_per_epoch=1, epochs=1)
        model.layers[-1].kernel.assign(np.full((3, 1), np.inf))
        with pytest.raises(TfzooError, match=r"Every weight must be finite.*kernel"):
            run.finish(None, {})
    assert not json.loads((tmp_path / "run.json").read_text())["finished"]


def test_a_loss_of_no_update_is_null(tmp_path, monkeypatch):
    monkeypatch.undo()  # now curves are drawn
    run, _ = eager(tmp_path, bad=(3, 4), on_non_finite="skip", steps=6)
    losses = json.loads((tmp_path / "curves.json").read_text())["loss"]
    assert [loss is None for loss in losses] == [i in (2, 3) for i in range(6)]
    assert (tmp_path / "curves.png").exists()
    assert math.isfinite(run.record.epochs[0]["loss"])


@EAGER_OR_SLOW
def test_keras_own_callback_ends_a_run(tmp_path, run_eagerly):
    run, model = train(
        tmp_path,
        value=math.nan,
        callbacks=[keras.callbacks.TerminateOnNaN()],
        finish=False,
        run_eagerly=run_eagerly,
    )
    assert run.record.step == BAD[0]
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_a_models_own_training_step_can_only_be_stopped(tmp_path):
    class Own(keras.Model):
        def train_step(self, data):
            return super().train_step(data)

    with pytest.raises(ValueError, match="its own train_step.*'skip'"):
        eager(tmp_path / "a", cls=Own, on_non_finite="skip")
    with pytest.raises(TfzooError, match="Every weight must be finite. After step 3 "):
        eager(tmp_path / "b", cls=Own)
    assert newest(tmp_path / "b")[1] == "step-000000002"
    with pytest.raises(
        TfzooError, match="The loss must be finite. Received: nan at step 3"
    ):
        train(tmp_path / "c", cls=Own, value=math.nan)


def test_an_unknown_policy_is_named(tmp_path):
    with pytest.raises(ValueError, match="'ignore'"):
        Run(tmp_path, {}, on_non_finite="ignore")


def start(output, *arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, output, *arguments], capture_output=True, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["skip", "rewind"])
@pytest.mark.parametrize("options", [[], ["--jit"]], ids=["graph", "xla"])
def test_kills_change_no_bit_of_a_run_that_skips_updates(tmp_path, policy, options):
    options = [*options, "--on-non-finite", policy]
    assert start(tmp_path / "whole", *options).returncode == 0
    for kill_at in ("3", "4"):
        killed = start(tmp_path / "run", "--kill-at", kill_at, *options)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert start(tmp_path / "run", *options).returncode == 0
    for name in ("last.npy", "metrics.json", "curves.json"):
        ours, theirs = (tmp_path / run / name for run in ("run", "whole"))
        assert ours.read_bytes() == theirs.read_bytes()
    assert os.path.getsize(tmp_path / "run" / "last.npy") > 100
