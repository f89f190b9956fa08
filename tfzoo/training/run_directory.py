"""Ownership of an output directory: one run, and one process at a time."""

import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import tempfile

from tfzoo.errors import OutputError
from tfzoo.files import read_json, utf8_path
from tfzoo.training.fingerprints import ADDED


def locked(directory):
    """Opens the directory with an exclusive lock; returns the file descriptor."""
    utf8_path(directory, OutputError)  # at the start, not when TensorFlow writes logs
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as e:
        raise OutputError(
            f"The output must be a writable directory: {e.strerror}.",
            path=directory,
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise OutputError(
            "Only one process may use this directory at a time. Received: a directory "
            "in use by another process.",
            path=directory,
            fix="Wait for it to end or choose another output.",
        ) from None
    return lock


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


def saved_in(directory, save):
    """Saves a result in the directory of a run, replacing that of an earlier process.

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
