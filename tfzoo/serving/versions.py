"""Numbered versions of a model in one folder, each of them whole."""

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
    """The numbers that TF Serving takes for versions of the model in `base`.

    Raises:
        OutputError: `base` is not a folder, or holds something that is neither a
            version nor a file that an export writes. Hidden entries are passed over.
    """
    if not base.exists():
        return []
    if not base.is_dir():
        raise OutputError("The path must be a directory. Received: a file.", path=base)
    numbers = []
    for entry in sorted(os.listdir(base)):
        if re.fullmatch(r"\s*[+-]?[0-9]+\s*", entry) and int(entry) <= LARGEST_VERSION:
            numbers.append(int(entry))
        elif entry not in (MODELS_CONFIG, BATCHING_PARAMETERS) and entry[0] != ".":
            raise OutputError(
                f"The folder must hold versions of one model only. Received: {entry}.",
                path=base,
                fix="Name another output, such as saved_models/NAME.",
            )
    return numbers


def add_version(base, write):
    """Adds the next version of a model: all of it, or nothing.

    Args:
        base: Folder of the versions, made where it is missing.
        write: Called with the path of an empty folder that it fills.

    Returns:
        Path of the new version: one above the highest number in `base`, 1 if there is
        none. Of exporters that run at once each gets a number of its own.

    Raises:
        OutputError: `base` cannot be written or holds something else.
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
            raise OutputError("No version number is left.", path=base)
        version = base / str(number)
        try:
            os.rename(content, version)
        except OSError:
            if not version.exists():
                raise
            continue  # another exporter took the number
        flush_directory(base)
        return version
