"""Fingerprints of a run's data."""

import hashlib
import os
import re

from tfzoo.errors import DataError, OutputError
from tfzoo.files import local_path, readable_file

ADDED = "added:"  # prefix for files that may be added after a run has begun


def fingerprint(paths, *, output=None):
    """Digests of files, and of all files in directories.

    A model's directory in the Hugging Face cache grows as files are requested: the
    files downloaded there are marked with `ADDED`.

    Args:
        paths: Files and directories.
        output: The output directory of the run, which must not be one of the
            directories or in one: the run would change its own data. None for no check.

    Returns:
        Dict of path -> "SIZE:SHA-256" or "added:SIZE:SHA-256"; "commit:HASH" for a
        directory in the Hugging Face cache.

    Raises:
        DataError: a file is missing or cannot be read.
        OutputError: `output` is in one of the directories.
    """
    digests = {}
    for path in map(local_path, paths):
        if output is not None and path.is_dir():
            refuse_inside(path, local_path(output))
        inside = sorted(p for p in path.rglob("*") if p.is_file())
        for file in inside if path.is_dir() else [path]:
            digests[str(file)] = _digest(readable_file(file, DataError))
        if _is_hub_snapshot(path):
            digests[str(path)] = f"commit:{path.name}"
            for file in inside:
                if _is_downloaded(file, path):
                    digests[str(file)] = ADDED + digests[str(file)]
    return digests


def refuse_inside(directory, output):
    """Raises `OutputError` if the output is a directory that is read, or in it."""
    place = directory.resolve()
    if place in (output.resolve(), *output.resolve().parents):
        raise OutputError(
            "The output must not be in a directory that is read. Received: an "
            f"output in {directory}.",
            path=output,
            fix="Choose another output.",
        )


def _digest(path):
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.file_digest(file, "sha256")
    except OSError as e:
        raise DataError(f"The file cannot be read: {e.strerror}.", path=path) from None
    return f"{size}:{digest.hexdigest()}"


def _is_hub_snapshot(path):
    """Whether it is `models--ORG--NAME/snapshots/COMMIT`, with files in `blobs`."""
    model = path.parent.parent
    return (
        path.is_dir()
        and path.parent.name == "snapshots"
        and re.fullmatch("[0-9a-f]{40}", path.name) is not None
        and re.match("(models|datasets|spaces)--.", model.name) is not None
        and (model / "blobs").is_dir()
    )


def _is_downloaded(file, snapshot):
    """Whether a file in a snapshot is a link to one of the blobs."""
    blobs = (snapshot.parent.parent / "blobs").resolve()
    return file.is_symlink() and file.resolve().parent == blobs
