"""Reading within bounds, and writing beside then renaming."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import tempfile

from tfzoo.errors import OutputError, TfzooError

MAX_JSON_BYTES = 64 << 20
MAX_JSON_DEPTH = 64


def readable_file(path, error=TfzooError):
    """The path, if it is a file that can be read; one error line otherwise."""
    path = pathlib.Path(path)
    if path.is_dir():
        raise error("A file is expected here. Received: a directory.", path=path)
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise error("A regular file is expected here.", path=path)
    try:
        with open(path, "rb"):
            return path
    except FileNotFoundError:
        raise error("The file does not exist.", path=path) from None
    except OSError as e:
        raise error(f"The file cannot be read: {e.strerror}.", path=path) from None


def read_bytes(path, limit, error=TfzooError):
    """The content of a file of at most `limit` bytes."""
    path = readable_file(path, error)
    with open(path, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise error(f"The file must hold at most {limit} bytes.", path=path)
    return content


def read_json(path, error=TfzooError, limit=MAX_JSON_BYTES, kind=dict):
    """The object of a JSON file; duplicate keys and deep nesting are refused.

    Args:
        path: The file.
        error: Kind of the errors.
        limit: The most bytes of the file.
        kind: `dict`, or `list` where the file must hold a list.
    """
    return parse_json(read_bytes(path, limit, error), path, error, kind)


def parse_json(content, path, error=TfzooError, kind=dict):
    """The object that bytes of `path` hold; duplicate keys and depth are refused."""

    def unique(pairs):
        found = {}
        for key, value in pairs:
            if key in found:
                raise error("A key must stand once.", path=path, tensor=repr(key))
            found[key] = value
        return found

    try:
        value = json.loads(content.decode("utf-8-sig"), object_pairs_hook=unique)
    except RecursionError:
        raise error("The JSON is nested too deeply.", path=path) from None
    except UnicodeDecodeError as e:
        raise error(f"The file must be UTF-8: {e.reason}.", path=path) from None
    except json.JSONDecodeError as e:
        raise error(f"Not valid JSON: {e.msg}.", path=path, line=e.lineno) from None
    except ValueError as e:  # an integer of more digits than Python converts
        raise error(f"Not valid JSON: {e}.", path=path) from None
    if not isinstance(value, kind):
        name = "object" if kind is dict else "list"
        raise error(f"The file must hold one JSON {name}.", path=path)
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
    """Writes a JSON object beside `path`, then renames."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with written_beside(path, replace=True) as beside:
        beside.write_text(text, encoding="utf-8")


def write_sealed_json(path, value):
    """As `write_json`, with the SHA-256 of the object as `sha256` in it."""
    write_json(path, {**value, "sha256": json_digest(value)})


def read_sealed_json(path, error=TfzooError):
    """The object of a file that `write_sealed_json` wrote, without the `sha256`."""
    value = read_json(path, error)
    digest = value.pop("sha256", None)
    if digest != json_digest(value):
        raise error(
            "The file is not as it was written: its checksum is wrong.", path=path
        )
    return value


def json_digest(value):
    """SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def written_beside(path, *, directory=False, replace=False):
    """Yields a path beside `path` to write to; renames it when the block ends well.

    A reader sees the whole result or none of it, also after a kill or on a full disk.

    Args:
        path: Where the result is to stand.
        directory: Whether the result is a directory (created empty) or a file.
        replace: Whether a file of that name may be replaced. A directory never is.

    Raises:
        OutputError: something stands at `path` (and `replace` does not allow it), or
            the place cannot be written.
    """
    path = pathlib.Path(path)
    refuse_existing(path, allow_file=replace and not directory, allow_empty=directory)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = pathlib.Path(
            tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent)
        )
    except OSError as e:
        raise OutputError(f"Cannot be written: {e.strerror}.", path=path) from None
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
        if e.filename is None or str(beside) in str(e.filename):
            reason = e.strerror or str(e)
            raise OutputError(f"Cannot be written: {reason}.", path=path) from e
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def refuse_existing(path, *, allow_file=False, allow_empty=False):
    """Raises `OutputError` where something stands that must not be lost."""
    path = pathlib.Path(path)
    if allow_empty and path.is_dir() and not any(path.iterdir()):
        return
    if allow_file and path.is_file():
        return
    if path.exists() or path.is_symlink():
        raise OutputError(
            "Something stands here already, and nothing is ever overwritten.",
            path=path,
            fix="Name another output or move it away.",
        )


def flush(path):
    """Waits until a file, or every file below a directory, is on the disk."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    for file in files:
        with open(file, "rb") as handle:
            os.fsync(handle.fileno())


def flush_directory(path):
    """Waits until the names in a directory are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
