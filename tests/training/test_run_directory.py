"""What a run's directory may hold, and what of it a run overwrites or removes."""

import pathlib
import re
import shutil

import keras
import numpy as np
import pytest

from helpers import module
from tfzoo import files
from tfzoo.errors import OutputError
from tfzoo.training import KeepBest, Run, runs

FOLDER = pathlib.Path(__file__).parent
eager_run = module(FOLDER / "eager_run.py")
small_model, small_data = eager_run.make_model, eager_run.make_dataset
At = module(FOLDER / "tiny_run.py").At


class PowerCut(Exception):
    pass


def cut():
    raise PowerCut


@pytest.fixture(autouse=True)
def quick_curves(monkeypatch):
    """The curves of a run are tested elsewhere."""
    monkeypatch.setattr(runs, "save_curves", lambda record, path: path.write_text(""))


def saving(**texts):
    """A function that saves these texts as the result of a run."""

    def save(path):
        for name, text in texts.items():
            file = path / name.replace("_", "/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    return save


def finished(output, save):
    with Run(output, {}) as run:
        run.fit(small_model(), small_data, steps_per_epoch=1, epochs=1)
        run.finish(save, {})


def test_a_run_that_is_interrupted_while_it_opens_says_so(
    tmp_path, monkeypatch, capsys
):
    def interrupted(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_open", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Run(tmp_path, {})
    rule = "Interrupted at the start; the same command begins anew."
    assert capsys.readouterr().err == f"{tmp_path}: {rule}\n"
    with Run(tmp_path, {}):  # which is free
        pass


def test_a_run_that_trains_only_in_its_parts_has_no_curves(tmp_path):
    with Run(tmp_path / "whole", {}) as run:
        finished(tmp_path / "whole" / "part", None)
        run.finish(None, {"accuracy": 1.0})
    for output, curves in (
        ("whole", []),
        ("whole/part", ["curves.json", "curves.png"]),
    ):
        found = (tmp_path / output).glob("curves.*")
        assert sorted(path.name for path in found) == curves


@pytest.mark.parametrize(
    "name", ["README.md", "metrics.json", "curves.png", "assets/mine", "assets/a"]
)
def test_a_file_that_the_run_did_not_write_is_never_overwritten(tmp_path, name):
    save = saving(**{"README.md": "ours", "assets_a": "ours"})
    with Run(tmp_path, {}) as run:
        run.fit(small_model(), small_data, steps_per_epoch=1, epochs=1)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
        before = sorted(tmp_path.rglob("*"))
        match = re.escape(f"{name}: The run's result must not overwrite")
        with pytest.raises(OutputError, match=match):
            run.finish(save, {})
        assert (tmp_path / name).read_text() == "mine"
        assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / name).rename(tmp_path / "moved")
    finished(tmp_path, save)
    assert (tmp_path / "README.md").read_text() == "ours"
    assert (tmp_path / "moved").read_text() == "mine"


def test_a_result_that_was_partly_moved_is_replaced(tmp_path, monkeypatch):
    def move_one(result, directory):
        (result / "README.md").rename(directory / "README.md")
        (result / "assets").rename(directory / "assets")
        cut()

    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        patch.setattr(runs, "move_result", move_one)
        finished(tmp_path, saving(**{"README.md": "1", "assets_a": "1"}))
    finished(tmp_path, saving(**{"README.md": "2", "assets_b": "2"}))
    assert (tmp_path / "README.md").read_text() == "2"
    assert [path.name for path in (tmp_path / "assets").iterdir()] == ["b"]


def test_logs_and_checkpoints_may_be_links_to_another_disk(tmp_path):
    output = tmp_path / "run"
    output.mkdir()
    for name in ("logs", "checkpoints"):
        (tmp_path / name).mkdir()
        (output / name).symlink_to(tmp_path / name)
    for epochs in (1, 2):
        with Run(output, {}) as run:
            run.fit(small_model(), small_data, steps_per_epoch=2, epochs=epochs)
    assert (output / "logs").is_symlink() and (output / "checkpoints").is_symlink()
    assert len(list((tmp_path / "logs" / "training").iterdir())) == 1
    assert (tmp_path / "checkpoints" / "step-000000004").is_dir()


def test_other_files_in_the_logs_stay(tmp_path):
    notes = tmp_path / "logs" / "validation" / "events.out.tfevents.mine.v2"
    for _ in range(2):
        with Run(tmp_path, {}) as run:
            run.fit(small_model(), small_data, steps_per_epoch=2, epochs=1)
        notes.write_text("mine")
    with Run(tmp_path, {}) as run:
        run.fit(small_model(), small_data, steps_per_epoch=2, epochs=2)
    assert notes.read_text() == "mine"
    assert len(list((tmp_path / "logs" / "training").iterdir())) == 1


def test_a_full_disk_is_an_error_before_the_training(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=50)
    with Run(tmp_path, {}) as run:
        model = small_model()  # 20 bytes of weights
        monkeypatch.setattr(files.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(OutputError, match="at least 0.0 MB free for the checkpoin"):
            run.fit(model, small_data, steps_per_epoch=2, epochs=1)
    assert not (tmp_path / "checkpoints").exists()


def test_what_killed_processes_left_goes_at_the_next_start(tmp_path):
    left = [".run.json.abc", ".metrics.json.abc", ".curves.png.abc", ".result-abc"]
    for name in left:  # of versions without locks
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("")
    for place in (tmp_path, tmp_path / "checkpoints", tmp_path / "checkpoints/text"):
        beside = place / ".corpus-1.abcdefgh"
        beside.mkdir(parents=True)
        (beside / "corpus-1.lock").write_text("")
        (beside / "half").write_text("")
    (tmp_path / ".tfzoo-process").write_text("process 1 on another")
    (tmp_path / "run.json").write_text("")
    (tmp_path / ".mine.notebook").mkdir()
    (tmp_path / ".mine.notebook" / "notes").write_text("")
    with pytest.raises(OutputError, match="Not valid JSON"):
        Run(tmp_path, {})
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    mine = {".mine.notebook", ".mine.notebook/notes"}
    assert names == {"run.json", "checkpoints", "checkpoints/text", *mine}


def damage_best(run):
    (path,) = run.checkpoints.glob("best-epoch-*/state.safetensors")
    path.write_bytes(path.read_bytes()[:-1])


def test_a_damaged_best_epoch_falls_back_to_the_latest(tmp_path, capsys):
    model = small_model()
    with Run(tmp_path, {}) as run:
        best = KeepBest(run.checkpoints, monitor="epoch_number", mode="min")
        options = dict(steps_per_epoch=2, epochs=3, callbacks=[Numbering(), best])
        run.fit(model, small_data, **options)
        damage_best(run)
        weights = model.get_weights()
        assert best.restore(model) == (3, 3)
    np.testing.assert_array_equal(model.get_weights()[0], weights[0])
    assert "weights of the latest epoch, 3, are used instead" in capsys.readouterr().err
    with Run(tmp_path, {}) as run:  # which has no epoch left to train
        best = KeepBest(run.checkpoints, monitor="epoch_number", mode="min")
        run.fit(model, small_data, **{**options, "callbacks": [Numbering(), best]})
        assert best.restore(model) == (3, 3)


class Numbering(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["epoch_number"] = epoch + 1


def test_after_a_damaged_best_epoch_the_best_of_the_others_is_kept(tmp_path, capsys):
    for last in (5, 100):
        with Run(tmp_path, {}, steps_between_saves=1) as run:
            model = small_model()
            best = KeepBest(run.checkpoints, monitor="epoch_number", mode="min")
            callbacks = [Numbering(), best, At(last, cut)]
            try:
                run.fit(
                    model,
                    small_data,
                    steps_per_epoch=2,
                    epochs=4,
                    callbacks=callbacks,
                )
            except PowerCut:
                damage_best(run)  # epoch 1, of two that have ended
                continue
            assert best.restore(model) == (3, 3)
    assert "best of the following epochs is kept" in capsys.readouterr().err
