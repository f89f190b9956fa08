import functools
import json
import os
import pathlib
import random
import re
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers import module
from tfzoo.errors import OutputError, TfzooError
from tfzoo.training import KeepBest, Run
from tfzoo.training.fingerprints import fingerprint

SCRIPT = pathlib.Path(__file__).with_name("tiny_run.py")
tiny_run = module(SCRIPT)

STEPS = tiny_run.STEPS_PER_EPOCH * tiny_run.EPOCHS
RESULTS = ("last.npy", "best.npy", "metrics.json", "curves.json")


class PowerCut(Exception):
    pass


def cut():
    raise PowerCut


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """jit_compile -> the results of a run without interruptions."""

    @functools.cache
    def results(jit_compile):
        output = tmp_path_factory.mktemp("runs") / "uninterrupted"
        tiny_run.train(output, jit_compile=jit_compile)
        return {name: (output / name).read_bytes() for name in RESULTS}

    return results


def assert_same_results(output, expected):
    for name in RESULTS:
        assert (output / name).read_bytes() == expected[name], name


@pytest.mark.parametrize(
    ("step", "jit_compile"),
    [
        pytest.param(2, False, id="before-a-checkpoint", marks=pytest.mark.slow),
        pytest.param(5, False, id="inside-an-epoch"),
        pytest.param(8, False, id="at-an-epochs-end", marks=pytest.mark.slow),
        pytest.param(21, True, id="with-xla", marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_ends_with_the_same_bits(
    tmp_path, uninterrupted, step, jit_compile
):
    with pytest.raises(PowerCut):
        tiny_run.train(
            tmp_path / "run",
            jit_compile=jit_compile,
            callbacks=[tiny_run.At(step, cut)],
        )
    tiny_run.train(tmp_path / "run", jit_compile=jit_compile)
    assert_same_results(tmp_path / "run", uninterrupted(jit_compile))


@pytest.mark.parametrize("line", [1, 2])
def test_a_run_whose_output_has_no_reader_keeps_every_step(
    tmp_path, uninterrupted, monkeypatch, capsys, line
):
    lines = []

    def write(text):
        lines.append(text)
        if len(lines) == line:
            raise BrokenPipeError

    with monkeypatch.context() as patch, pytest.raises(BrokenPipeError):
        patch.setattr("tfzoo.training.callbacks.tqdm.write", write)
        tiny_run.train(tmp_path / "run")
    step = line * tiny_run.STEPS_PER_EPOCH
    assert f"All up to step {step} is kept" in capsys.readouterr().err
    tiny_run.train(tmp_path / "run")
    assert_same_results(tmp_path / "run", uninterrupted(jit_compile=False))


def start(output, *arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, output, *arguments], capture_output=True, text=True
    )


@pytest.mark.slow
def test_a_killed_process_is_continued_by_the_same_command(tmp_path, uninterrupted):
    step = random.randrange(4, STEPS)
    killed = start(tmp_path / "run", "--kill-at", str(step))
    assert killed.returncode == -9, killed.stderr
    ended = start(tmp_path / "run")
    assert ended.returncode == 0, ended.stderr
    assert_same_results(tmp_path / "run", uninterrupted(jit_compile=False))


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--jit"]], ids=["graph", "xla"])
def test_five_kills_at_random_points_change_no_bit(tmp_path, options):
    assert start(tmp_path / "uninterrupted", *options).returncode == 0
    expected = {n: (tmp_path / "uninterrupted" / n).read_bytes() for n in RESULTS}
    kills = 0
    while kills < 5:
        step = random.randrange(1, 8)
        done = start(tmp_path / "run", "--kill-at", str(step), *options)
        if done.returncode == 0:  # the rest took less time
            assert_same_results(tmp_path / "run", expected)
            for path in sorted((tmp_path / "run").rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
        else:
            assert done.returncode == -9, done.stderr
            kills += 1
    assert start(tmp_path / "run", *options).returncode == 0
    assert_same_results(tmp_path / "run", expected)


@pytest.mark.slow
def test_sigterm_saves_and_ends(tmp_path):
    ended = start(tmp_path / "run", "--terminate-at", "5")
    assert ended.returncode == 128 + 15, ended.stderr
    assert (tmp_path / "run" / "checkpoints" / "step-000000005").is_dir()


def small_model(**options):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, **options), "mse")
    return model


def small_data(start_step, steps=100):
    x = np.random.default_rng(0).normal(size=(steps * 4, 2)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, x.sum(1)))
    return data.batch(4).skip(start_step)


def test_a_finished_run_says_so_and_is_left_alone(tmp_path, capsys):
    with Run(tmp_path, {"a": 1}) as run:
        run.fit(small_model(), small_data, steps_per_epoch=2, epochs=1)
        run.finish(None, {})
    with Run(tmp_path, {"a": 1}) as run:
        assert run.finished
    assert f"{tmp_path}: this run is already finished." in capsys.readouterr().out


def test_total_steps_may_end_within_an_epoch(tmp_path):
    with Run(tmp_path, {}) as run:
        record = run.fit(small_model(), small_data, steps_per_epoch=3, total_steps=8)
    assert record.step == 8
    assert record.history["step"] == [3, 6, 8]
    assert [step for step, *_ in record.points] == list(range(1, 9))


def test_the_points_are_the_losses_of_their_steps_and_not_running_means(tmp_path):
    with Run(tmp_path, {}) as run:
        record = run.fit(small_model(), small_data, steps_per_epoch=5, epochs=2)
    model = small_model()
    own = [model.train_on_batch(x, y) for x, y in small_data(0).take(5)]
    shown = [loss for _, loss, _ in record.points[:5]]
    np.testing.assert_allclose(shown, own, rtol=1e-4)


def test_written_files_are_complete(tmp_path):
    def save(path):
        path.mkdir()
        (path / "config.json").write_text("{}")
        (path / "assets").mkdir()
        (path / "assets" / "a").write_text("a")

    with Run(tmp_path, {"path": tmp_path}) as run:
        run.fit(
            small_model(),
            small_data,
            steps_per_epoch=2,
            epochs=2,
            validation_data=small_data(0, steps=3),
        )
        run.finish(save, {"accuracy": 0.5, "matthews": float("nan")})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "run.json",
        "checkpoints",
        "logs",
        "metrics.json",
        "curves.json",
        "curves.png",
        "config.json",
        "assets",
    }
    assert [path.name for path in (tmp_path / "assets").iterdir()] == ["a"]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["metrics"] == {"accuracy": 0.5, "matthews": None}
    assert [e["step"] for e in metrics["epochs"]] == [2, 4]
    assert metrics.keys() == {"metrics", "epochs", "left_out"}
    curves = json.loads((tmp_path / "curves.json").read_text())
    assert curves["step"] == [1, 2, 3, 4]
    assert len(curves["loss"]) == len(curves["learning_rate"]) == 4
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    description = json.loads((tmp_path / "run.json").read_text())
    assert description["arguments"] == {"path": str(tmp_path)}
    assert description["versions"]["keras"] == keras.__version__


def test_a_run_on_files_whose_names_are_not_utf_8_continues(tmp_path):
    odd = tmp_path / os.fsdecode(b"caf\xe9.txt")
    odd.write_text("text")
    data = fingerprint([odd])
    for _ in range(2):
        with Run(tmp_path / "run", {"input": odd}, data=data) as run:
            assert not run.finished
    description = json.loads((tmp_path / "run" / "run.json").read_text())
    assert description["arguments"] == {"input": str(odd)}
    with pytest.raises(OutputError, match=r"caf\\udce9.txt: The path must be UTF-8"):
        Run(odd, {})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"arguments": {"size": 16}}, "argument size was 32 and is now 16"),
        ({"arguments": {"size": 32, "x": 1}}, "argument x was None and is now 1"),
        ({"data": {"a.txt": "2"}}, r"data a\.txt was '1' and is now '2'"),
    ],
)
def test_a_run_of_something_else_is_refused_and_left_alone(tmp_path, changed, message):
    Run(tmp_path, {"size": 32}, data={"a.txt": "1"}).close()
    checkpoint = tmp_path / "checkpoints" / "step-000000004" / "state.json"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("{}")
    path = tmp_path / "run.json"
    arguments = changed.get("arguments", {"size": 32})
    data = changed.get("data", {"a.txt": "1"})
    before = path.read_bytes()
    with pytest.raises(OutputError, match=message):
        Run(tmp_path, arguments, data=data)
    assert path.read_bytes() == before


def test_a_run_that_failed_before_a_checkpoint_may_restart_with_other_arguments(
    tmp_path,
):
    with pytest.raises(PowerCut), Run(tmp_path, {"rate": 3}) as run:
        (run.checkpoints / "text").mkdir(parents=True)
        cut()
    with Run(tmp_path, {"rate": 0.3}) as run:
        assert not run.finished
    description = json.loads((tmp_path / "run.json").read_text())
    assert description["arguments"] == {"rate": 0.3}


def test_a_directory_with_other_content_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="must be new, empty, or contain a run"):
        Run(tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_output_below_a_thousand_directories_is_one_line(tmp_path):
    with pytest.raises(OutputError, match="Too many directories in a path"):
        Run(tmp_path.joinpath(*"a" * 1500), {})


@pytest.mark.parametrize("content", ["", "{", "[]", '{"arguments": 3}'])
def test_a_broken_description_is_one_line(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(OutputError, match=r"run\.json") as raised:
        Run(tmp_path, {})
    assert "\n" not in str(raised.value)


def test_a_file_in_place_of_the_output_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match="must be a writable directory"):
            Run(output, {})


def test_two_processes_cannot_share_an_output(tmp_path):
    with Run(tmp_path, {}):
        holder = f"in use by process {os.getpid()} on {socket.gethostname()}"
        with pytest.raises(OutputError, match=re.escape(holder)):
            Run(tmp_path, {})
    Run(tmp_path, {}).close()


def test_a_loss_that_is_not_finite_stops_and_names_the_step(tmp_path):
    def make_dataset(start_step):
        x = np.ones((10, 2), "float32")
        x[6] = np.nan
        return (
            tf.data.Dataset.from_tensor_slices((x, x[:, 0])).batch(1).skip(start_step)
        )

    with Run(tmp_path, {}, steps_between_saves=1) as run:
        with pytest.raises(TfzooError, match="Received: nan at step 7 of 10"):
            run.fit(small_model(), make_dataset, steps_per_epoch=5, epochs=2)
    newest = max((tmp_path / "checkpoints").iterdir()).name
    assert newest == "step-000000006"


def test_data_that_end_early_are_named(tmp_path):
    def make_dataset(start_step):
        return small_data(start_step, steps=3)

    with Run(tmp_path, {}) as run:
        with (
            pytest.warns(UserWarning, match="ran out of data"),
            pytest.raises(ValueError, match="no batch at step 3 of 4"),
        ):
            run.fit(small_model(), make_dataset, steps_per_epoch=4, epochs=1)


def test_checkpoints_of_another_model_are_refused(tmp_path):
    with Run(tmp_path, {}) as run:
        run.fit(small_model(), small_data, steps_per_epoch=2, epochs=1)
    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    other.compile("sgd", "mse")
    with Run(tmp_path, {}) as run:
        with pytest.raises(OutputError, match=r"The shape must be \(2, 3\)"):
            run.fit(other, small_data, steps_per_epoch=2, epochs=2)


def test_models_that_cannot_be_resumed_are_refused(tmp_path):
    sizes = dict(steps_per_epoch=2, epochs=1)
    with Run(tmp_path, {}) as run:
        with pytest.raises(ValueError, match="use_ema=True"):
            run.fit(small_model(use_ema=True), small_data, **sizes)
        with pytest.raises(ValueError, match="compiled=False"):
            run.fit(keras.Sequential([keras.Input((2,))]), small_data, **sizes)
        with pytest.raises(ValueError, match="epochs=1, total_steps=3"):
            run.fit(small_model(), small_data, **sizes, total_steps=3)
        with pytest.raises(ValueError, match="steps_per_epoch=0"):
            run.fit(small_model(), small_data, steps_per_epoch=0, epochs=1)


def test_a_fit_that_recompiles_is_refused(tmp_path):
    class Compiling(keras.Sequential):
        def fit(self, *args, **kwargs):
            self.compile("sgd", "mse")
            return super().fit(*args, **kwargs)

    model = Compiling([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with Run(tmp_path, {}) as run:
        with pytest.raises(ValueError, match="must not recompile the model"):
            run.fit(model, small_data, steps_per_epoch=2, epochs=1)


def test_the_best_epoch_survives_an_interruption(tmp_path):
    values = {0: 0.3, 1: 0.9, 2: 0.5}

    class Evaluation(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_f1"] = values[epoch]
            if epoch == 1:
                self.best_weights = self.model.get_weights()

    evaluation = Evaluation()
    for last in (7, 100):
        with Run(tmp_path, {}, steps_between_saves=1) as run:
            model = small_model()
            best = KeepBest(run.checkpoints, monitor="val_f1", mode="max")
            callbacks = [evaluation, best, tiny_run.At(last, cut)]
            try:
                run.fit(
                    model,
                    small_data,
                    steps_per_epoch=3,
                    epochs=3,
                    callbacks=callbacks,
                )
            except PowerCut:
                continue
            assert best.restore(model) == (2, 0.9)
    np.testing.assert_array_equal(model.get_weights()[0], evaluation.best_weights[0])


def test_a_monitor_that_is_not_logged_is_named(tmp_path):
    with Run(tmp_path, {}) as run:
        best = KeepBest(run.checkpoints, monitor="val_f1", mode="max")
        with pytest.raises(ValueError, match=r"\['loss'\]. Received: 'val_f1'"):
            run.fit(
                small_model(),
                small_data,
                steps_per_epoch=2,
                epochs=1,
                callbacks=[best],
            )
    with pytest.raises(ValueError, match="'best'"):
        KeepBest(tmp_path, monitor="loss", mode="best")


def read_events(directory):
    found = []
    for file in sorted(directory.iterdir()):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                found.append((value.tag, event.step, value.simple_value))
    return found


def test_event_logs_have_every_step_once_despite_an_interruption(tmp_path):
    for last in (5, 100):
        try:
            with Run(tmp_path, {}, steps_between_saves=3) as run:
                run.fit(
                    small_model(),
                    small_data,
                    steps_per_epoch=4,
                    epochs=2,
                    validation_data=small_data(0, steps=2),
                    callbacks=[tiny_run.At(last, cut)],
                )
        except PowerCut:
            continue
    training = read_events(tmp_path / "logs" / "training")
    by_step = [(s, v) for tag, s, v in training if tag == "loss_by_step"]
    assert [s for s, _ in by_step] == list(range(1, 9))
    points = [loss for _, loss, _ in run.record.points]
    np.testing.assert_allclose([v for _, v in by_step], points, rtol=1e-6)
    assert [s for tag, s, _ in training if tag == "loss"] == [4, 8]
    validation = read_events(tmp_path / "logs" / "validation")
    assert [(tag, s) for tag, s, _ in validation] == [("loss", 4), ("loss", 8)]
