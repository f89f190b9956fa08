"""Ctrl-C, SIGTERM and SIGHUP: what is kept, and what the next process makes of it."""

import os
import pathlib
import pty
import signal
import sys

import keras
import pytest

from helpers import module
from tfzoo.training import runs, snapshots

SCRIPT = pathlib.Path(__file__).with_name("eager_run.py")
eager_run = module(SCRIPT)
RESULTS = ("last/last.npy", "best.npy", "metrics.json")


pytestmark = pytest.mark.usefixtures("default_signals")


@pytest.fixture(autouse=True)
def no_curves(monkeypatch):
    """The curves of a run are tested elsewhere."""
    monkeypatch.setattr(runs, "save_curves", lambda *arguments: None)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The results of a run without interruptions."""
    output = tmp_path_factory.mktemp("runs") / "uninterrupted"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "save_curves", lambda *arguments: None)
        eager_run.train(output)
    return {name: (output / name).read_bytes() for name in RESULTS}


class Sending(keras.callbacks.Callback):
    """Sends signals to this process at a place; counts the steps."""

    def __init__(self, place=None, *numbers):
        super().__init__()
        self.place, self.numbers = place, numbers
        self.steps = self.tests = 0

    def send(self, place):
        if place == self.place:
            for number in self.numbers:
                os.kill(os.getpid(), number)

    def on_train_batch_begin(self, batch, logs=None):
        self.send(f"in step {self.steps + 1}")

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        self.send(f"after step {self.steps}")

    def on_test_batch_end(self, batch, logs=None):
        self.tests += 1
        self.send(f"in test step {self.tests}")

    def on_epoch_end(self, epoch, logs=None):
        self.send(f"after epoch {epoch + 1}")


def interrupted(output, place, number, **options):
    """Ends a run with a signal; returns its number of steps."""
    sending = Sending(place, number)
    expected = KeyboardInterrupt if number == signal.SIGINT else SystemExit
    with pytest.raises(expected) as raised:
        eager_run.train(output, [sending], **options)
    if number != signal.SIGINT:
        assert raised.value.code == 128 + number
    return sending.steps


@pytest.mark.parametrize(
    ("place", "steps", "number"),
    [
        ("in step 2", 2, signal.SIGINT),
        ("after step 3", 3, signal.SIGHUP),  # the last one before an evaluation
        ("in test step 1", 3, signal.SIGTERM),
        ("in test step 4", 6, signal.SIGINT),  # the end of the last evaluation
        ("after epoch 1", 3, signal.SIGTERM),
        ("after step 4", 4, signal.SIGHUP),
        ("after epoch 2", 6, signal.SIGINT),
    ],
)
def test_a_signal_loses_no_step_and_changes_no_bit(
    tmp_path, uninterrupted, capsys, place, steps, number
):
    former = signal.getsignal(number)
    assert interrupted(tmp_path / "run", place, number) == steps
    assert signal.getsignal(number) == former
    kept = f"All up to step {steps} is kept, and the same command continues there."
    assert capsys.readouterr().err.splitlines()[-1].endswith(kept)
    rest = Sending()
    eager_run.train(tmp_path / "run", [rest])
    assert f"continues after step {steps} of 6" in capsys.readouterr().out
    repeated = 1 if "step 3" in place or "test" in place else 0  # only its end
    assert rest.steps == eager_run.STEPS - steps + repeated
    for name, content in uninterrupted.items():
        assert (tmp_path / "run" / name).read_bytes() == content, name


def test_a_second_signal_within_the_repeated_evaluation_changes_nothing(
    tmp_path, uninterrupted
):
    for _ in range(2):
        interrupted(tmp_path / "run", "in test step 1", signal.SIGTERM)
    eager_run.train(tmp_path / "run")
    for name, content in uninterrupted.items():
        assert (tmp_path / "run" / name).read_bytes() == content, name


def test_a_signal_while_a_snapshot_is_written_lets_it_be_completed(
    tmp_path, uninterrupted, monkeypatch
):
    write = snapshots._write_tensors

    def interrupted_write(path, variables):
        os.kill(os.getpid(), signal.SIGHUP)
        return write(path, variables)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as raised:
        patch.setattr(snapshots, "_write_tensors", interrupted_write)
        eager_run.train(tmp_path / "run", steps_between_saves=2)
    assert raised.value.code == 129
    assert (tmp_path / "run" / "checkpoints" / "step-000000002").is_dir()
    eager_run.train(tmp_path / "run")
    for name, content in uninterrupted.items():
        assert (tmp_path / "run" / name).read_bytes() == content, name


def test_a_second_interrupt_does_not_wait_for_the_step(tmp_path, capsys):
    sending = Sending("in step 2", signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        eager_run.train(tmp_path, [sending])
    assert sending.steps == 1
    assert "Interrupted at the start" in capsys.readouterr().err


def test_an_ignored_signal_does_not_end_a_run(tmp_path):
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        run, _ = eager_run.train(tmp_path, [Sending("in step 2", signal.SIGHUP)])
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)
    assert run.finished


@pytest.mark.slow
def test_a_run_whose_terminal_hangs_up_is_saved(tmp_path):
    process, terminal = pty.fork()
    if process == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.execv(sys.executable, [sys.executable, SCRIPT, tmp_path / "run", "1000000"])
    shown = b""
    while b"epoch 2, step 6" not in shown:
        shown += os.read(terminal, 1 << 16)
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status == 129
    assert list((tmp_path / "run" / "checkpoints").glob("step-*"))
