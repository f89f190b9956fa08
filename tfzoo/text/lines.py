"""Numbered lines of a text file, plain or gzip, within bounded memory."""

import codecs
import functools
import gzip
import pathlib
import zlib

from tfzoo.errors import DataError
from tfzoo.files import readable_file

MAX_LINE_BYTES = 64 << 20
SAVE_AS_CSV = 'Save each sheet as "CSV UTF-8" and give the .csv file.'
_GZIP_MAGIC = b"\x1f\x8b"
_HEAD_BYTES = 16
_MARKS = {  # the byte order marks; UTF-32's begins like UTF-16's
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_BINARY = {  # how files begin that are no text
    _GZIP_MAGIC: "It looks like gzip data: rename the file to end in .gz.",
    b"PK\x03\x04": f"It looks like a zip or Excel file. {SAVE_AS_CSV}",
    b"\xd0\xcf\x11\xe0": f"It looks like an Excel file. {SAVE_AS_CSV}",
    b"PAR1\x15": "It looks like Parquet: rename the file to end in .parquet.",
}


def read_lines(path, *, keep_ends=False, if_too_long=None):
    r"""Yields (number, line): lines of the decompressed file, numbered from 1.

    Only "\n" and "\r\n" end a line, so that line numbers match those in an editor. A
    byte order mark is dropped.

    Args:
        path: Text file, UTF-8, or UTF-16 with a byte order mark; decompressed if its
            name ends in `.gz`.
        keep_ends: Whether lines keep their line breaks.
        if_too_long: What to do about a line of more than `MAX_LINE_BYTES`, for the
            error message.

    Raises:
        DataError: the file is missing, a directory, unreadable, empty, not text or
            damaged gzip data, only has the line ends of an old Mac, or has a line of
            more than `MAX_LINE_BYTES`.
    """
    number = 0
    for number, line in numbered_lines(path, if_too_long=if_too_long):
        if not keep_ends:
            line = line.removesuffix("\n").removesuffix("\r")
        yield number, line
    if number == 0:
        raise DataError("The file is empty.", path=path)


def numbered_lines(path, error=DataError, *, if_too_long=None):
    """As `read_lines` with line breaks, but accepts an empty file.

    Args:
        path: As in `read_lines`.
        error: Exception class to raise.
        if_too_long: As in `read_lines`.
    """
    number = 0
    for number, line, encoding in _encoded_lines(path, error, if_too_long):
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError as e:
            raise _undecodable(error, path, number, e) from None
        if number == 1 and "\r" in text[:-1] and not text.endswith("\n"):
            raise error(
                "Lines must end in a line feed. Received: only carriage returns, as on "
                "an old Mac.",
                path=path,
                line=1,
                fix="Convert them: tr '\\r' '\\n' < OLD > NEW",
            )
        yield number, text


def stream_lines(file, name):
    """As `numbered_lines` with UTF-8 from a binary stream, such as standard input.

    Args:
        file: The stream.
        name: Its name, for messages.
    """
    read = functools.partial(file.readline, MAX_LINE_BYTES + 1)
    for number, line in enumerate(iter(read, b""), 1):
        if number == 1:
            for begin, fix in _BINARY.items():
                if line.startswith(begin):
                    rule = "The text must be UTF-8. Received: binary data."
                    raise DataError(rule, path=name, line=1, fix=fix)
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) > MAX_LINE_BYTES:
            raise DataError(
                f"A line must be at most {MAX_LINE_BYTES} bytes long.",
                path=name,
                line=number,
            )
        try:
            yield number, line.decode()
        except UnicodeDecodeError as e:
            raise _undecodable(DataError, name, number, e) from None


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


def _encoded_lines(path, error, if_too_long):
    """Yields (number, bytes of the line, encoding)."""
    path = readable_file(path, error)
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    number = 0
    try:
        with opened(path, "rb") as file:
            encoding, start = _encoding(path, file.read(_HEAD_BYTES), error)
            file.seek(start)
            read = functools.partial(file.readline, MAX_LINE_BYTES + 1)
            if encoding != "utf-8":
                read = functools.partial(_wide_line, file, "\n".encode(encoding))
            while line := read():
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise error(
                        f"A line must be at most {MAX_LINE_BYTES} bytes long.",
                        path=path,
                        line=number,
                        fix=if_too_long,
                    )
                yield number, line, encoding
    except (OSError, EOFError, zlib.error) as e:
        reason = getattr(e, "strerror", None) or e
        is_plain = number == 0 and isinstance(e, gzip.BadGzipFile)
        raise error(
            f"The file cannot be read from here on: {reason}.",
            path=path,
            line=number + 1,
            fix="If it is not compressed, rename it without .gz." if is_plain else None,
        ) from None


def _encoding(path, head, error):
    """(encoding, size of the byte order mark) of a file, from its first bytes."""
    for begin, fix in _BINARY.items():
        if head.startswith(begin):
            rule = "The text must be UTF-8. Received: binary data."
            raise error(rule, path=path, line=1, fix=fix)
    found, start = "utf-8", 0
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            found, start = encoding, len(mark)
            break
    if found == "utf-32" or (start == 0 and _is_bare_utf16(head)):
        raise error(
            "The text must be UTF-8, or UTF-16 with a byte order mark. Received: "
            + ("UTF-32." if start else "UTF-16 without one."),
            path=path,
            line=1,
            fix="Save it as UTF-8.",
        )
    return found, start


def _is_bare_utf16(head):
    """Whether every other byte is 0, as in UTF-16 of Latin letters."""
    halves = head[::2], head[1::2]
    return len(head) >= 8 and any(
        all(some) and not any(others) for some, others in (halves, halves[::-1])
    )


def _wide_line(file, end):
    """The next line of UTF-16, which ends in `end`, or b"" at the end of the file.

    A line feed is two bytes, but other characters also have a byte of its value.
    """
    line = bytearray()
    while part := file.readline(MAX_LINE_BYTES + 1):
        line += part
        if end.startswith(b"\n") and len(line) % 2:
            line += file.read(1)
        is_whole = len(line) % 2 == 0 and line.endswith(end)
        if is_whole or len(line) > MAX_LINE_BYTES:
            break
    return bytes(line)


def _undecodable(error, path, number, cause):
    if cause.encoding == "utf-8":
        byte = cause.object[cause.start]
        received, name = f"byte 0x{byte:02x}", "UTF-8"
    else:
        received, name = cause.reason, "UTF-16, like its byte order mark"
    return error(
        f"The text must be {name}. Received: {received} at byte {cause.start + 1} of "
        "the line.",
        path=path,
        line=number,
        fix='Save it as UTF-8 (in Excel: "CSV UTF-8").' if name == "UTF-8" else None,
    )
