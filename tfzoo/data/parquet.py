"""Records of Parquet files, which pyarrow reads."""

import contextlib
import gzip
import json
import shutil
import tempfile
import zlib

from tfzoo.data.hugging_face import class_names, named
from tfzoo.errors import DataError
from tfzoo.files import readable_file

_ROWS_AT_ONCE = 256


def parquet_rows(path):
    """Yields (index, column names, values) of each row, in the order of the columns.

    Class labels of files that Hugging Face's `datasets` wrote become class names.

    Args:
        path: Parquet file; decompressed if its name ends in `.gz`.

    Raises:
        DataError: pyarrow is not installed, or the file is missing or damaged.
    """
    path = readable_file(path, DataError)
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as e:
        raise DataError(
            f"Parquet files require pyarrow, which cannot be imported: {e}.",
            path=path,
            fix="Install it: pip install pyarrow",
        ) from None
    index = 0
    # Python's own errors are those of values that it cannot represent.
    errors = (pyarrow.ArrowException, OSError, EOFError, zlib.error)
    errors += (ValueError, OverflowError, NotImplementedError, KeyError, TypeError)
    try:
        with _opened(path) as source, parquet.ParquetFile(source) as file:
            names = tuple(file.schema_arrow.names)
            classes = _class_names(file.schema_arrow)
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                columns = [
                    _named(column.to_pylist(), classes.get(name))
                    for name, column in zip(names, batch.columns, strict=True)
                ]
                for row in zip(*columns, strict=True):
                    yield index, names, row
                    index += 1
    except errors as e:
        reason = str(e) or type(e).__name__
        raise DataError(
            f"The Parquet file cannot be read from here on: {reason:.300}.",
            path=path,
            record=index,
            fix="Create or copy the file again.",
        ) from None


@contextlib.contextmanager
def _opened(path):
    """The file, decompressed to a temporary one if its name ends in `.gz`."""
    if path.suffix.lower() != ".gz":
        yield str(path)
        return
    with gzip.open(path) as packed, tempfile.TemporaryFile() as file:
        shutil.copyfileobj(packed, file)
        file.seek(0)
        yield file


def _class_names(schema):
    """Names by column, from what `datasets` adds to the metadata of a file."""
    try:
        described = json.loads((schema.metadata or {})[b"huggingface"])
        return class_names(described["info"]["features"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}


def _named(values, names):
    return values if names is None else [named(value, names) for value in values]
