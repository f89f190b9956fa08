"""One bit of a run's files flips between two sessions of the run."""

import pathlib
import random
import shutil

import pytest

from helpers import module
from tfzoo.errors import TfzooError

SCRIPT = pathlib.Path(__file__).with_name("marked_run.py")
marked_run = module(SCRIPT)

FLIPS = 60
RESULTS = ("last.npy", "best.npy", "metrics.json", "curves.json")


class PowerCut(Exception):
    pass


class CutAt(marked_run.keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.steps_left = step

    def on_train_batch_end(self, batch, logs=None):
        self.steps_left -= 1
        if self.steps_left == 0:
            raise PowerCut


def train(output, callbacks=()):
    marked_run.train(
        output, bad=(), steps_per_epoch=3, run_eagerly=True, callbacks=callbacks
    )


def flip_a_bit(files, rng):
    """Flips a bit of one of the files, each equally likely; returns the file."""
    path = rng.choice(files)
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return path


def files_of(output):
    return sorted(p for p in output.rglob("*") if p.is_file() and p.stat().st_size)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folder with a finished run and an interrupted one."""
    folder = tmp_path_factory.mktemp("runs")
    train(folder / "finished")
    with pytest.raises(PowerCut):
        train(folder / "interrupted", [CutAt(5)])
    return folder


def continued(runs, output, rng):
    """Flips a bit and resumes; returns the message (None without one) and the file."""
    shutil.copytree(runs / "interrupted", output)
    path = flip_a_bit(files_of(output), rng)
    try:
        train(output)
    except TfzooError as e:
        return str(e), path
    for name in RESULTS:
        expected = (runs / "finished" / name).read_bytes()
        assert (output / name).read_bytes() == expected, path
    return None, path


def test_a_flipped_bit_never_changes_the_result_of_a_run(tmp_path, runs):
    continued(runs, tmp_path / "run", random.Random(0))


@pytest.mark.slow
def test_none_of_60_flipped_bits_changes_the_result_of_a_run(tmp_path, runs):
    errors = 0
    for seed in range(FLIPS):
        output = tmp_path / str(seed)
        error, path = continued(runs, output, random.Random(seed))
        errors += error is not None
        if error is not None:
            assert path.name in error or path.parent.name in error, (path, error)
    assert errors > 0


@pytest.mark.slow
def test_all_of_60_flipped_bits_in_a_finished_run_are_reported(tmp_path, runs, capsys):
    for seed in range(FLIPS):
        output = tmp_path / str(seed)
        shutil.copytree(runs / "finished", output)
        read = [output / "run.json", *(output / name for name in RESULTS)]
        path = flip_a_bit(read, random.Random(seed))
        try:
            train(output)
        except TfzooError as e:
            # A digest in run.json that flips looks like a result that has changed.
            is_digest = path.name == "run.json" and "must not overwrite" in str(e)
            assert path.name in str(e) or is_digest
        else:
            told = f"{path}: changed since it was written" in capsys.readouterr().err
            assert told or path.name == "run.json"
