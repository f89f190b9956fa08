"""Bounded reads, and atomic writes: write to a temporary path, then rename."""

import collections
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import pathlib
import re
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


def make_directory(path):
    """Creates a directory, and those above it, unless it exists.

    Raises:
        OSError: it cannot be created; also if there are too many above it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except RecursionError:
        raise OSError(errno.ENAMETOOLONG, "Too many directories in a path") from None


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
        is_remote = re.match(r"[a-z0-9+.-]+:/", str(path))
        fix = "Download the file first." if is_remote else None
        raise error("The file does not exist.", path=path, fix=fix) from None
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
def written_beside(path, *, directory=False, replace=False, size=0):
    """Yields a temporary path next to `path`; renames it to `path` on success.

    Readers see the complete result or nothing, even after a kill or on a full disk.
    What killed processes left beside the same path is removed first.

    Args:
        path: Final path of the result.
        directory: Whether the result is a directory (created empty) or a file.
        replace: Whether an existing file may be replaced. A directory never is.
        size: Number of bytes that the result needs at least, as far as known.

    Raises:
        OutputError: `path` exists (and `replace` does not allow that), the disk has
            less than `size` free, or it cannot be written.
    """
    path = local_path(path)
    remove_leftovers(path.parent, path.name)
    refuse_existing(path, allow_file=replace and not directory, allow_empty=directory)
    with locked_beside(path, size) as beside, _named_errors(path, beside, size):
        content = beside / path.name
        if directory:
            content.mkdir()
        yield content
        if directory:
            remove_leftovers(content)  # of files in it
        flush(content)
        if directory and path.is_dir():
            path.rmdir()  # only ever an empty one; a race raises
        os.replace(content, path)
        flush_directory(path.parent)


@contextlib.contextmanager
def locked_beside(path, size=0, *, output=None):
    """Yields a new directory `.NAME.RANDOM` next to `path`, and removes it at the end.

    While in use it contains a locked file, so that `remove_leftovers` spares it.

    Args:
        path: The `pathlib.Path` that gives the name; its directory is created.
        size: As in `written_beside`.
        output: The path that errors name. None for `path`.
    """
    output = path if output is None else output
    require_space(output, size, "this output")
    try:
        make_directory(path.parent)
        beside, lock = _new_beside(path)
    except OSError as e:
        raise OutputError(
            f"Cannot write the output: {e.strerror}.", path=output
        ) from None
    try:
        yield beside
    finally:
        with contextlib.suppress(OSError):
            _discard(beside, path.name)
        os.close(lock)


def _new_beside(path):
    while True:
        beside = pathlib.Path(
            tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent)
        )
        place = beside / f"{path.name}.lock"
        with contextlib.suppress(FileNotFoundError):  # if taken for a leftover
            lock = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
            with contextlib.suppress(OSError):  # if the file system has no locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            if place.exists():
                return beside, lock
            os.close(lock)


def remove_leftovers(directory, name=None):
    """Removes what killed processes left in a directory while they wrote.

    What a process still writes is locked and stays, as does everything where the file
    system has no locks.

    Args:
        directory: The directory.
        name: Name of the output that was written. None for every output.
    """
    wanted = "(.+)" if name is None else f"({re.escape(name)})"
    pattern = re.compile(rf"\.{wanted}\.[a-z0-9_]{{8}}")
    with contextlib.suppress(OSError):
        for entry in os.listdir(directory):
            if found := pattern.fullmatch(entry):
                _remove_unless_locked(pathlib.Path(directory, entry), found[1])


def _remove_unless_locked(beside, name):
    try:
        lock = os.open(beside / f"{name}.lock", os.O_RDWR)
    except OSError:
        with contextlib.suppress(OSError):
            beside.rmdir()  # its process was killed before it wrote anything
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _discard(beside, name)
    except OSError:
        pass  # in use
    finally:
        os.close(lock)


def _discard(beside, name):
    """Removes a directory of `locked_beside`, its lock last."""
    for entry in beside.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name != f"{name}.lock":
            entry.unlink()
    (beside / f"{name}.lock").unlink()
    beside.rmdir()


@contextlib.contextmanager
def _named_errors(path, beside, size):
    """Turns errors of writing to `beside` into an `OutputError` of `path`."""
    try:
        yield
    except OSError as e:
        is_ours = str(beside) in str(e.filename)
        if not is_ours and (e.filename is not None or e.errno not in _OF_WRITING):
            raise
        reason = reason_of(e, path, size)
        raise OutputError(f"Cannot write the output: {reason}.", path=path) from e


def reason_of(error, path, size=0):
    """Why an `OSError` prevented writing to `path`; on a full disk, with its space.

    Args:
        error: The error.
        path: A path on the disk.
        size: As in `written_beside`.
    """
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        needed = f"{megabytes(size)} are needed and " if size else ""
        reason += f"; {needed}{megabytes(free_space(path))} are free"
    return reason


def require_space(path, needed, purpose):
    """Raises `OutputError` if a disk lacks space.

    Args:
        path: A path on the disk, which may not exist yet.
        needed: Number of bytes.
        purpose: What they are for, such as "this output".
    """
    if needed and (free := free_space(path)) < needed:
        raise OutputError(
            f"The disk must have at least {megabytes(needed)} free for {purpose}. "
            f"Received: {megabytes(free)}.",
            path=path,
            fix="Free some space or choose another disk.",
        )


def free_space(path):
    """Number of free bytes on the disk of a path, which may not exist yet."""
    path = pathlib.Path(path).absolute()
    while not os.path.exists(path):  # also if its name is too long for a file
        path = path.parent
    return shutil.disk_usage(path).free


def megabytes(size):
    """A number of bytes as text, in MB."""
    return f"{size / 1e6:,.1f} MB"


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
    """Flushes a file to disk, or a directory with everything below it."""
    for entry in [*entries_below(path), path]:
        if entry.is_dir():
            flush_directory(entry)
        elif entry.is_file():
            with open(entry, "rb") as handle:
                os.fsync(handle.fileno())


def entries_below(directory):
    """Yields all paths below a directory; unlike `rglob`, none is silently skipped."""

    def fail(error):
        raise error

    if directory.is_dir():
        for place, directories, names in os.walk(directory, onerror=fail):
            yield from (pathlib.Path(place, name) for name in [*directories, *names])


def flush_directory(path):
    """Flushes a directory's entries to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
