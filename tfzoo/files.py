"""Bounded reads, and atomic writes: write to a temporary path, then rename."""

import collections
import contextlib
import errno
import hashlib
import json
import os
import pathlib
import shutil
import stat
import tempfile

from tfzoo.errors import OutputError, TfzooError

MAX_JSON_BYTES = 64 << 20
MAX_JSON_DEPTH = 64
# Errors of writing to an open file, which name no path.
_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


def local_path(path):
    """A `pathlib.Path`, in which `~` or `~USER` at the start is a home directory."""
    return pathlib.Path(os.path.expanduser(path))


def readable_file(path, error=TfzooError):
    """Returns `path` if it is a readable regular file; raises `error` otherwise."""
    path = local_path(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise error("The path must be a file. Received: a directory.", path=path)
        if not stat.S_ISREG(mode):  # opening a pipe would block forever
            raise error("The path must be a regular file.", path=path)
        with open(path, "rb"):
            return path
    except FileNotFoundError:
        raise error("The file does not exist.", path=path) from None
    except OSError as e:
        raise error(f"The file cannot be read: {e.strerror}.", path=path) from None
    except ValueError:
        rule = "The name of a file must not have NUL or half of a surrogate pair."
        raise error(rule, path=path) from None


def utf8_path(path, error=TfzooError):
    """The path as TensorFlow takes it, a str; raises `error` if it is not UTF-8."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        rule = "The path must be UTF-8, because TensorFlow opens no other."
        raise error(rule, path=path, fix="Rename the file or directory.") from None
    return str(path)


def read_bytes(path, limit, error=TfzooError):
    """Reads a file of at most `limit` bytes."""
    path = readable_file(path, error)
    with open(path, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise error(f"The file must have at most {limit} bytes.", path=path)
    return content


def read_json(path, error=TfzooError, limit=MAX_JSON_BYTES, kind=dict):
    """Reads a JSON file, rejecting duplicate keys and deep nesting.

    Args:
        path: The file.
        error: Exception class to raise.
        limit: Maximum file size in bytes.
        kind: `dict`, or `list` if the file must contain a list.
    """
    return parse_json(read_bytes(path, limit, error), path, error, kind)


def parse_json(content, path, error=TfzooError, kind=dict):
    """Parses the bytes of `path` as JSON, with the checks of `read_json`."""

    def unique(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            counts = collections.Counter(key for key, _ in pairs)
            twice = next(key for key, count in counts.items() if count > 1)
            raise error("A key must be unique.", path=path, tensor=repr(twice))
        return found

    try:
        value = json.loads(content.decode("utf-8-sig"), object_pairs_hook=unique)
    except RecursionError:
        raise error("The JSON is nested too deeply.", path=path) from None
    except UnicodeDecodeError as e:
        raise error(f"The file must be UTF-8: {e.reason}.", path=path) from None
    except json.JSONDecodeError as e:
        raise error(f"Not valid JSON: {e.msg}.", path=path, line=e.lineno) from None
    except ValueError as e:  # an integer with more digits than Python converts
        raise error(f"Not valid JSON: {e}.", path=path) from None
    if not isinstance(value, kind):
        name = "object" if kind is dict else "list"
        raise error(f"The file must contain one JSON {name}.", path=path)
    if _depth_exceeds(value, MAX_JSON_DEPTH):
        raise error("The JSON is nested too deeply.", path=path)
    return value


def _depth_exceeds(value, limit):
    level = [value]
    for _ in range(limit):
        below = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        level = [item for item in below if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def write_json(path, value):
    """Writes a JSON file atomically, replacing one that exists."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with written_beside(path, replace=True) as beside:
        # A name that is not UTF-8 has surrogates, whose escapes are also those of JSON
        beside.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_sealed_json(path, value):
    """Like `write_json`, but adds the object's SHA-256 to it as `sha256`."""
    write_json(path, {**value, "sha256": json_digest(value)})


def read_sealed_json(path, error=TfzooError):
    """Reads and verifies a file from `write_sealed_json`; drops the `sha256` field."""
    value = read_json(path, error)
    digest = value.pop("sha256", None)
    if digest != json_digest(value):
        raise error(
            "The file has changed since it was written: its checksum does not match.",
            path=path,
        )
    return value


def json_digest(value):
    """SHA-256 of a JSON value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def written_beside(path, *, directory=False, replace=False):
    """Yields a temporary path next to `path`; renames it to `path` on success.

    Readers see the complete result or nothing, even after a kill or on a full disk.

    Args:
        path: Final path of the result.
        directory: Whether the result is a directory (created empty) or a file.
        replace: Whether an existing file may be replaced. A directory never is.

    Raises:
        OutputError: `path` exists (and `replace` does not allow that), or it cannot be
            written.
    """
    path = local_path(path)
    refuse_existing(path, allow_file=replace and not directory, allow_empty=directory)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = pathlib.Path(
            tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent)
        )
    except OSError as e:
        raise OutputError(
            f"Cannot write the output: {e.strerror}.", path=path
        ) from None
    content = beside / path.name
    try:
        if directory:
            content.mkdir()
        yield content
        flush(content)
        if directory and path.is_dir():
            path.rmdir()  # only ever an empty one; a race raises
        os.replace(content, path)
        flush_directory(path.parent)
    except OSError as e:
        is_ours = str(beside) in str(e.filename)
        if is_ours or (e.filename is None and e.errno in _OF_WRITING):
            reason = e.strerror or str(e)
            raise OutputError(f"Cannot write the output: {reason}.", path=path) from e
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def refuse_existing(path, *, allow_file=False, allow_empty=False):
    """Raises `OutputError` if `path` exists and must not be replaced."""
    path = local_path(path)
    if allow_empty and os.path.isdir(path) and not any(path.iterdir()):
        return
    if allow_file and os.path.isfile(path):
        return
    if os.path.lexists(path):
        raise OutputError(
            "The path already exists, and existing output is never overwritten.",
            path=path,
            fix="Choose another output path or move this one away.",
        )


def flush(path):
    """Flushes a file, or every file below a directory, to disk."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    for file in files:
        with open(file, "rb") as handle:
            os.fsync(handle.fileno())


def flush_directory(path):
    """Flushes a directory's entries to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
