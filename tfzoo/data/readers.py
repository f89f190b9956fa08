"""Reads files and datasets as records that know their location.

| name ends in             | a record is                                | columns      |
|--------------------------|--------------------------------------------|--------------|
| `.txt`                   | a line                                     | `text`       |
| `.tsv`                   | a line, separated by tabs, no quoting      | in line 1    |
| `.csv`                   | an RFC 4180 record; , or ; or tab          | in line 1    |
| `.jsonl`                 | a line with a JSON object                  | its keys     |
| `.json`                  | an element of an array of JSON objects     | its keys     |
| `.parquet`               | a row                                      | its columns  |
| `.tfrecord(s)`, `*-of-*` | a `tf.train.Example`                       | its features |

`tfds:NAME[/config][:split]` is a dataset of TensorFlow Datasets; in Python, a
`datasets.Dataset` is read, too. Text files are UTF-8, or UTF-16 with a byte order mark.
All files may be gzipped (`.txt.gz` and so on). Gzipped TFRecord files are recognized by
their content, and so are TFRecord files with other names.
"""

import dataclasses
import os
import pathlib
import re
import sys

from tfzoo.data import hugging_face
from tfzoo.data.json_objects import objects_of_array, objects_of_lines
from tfzoo.data.tables import comma_rows, tab_rows
from tfzoo.errors import DataError
from tfzoo.text.lines import SAVE_AS_CSV, read_lines

SUFFIXES = (".txt", ".tsv", ".csv", ".jsonl", ".json", ".parquet")
_SPREADSHEETS = (".xls", ".xlsx", ".xlsm", ".xlsb", ".ods", ".numbers")


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """A record and its location.

    Attributes:
        names: Column names; "1", "2", ... if the file has no header.
        values: The values, in the order of `names`: str, or any JSON or feature value.
        path: File, `tfds:...`, or "Dataset".
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
                (`.txt`, `.tsv`, `.csv`, `.parquet`). Names take precedence over
                numbers.

        Raises:
            DataError: there is no such column, or several have this name.
        """
        found = self.names.count(str(column))
        if found == 1:
            return self.values[self.names.index(str(column))]
        there = _listed(self.names)
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
        spec: Path; or `tfds:NAME[/config][:split]` (split defaults to `train`); or a
            Hugging Face `datasets.Dataset`.
        header: Whether line 1 of a `.tsv` or `.csv` has the column names. If not,
            columns are named "1", "2", ...

    Raises:
        DataError: the file or a record is invalid; the message gives the location.
    """
    hugging_face.refuse_splits_and_streams(spec)
    if hugging_face.is_table(spec):
        return _dataset_records(spec)
    spec = expanded(spec)
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
        return _object_records(spec, objects_of_lines(spec), "line")
    if kind == ".json":
        return _object_records(spec, objects_of_array(spec), "record")
    if kind == ".parquet":
        return _parquet_records(spec)
    return _table_records(spec, kind, header)


def is_data_set(spec):
    """Whether it is `tfds:...` or a `datasets.Dataset`, not a file."""
    return hugging_face.is_table(spec) or str(spec).startswith("tfds:")


def expanded(spec):
    """A file or dataset, with the home directory for a `~` at the start."""
    return spec if hugging_face.is_table(spec) else os.path.expanduser(spec)


def name_of(spec):
    """The name of a file or dataset, for messages."""
    return type(spec).__name__ if hugging_face.is_table(spec) else str(spec)


def files_and_data_sets(specs):
    """Splits specs into (list of files, dict of `tfds:...` -> full name).

    Args:
        specs: Paths, and `tfds:...`.

    Raises:
        DataError: a dataset does not exist.
    """
    names = {}
    for spec in filter(is_data_set, specs):
        from tfzoo.data.example_records import tfds_full_name

        names[str(spec)] = tfds_full_name(str(spec))
    files = [spec for spec in specs if not is_data_set(spec)]
    return [type(file)(os.path.expanduser(file)) for file in files], names


def file_kind(path):
    """The kind of a file, from its name, or from its content if it is a TFRecord file.

    Returns:
        `.txt`, `.tsv`, `.csv`, `.jsonl`, `.json`, `.parquet` or `tfrecord`.
    """
    path = pathlib.Path(path)
    name = path.name.lower().removesuffix(".gz")
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    if name.endswith((".tfrecord", ".tfrecords")) or "-of-" in name:
        return "tfrecord"
    from tfzoo.data.tfrecord_frames import begins_as_tfrecord

    if begins_as_tfrecord(path):
        return "tfrecord"
    if name.endswith(_SPREADSHEETS):
        rule = "The file must be text, such as .csv. Received: a spreadsheet."
        raise DataError(rule, path=path, fix=SAVE_AS_CSV)
    raise DataError(
        "The file must be a TFRecord file, or its name must end in "
        f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, optionally followed by .gz.",
        path=path,
    )


def tell_header(record, *columns):
    """Prints what was taken for column names, if all columns are given by number.

    Whoever gives numbers may have a file without such a line.

    Args:
        record: The first `Record` of a file that is read with a header.
        *columns: Names or numbers of columns, or None.
    """
    given = [str(column) for column in columns if column is not None]
    has_header = record.unit == "line" and record.ordered and record.names != ("text",)
    if has_header and all(column.isdecimal() for column in given):
        print(
            f"note: {record.path}: the first line is taken for the column names "
            f"{_listed(record.names)}. If it is data, use --no-header (header=False).",
            file=sys.stderr,
        )


def _text_records(path):
    for number, line in read_lines(path):
        yield Record(("text",), (line,), str(path), number)


def _table_records(path, kind, header):
    names = None
    for number, row in tab_rows(path) if kind == ".tsv" else comma_rows(path):
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
                fix="Quote the cells that contain a separator or a line break."
                if kind == ".csv"
                else "If cells are quoted, rename the file to end in .csv.",
            )
        yield Record(names, tuple(row), str(path), number)


def _object_records(path, objects, unit):
    for number, value in objects:
        names, values = tuple(value), tuple(value.values())
        yield Record(names, values, str(path), number, unit, ordered=False)


def _parquet_records(path):
    from tfzoo.data.parquet import parquet_rows

    for number, names, values in parquet_rows(path):
        yield Record(names, values, str(path), number, "record")


def _dataset_records(table):
    names, place = tuple(table.column_names), name_of(table)
    for number, values in enumerate(hugging_face.rows_of(table)):
        yield Record(names, values, place, number, "record", ordered=False)


def _listed(names):
    """Column names for error messages, of which long ones and many are cut."""
    some = ", ".join(
        f"{name[:40]}..." if name[40:] else name for name in map(repr, names[:20])
    )
    return (some + (", ..." if names[20:] else "")) or "none"
