"""Numbered versions of a model in a directory, each written atomically."""

import os
import pathlib
import re

from tfzoo.errors import OutputError
from tfzoo.files import (
    flush,
    flush_directory,
    locked_beside,
    reason_of,
    remove_leftovers,
)
from tfzoo.serving.configuration import BATCHING_PARAMETERS, MODELS_CONFIG

LARGEST_VERSION = 2**63 - 1


def version_numbers(base):
    """The version numbers that TF Serving recognizes in `base`.

    Raises:
        OutputError: `base` is not a directory, or contains something that is neither a
            version nor written by an export. Hidden entries are ignored.
    """
    if not os.path.exists(base):
        return []
    if not base.is_dir():
        raise OutputError("The path must be a directory. Received: a file.", path=base)
    numbers = []
    for entry in sorted(os.listdir(base)):
        if re.fullmatch(r"\s*[+-]?[0-9]+\s*", entry) and int(entry) <= LARGEST_VERSION:
            numbers.append(int(entry))
        elif entry not in (MODELS_CONFIG, BATCHING_PARAMETERS) and entry[0] != ".":
            raise OutputError(
                "The directory must contain only versions of one model. "
                f"Received: {entry}.",
                path=base,
                fix="Choose another output, such as saved_models/NAME.",
            )
    return numbers


def newest_version(path):
    """The directory with `saved_model.pb`: `path` itself, or its highest version.

    Returns:
        `pathlib.Path`; None if there is no SavedModel.
    """
    path = pathlib.Path(path)
    if (path / "saved_model.pb").exists():
        return path
    found = [p.parent for p in path.glob("*/saved_model.pb")]
    found = [folder for folder in found if folder.name.isdecimal()]
    return max(found, key=lambda folder: int(folder.name), default=None)


def add_version(base, write, *, size=0):
    """Adds the next version of a model atomically.

    What killed exporters left in `base` is removed; what others still write is locked
    and stays.

    Args:
        base: Directory of the versions, created if missing.
        write: Function that fills the empty directory whose path it is given.
        size: Number of bytes that the version needs at least, as far as known.

    Returns:
        Path of the new version: one above the highest number in `base`, or 1. Exporters
        that run at the same time get different numbers.

    Raises:
        OutputError: `base` cannot be written, contains something else, or has less than
            `size` free.
    """
    base = pathlib.Path(base)
    version_numbers(base)
    remove_leftovers(base)
    with locked_beside(base / "export", size, output=base) as beside:
        content = beside / "version"
        try:
            content.mkdir()
            write(content)
            flush(content)
            return _renamed(content, base)
        except OSError as e:
            reason = reason_of(e, base, size)
            raise OutputError(f"Cannot write the output: {reason}.", path=base) from e


def _renamed(content, base):
    while True:
        number = max([0, *version_numbers(base)]) + 1
        if number > LARGEST_VERSION:
            raise OutputError(
                f"The next version number must be at most {LARGEST_VERSION}. "
                f"Received: {number}.",
                path=base,
            )
        version = base / str(number)
        try:
            os.rename(content, version)
        except OSError:
            if not version.exists():
                raise
            continue  # another exporter took the number
        flush_directory(base)
        return version
