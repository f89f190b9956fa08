"""What identifies the data of a run."""

import hashlib
import os
import pathlib

from tfzoo.errors import DataError
from tfzoo.files import readable_file

BLOCK = 1 << 20
NUM_BLOCKS = 64


def fingerprint(paths):
    """A digest of each file; of a directory, of each file below it.

    A file over 64 MiB is known by its size and 64 MiB of it, evenly spaced; a directory
    in the cache of the Hugging Face hub by its commit, since files may be added to it.

    Args:
        paths: Files and directories.

    Returns:
        Dict of path -> "SIZE:SHA-256", or "commit:HASH".

    Raises:
        DataError: a file is missing or cannot be read.
    """
    digests = {}
    for path in map(pathlib.Path, paths):
        if path.parent.name == "snapshots" and path.is_dir():
            digests[str(path)] = f"commit:{path.name}"
            continue
        inside = sorted(p for p in path.rglob("*") if p.is_file())
        for file in inside if path.is_dir() else [path]:
            digests[str(file)] = _digest(readable_file(file, DataError))
    return digests


def _digest(path):
    size = os.path.getsize(path)
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        if size <= NUM_BLOCKS * BLOCK:
            digest = hashlib.file_digest(file, "sha256")
        else:
            for block in range(NUM_BLOCKS):
                file.seek((size - BLOCK) * block // (NUM_BLOCKS - 1))
                digest.update(file.read(BLOCK))
    return f"{size}:{digest.hexdigest()}"
