"""Whose an output directory is: one run's, and one process's at a time."""

import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import tempfile

from tfzoo.errors import OutputError
from tfzoo.files import read_json
from tfzoo.training.fingerprints import ADDED


def locked(directory):
    """A handle of the directory, which no other process has while it is open."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as e:
        raise OutputError(
            f"The output must be a directory that can be written: {e.strerror}.",
            path=directory,
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise OutputError(
            "Another process works in this directory.",
            path=directory,
            fix="Wait for its end or name another output.",
        ) from None
    return lock


def plain(value):
    """What JSON makes of a value; paths are strings."""
    return json.loads(json.dumps(value, default=os.fspath))


PARTS = {"arguments": "argument", "versions": "version of", "data": "data"}


def read_description(path):
    """The `run.json` that an earlier process wrote."""
    description = read_json(path, OutputError)
    for part in PARTS:
        if not isinstance(description.get(part), dict):
            raise OutputError("Not the description of a run.", path=path, tensor=part)
    if not isinstance(description.get("finished"), bool):
        raise OutputError("Must be true or false.", path=path, tensor="finished")
    return description


def changed_results(directory):
    """Names of the files that a finished run wrote and that are no longer the same.

    A run of tfzoo's first versions knows none.
    """
    results = read_json(directory / "run.json", OutputError).get("results", {})
    return [
        name
        for name, digest in sorted(results.items())
        if not (directory / name).is_file() or sha256(directory / name) != digest
    ]


def sha256(path):
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_same(path, former, now):
    """Raises `OutputError` where two descriptions differ."""
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
                    fix="Name another output or repeat the former command.",
                )


def saved_in(directory, save):
    """Saves a result into the directory of a run, over what an earlier process left.

    The entries are moved one by one; a run killed meanwhile starts over.

    Args:
        directory: The `pathlib.Path` of the run.
        save: Function of a path that creates a directory there with the result.

    Returns:
        The paths of the files.
    """
    files = []
    for leftover in directory.glob(".result-*"):
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".result-") as top:
        beside = pathlib.Path(top) / "result"
        save(beside)
        for entry in beside.iterdir():
            target = directory / entry.name
            if target.is_dir():
                shutil.rmtree(target)
            os.replace(entry, target)
            below = target.rglob("*") if target.is_dir() else [target]
            files += [path for path in below if path.is_file()]
    return files
