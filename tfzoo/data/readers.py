"""Reads files and datasets as records that know their location.

| name ends in             | a record is                            | columns      |
|--------------------------|----------------------------------------|--------------|
| `.txt`                   | a line                                 | `text`       |
| `.tsv`                   | a line, separated by tabs, no quoting  | in line 1    |
| `.csv`                   | an RFC 4180 record                     | in line 1    |
| `.jsonl`                 | a line with a JSON object              | its keys     |
| `.tfrecord(s)`, `*-of-*` | a `tf.train.Example`                   | its features |

`tfds:NAME[/config][:split]` is a dataset of TensorFlow Datasets. Text files may be
gzipped (`.txt.gz` and so on). Gzipped TFRecord files are recognized by their content,
and so are TFRecord files with other names.
"""

import csv
import dataclasses
import json
import os
import pathlib
import re

from tfzoo.data.lines import read_lines
from tfzoo.errors import DataError

MAX_FIELD_CHARACTERS = 16 << 20
TEXT_SUFFIXES = (".txt", ".tsv", ".csv", ".jsonl")


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """A record and its location.

    Attributes:
        names: Column names; "1", "2", ... if the file has no header.
        values: The values, in the order of `names`: str, or any JSON or feature value.
        path: File, or `tfds:...`.
        number: First line of the record in the decompressed file, starting at 1; or, if
            `unit` is "record", the record's index, starting at 0.
        unit: "line" or "record".
        ordered: Whether columns can also be given by number.
    """

    names: tuple
    values: tuple
    path: str
    number: int
    unit: str = "line"
    ordered: bool = True

    @property
    def fields(self):
        """The values by column name."""
        return dict(zip(self.names, self.values, strict=True))

    def value(self, column):
        """Returns the value of a column.

        Args:
            column: Its name; or its number, starting at 1, if columns have an order
                (`.txt`, `.tsv`, `.csv`). Names take precedence over numbers.

        Raises:
            DataError: there is no such column, or several have this name.
        """
        found = self.names.count(str(column))
        if found == 1:
            return self.values[self.names.index(str(column))]
        there = ", ".join(repr(name) for name in self.names) or "none"
        if found:
            raise self.error(
                f"The column name must be unique. Received: {column!r}, which occurs "
                f"{found} times in the columns {there}.",
                fix="Give the column by its number, starting at 1.",
            )
        if self.ordered and re.fullmatch("[0-9]{1,9}", str(column)):
            if 1 <= int(column) <= len(self.values):
                return self.values[int(column) - 1]
        raise self.error(f"The column must be one of {there}. Received: {column!r}.")

    def error(self, rule, *, fix=None):
        """A `DataError` with this record's location."""
        return DataError(rule, path=self.path, fix=fix, **{self.unit: self.number})


def read_records(spec, *, header=True):
    """Yields the records of a file or dataset, one at a time.

    Empty lines are skipped in `.csv`, in `.jsonl` and in `.tsv` with more than one
    column.

    Args:
        spec: Path, or `tfds:NAME[/config][:split]` (split defaults to `train`).
        header: Whether line 1 of a `.tsv` or `.csv` has the column names. If not,
            columns are named "1", "2", ...

    Raises:
        DataError: the file or a record is invalid; the message gives the location.
    """
    spec = os.path.expanduser(spec)
    if is_data_set(spec):
        from tfzoo.data import example_records

        return example_records.read_tfds(str(spec))
    kind = file_kind(spec)
    if kind == "tfrecord":
        from tfzoo.data import example_records

        return example_records.read_examples_file(spec)
    if kind == ".txt":
        return _text_records(spec)
    if kind == ".jsonl":
        return _json_records(spec)
    rows = _tab_rows(spec) if kind == ".tsv" else _csv_rows(spec)
    return _table_records(spec, rows, header)


def is_data_set(spec):
    """Whether it is `tfds:...`; any other colon is part of a file name."""
    return str(spec).startswith("tfds:")


def files_and_data_sets(specs):
    """Splits specs into (list of files, dict of `tfds:...` -> full name).

    Args:
        specs: As in `read_records`.

    Raises:
        DataError: a dataset does not exist.
    """
    names = {}
    for spec in filter(is_data_set, specs):
        from tfzoo.data.example_records import tfds_full_name

        names[str(spec)] = tfds_full_name(str(spec))
    files = [spec for spec in specs if not is_data_set(spec)]
    return [type(file)(os.path.expanduser(file)) for file in files], names


def source_names(specs):
    """The names of files without their directories, and datasets, for a model card."""
    names = [s if is_data_set(s) else pathlib.Path(s).name for s in map(str, specs)]
    return ", ".join(names)


def file_kind(path):
    """`.txt`, `.tsv`, `.csv`, `.jsonl` or `tfrecord`, from the name or the content."""
    path = pathlib.Path(path)
    name = path.name.lower().removesuffix(".gz")
    for suffix in TEXT_SUFFIXES:
        if name.endswith(suffix):
            return suffix
    if name.endswith((".tfrecord", ".tfrecords")) or "-of-" in name:
        return "tfrecord"
    from tfzoo.data.tfrecord_frames import begins_as_tfrecord

    if begins_as_tfrecord(path):
        return "tfrecord"
    raise DataError(
        "The file must be a TFRecord file, or its name must end in .txt, .tsv, .csv or "
        ".jsonl, optionally followed by .gz.",
        path=path,
    )


def _text_records(path):
    for number, line in read_lines(path):
        yield Record(("text",), (line,), str(path), number)


def _tab_rows(path):
    columns = None
    for number, line in read_lines(path):
        if line or columns == 1:
            row = line.split("\t")
            columns = columns or len(row)
            yield number, row


def _csv_rows(path):
    lines = (line for _, line in read_lines(path, keep_ends=True))
    reader = csv.reader(lines, strict=True)
    while True:
        number = reader.line_num + 1
        limit = csv.field_size_limit()  # of the whole process, so only for this row
        csv.field_size_limit(max(limit, MAX_FIELD_CHARACTERS))
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as e:
            reason = str(e)
            if "unexpected end" in reason or "field limit" in reason:
                reason += ": an opened quote must be closed"
            raise DataError(f"Not valid CSV: {reason}.", path=path, line=number) from e
        finally:
            csv.field_size_limit(limit)
        if row:
            yield number, row


def _table_records(path, rows, header):
    names = None
    for number, row in rows:
        if names is None:
            names = tuple(row) if header else tuple(map(str, range(1, len(row) + 1)))
            if header:
                continue
        if len(row) != len(names):
            raise DataError(
                f"Every record must have {len(names)} columns like the first one. "
                f"Received: {len(row)}.",
                path=path,
                line=number,
            )
        yield Record(names, tuple(row), str(path), number)


def _json_records(path):
    for number, line in read_lines(path):
        if line.strip():
            value = _parse_json(path, number, line)
            yield Record(
                tuple(value),
                tuple(value.values()),
                str(path),
                number,
                ordered=False,
            )


def _parse_json(path, number, line):
    try:
        value = json.loads(line, object_pairs_hook=_unique)
        if "\\u" in line:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as e:
        reason = f"{e.msg} at character {e.pos + 1}"
    except UnicodeEncodeError:
        reason = "an escape is half of a surrogate pair"
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as e:  # a duplicate key, or more digits than Python converts
        reason = str(e)
    else:
        if isinstance(value, dict):
            return value
        reason = f"a line must be a JSON object. Received: {type(value).__name__}"
    raise DataError(f"Not valid JSON: {reason}.", path=path, line=number)


def _unique(pairs):
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"duplicate key {twice!r}")
    return value
