"""Ownership of an output directory: one run, and one process at a time."""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import socket
import tempfile

from tfzoo.errors import OutputError, printable
from tfzoo.files import (
    entries_below,
    make_directory,
    read_json,
    remove_leftovers,
    require_space,
    utf8_path,
)
from tfzoo.training.averaging import KeepLast
from tfzoo.training.callbacks import KeepBest
from tfzoo.training.fingerprints import ADDED
from tfzoo.training.snapshots import Snapshots
from tfzoo.weight_files import num_bytes_of

PROCESS = ".tfzoo-process"  # names the process that uses the directory
# What versions without locks may have left: `remove_leftovers` spares it
_LEFT = (".run.json.*", ".metrics.json.*", ".curves.png.*", ".result-*")


class Lock:
    """The exclusive use of a directory by this process; creates the directory.

    Raises:
        OutputError: another process uses the directory, or it cannot be opened.
    """

    def __init__(self, directory):
        utf8_path(directory, OutputError)  # now, not when TensorFlow writes logs
        self._note = directory / PROCESS
        try:
            make_directory(directory)
            self._lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as e:
            raise OutputError(
                f"The output must be a writable directory: {e.strerror}.",
                path=directory,
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise OutputError(
                "Only one process may use this directory at a time. Received: a "
                f"directory in use by {self._holder()}.",
                path=directory,
                fix="Wait for it to end or choose another output.",
            ) from None
        with contextlib.suppress(OSError):  # the note is for people only
            self._note.write_text(f"process {os.getpid()} on {socket.gethostname()}")

    def _holder(self):
        try:
            return self._note.read_text(errors="replace")[:200] or "another process"
        except OSError:
            return "another process"

    def release(self):
        """Releases the directory; may be called again."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._note.unlink()
            os.close(self._lock)
            self._lock = None


def remove_all_leftovers(directory):
    """Removes what killed processes left in a run's directory, which must be locked."""
    for pattern in _LEFT:
        for leftover in directory.glob(pattern):
            shutil.rmtree(leftover, ignore_errors=True)
    checkpoints = directory / "checkpoints"
    for place in (directory, checkpoints, *checkpoints.glob("*")):
        remove_leftovers(place)


def is_unused(directory):
    """Whether a directory is empty, except for places that a user prepared.

    These are empty directories `logs` and `checkpoints`, or links to them: they may be
    on another disk.
    """
    return all(
        entry.name == PROCESS
        or entry.name in ("logs", "checkpoints")
        and entry.is_dir()
        and not any(entry.iterdir())
        for entry in directory.iterdir()
    )


def plain(value):
    """The value as JSON would store it; paths become strings."""
    return json.loads(json.dumps(value, default=os.fspath))


PARTS = {"arguments": "argument", "data": "data"}


def read_description(path):
    """Reads the `run.json` written by an earlier process."""
    description = read_json(path, OutputError)
    for part in (*PARTS, "versions"):
        if not isinstance(description.get(part), dict):
            raise OutputError("Must be an object.", path=path, tensor=part)
    if not isinstance(description.get("earlier", []), list):
        raise OutputError("Must be a list.", path=path, tensor="earlier")
    if not isinstance(description.get("finished"), bool):
        raise OutputError("Must be true or false.", path=path, tensor="finished")
    return description


def changed_results(directory):
    """Names of the files of a finished run that have changed since.

    Empty for a run of tfzoo's first versions, which recorded no checksums.
    """
    results = read_json(directory / "run.json", OutputError).get("results", {})
    return [
        name
        for name, digest in sorted(results.items())
        if not (directory / name).is_file() or sha256(directory / name) != digest
    ]


def sha256(path):
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_same(path, former, now):
    """Raises `OutputError` if two descriptions differ."""
    for part, one in PARTS.items():
        before, here = former[part], now[part]
        for name in sorted({*before, *here}):
            if name not in before and str(here[name]).startswith(ADDED):
                continue
            if before.get(name) != here.get(name):
                raise OutputError(
                    f"A run must continue with the same {part}. The {one} {name} was "
                    f"{before.get(name)!r} and is now {here.get(name)!r}.",
                    path=path,
                    fix="Choose another output or repeat the original command.",
                )


@contextlib.contextmanager
def new_result(directory):
    """Yields the path of a result to be written, for `digests` and `move_result`."""
    with tempfile.TemporaryDirectory(dir=directory, prefix=".result-") as top:
        yield pathlib.Path(top) / "result"


def digests(directory):
    """Dict of relative path -> SHA-256 of all files in a directory."""
    files = sorted(path for path in entries_below(directory) if path.is_file())
    return {str(file.relative_to(directory)): sha256(file) for file in files}


def refuse_foreign(result, directory, own):
    """Raises `OutputError` if moving a result would overwrite what is not the run's.

    Args:
        result: The directory whose entries are to be moved.
        directory: The run's directory.
        own: The `digests` of an earlier result, which may be partly there.
    """
    for entry in sorted(result.iterdir()):
        target = directory / entry.name
        files = sorted(target.rglob("*")) if target.is_dir() else [target]
        for file in files:
            name = str(file.relative_to(directory))
            is_foreign = file.is_file() and own.get(name) != sha256(file)
            if is_foreign or file.is_symlink():
                raise OutputError(
                    "The run's result must not overwrite a file that the run did not "
                    "write.",
                    path=file,
                    fix="Move it away and repeat the same command, which only writes "
                    "the result.",
                )


def move_result(result, directory):
    """Moves the entries of a result into the run's directory, one by one."""
    for entry in result.iterdir():
        target = directory / entry.name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        os.replace(entry, target)


def require_space_for_run(directory, model, callbacks):
    """Raises `OutputError` if the disks lack the space that a run will need.

    It keeps two checkpoints, and the best and the last epochs, if these are kept, each
    while the next one is written, and in the end the result.

    Args:
        directory: The run's directory; its `checkpoints` may be on another disk.
        model: The built and compiled `keras.Model`.
        callbacks: List of the user's callbacks.
    """
    checkpoints = directory / "checkpoints"
    weights = num_bytes_of(model.weights)
    needed = 3 * num_bytes_of([*model.variables, *model.optimizer.variables])
    keeping = [c for c in callbacks if isinstance(c, KeepBest | KeepLast)]
    needed += weights * sum(callback.num_copies for callback in keeping)
    for kind in ("step", "best-epoch", "epoch"):
        files = checkpoints.glob(f"{kind}-*/*")
        needed -= sum(file.stat().st_size for file in files)
    require_space(checkpoints, max(0, needed), "the checkpoints of this run")
    require_space(directory, weights, "the result of this run")


def what_is_kept(directory):
    """A line about what an interrupted run can continue from."""
    steps = Snapshots(directory / "checkpoints", "step", kept=2).numbers()
    directory = printable(directory)
    if not steps:
        return f"{directory}: Interrupted at the start; the same command begins anew."
    return (
        f"{directory}: Interrupted. All up to step {steps[-1]} is kept, and the same "
        "command continues there."
    )
