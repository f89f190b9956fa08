"""Numbered lines of a UTF-8 text file, plain or gzip, within bounded memory."""

import gzip
import pathlib
import zlib

from tfzoo.errors import DataError
from tfzoo.files import readable_file

MAX_LINE_BYTES = 64 << 20
_BOM = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"


def read_lines(path, *, keep_ends=False):
    r"""Yields (number, line): lines of the decompressed file, numbered from 1.

    Only "\n" and "\r\n" end a line, so that line numbers match those in an editor. A
    byte order mark is dropped.

    Args:
        path: Text file; decompressed if its name ends in `.gz`.
        keep_ends: Whether lines keep their line breaks.

    Raises:
        DataError: the file is missing, a directory, unreadable, empty, not UTF-8 or
            damaged gzip data, or has a line of more than `MAX_LINE_BYTES`.
    """
    number = 0
    for number, line in _numbered_bytes(readable_file(path, DataError)):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as e:
            raise _not_utf8(path, number, line, e) from None
        if not keep_ends:
            text = text.removesuffix("\n").removesuffix("\r")
        yield number, text
    if number == 0:
        raise DataError("The file is empty.", path=path)


def decompressed_size(path):
    """Size of the decompressed file in bytes; gzip data is read and checked fully."""
    if not is_gzip(path):
        return pathlib.Path(path).stat().st_size
    size = 0
    try:
        with gzip.open(path) as file:
            while block := file.read(1 << 20):
                size += len(block)
    except (OSError, EOFError, zlib.error) as e:
        raise DataError(f"The gzip data is damaged: {e}.", path=path) from None
    return size


def is_gzip(path):
    """Whether the file begins like gzip data (with deflate, the only method)."""
    with open(path, "rb") as file:
        return file.read(3) == _GZIP_MAGIC + b"\x08"


def _numbered_bytes(path):
    number = 0
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise DataError(
                        f"A line must be at most {MAX_LINE_BYTES} bytes long.",
                        path=path,
                        line=number,
                    )
                if number == 1:
                    line = line.removeprefix(_BOM)
                    if not line:
                        return
                yield number, line
    except (OSError, EOFError, zlib.error) as e:
        reason = getattr(e, "strerror", None) or e
        raise DataError(
            f"The file cannot be read from here on: {reason}.",
            path=path,
            line=number + 1,
        ) from None


def _not_utf8(path, number, line, error):
    fix = None
    if number == 1 and line.startswith(_GZIP_MAGIC):
        fix = "It looks like gzip data: rename the file to end in .gz."
    byte = line[error.start]
    return DataError(
        f"The text must be UTF-8. Received: byte 0x{byte:02x} at byte "
        f"{error.start + 1} of the line.",
        path=path,
        line=number,
        fix=fix,
    )
