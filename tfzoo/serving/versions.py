"""Numbered versions of a model in a directory, each written atomically."""

import os
import pathlib
import re
import shutil
import tempfile

from tfzoo.errors import OutputError
from tfzoo.files import flush, flush_directory
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


def add_version(base, write):
    """Adds the next version of a model atomically.

    Args:
        base: Directory of the versions, created if missing.
        write: Function that fills the empty directory whose path it is given.

    Returns:
        Path of the new version: one above the highest number in `base`, or 1. Exporters
        that run at the same time get different numbers.

    Raises:
        OutputError: `base` cannot be written or contains something else.
    """
    base = pathlib.Path(base)
    version_numbers(base)
    try:
        base.mkdir(parents=True, exist_ok=True)
        beside = pathlib.Path(tempfile.mkdtemp(prefix=".export.", dir=base))
    except OSError as e:
        raise OutputError(
            f"Cannot write the output: {e.strerror}.", path=base
        ) from None
    try:
        content = beside / "version"
        content.mkdir()
        write(content)
        flush(content)
        return _renamed(content, base)
    except OSError as e:
        raise OutputError(
            f"Cannot write the output: {e.strerror or e}.", path=base
        ) from e
    finally:
        shutil.rmtree(beside, ignore_errors=True)


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
