"""Reads files and datasets as records that know their location.

| name ends in             | a record is                                | columns      |
|--------------------------|--------------------------------------------|--------------|
| `.txt`                   | a line                                     | `text`       |
| `.tsv`                   | a line, separated by tabs, no quoting      | in line 1    |
| `.csv`                   | an RFC 4180 record; , or ; or tab          | in line 1    |
| `.jsonl`, `.ndjson`      | a line with a JSON object                  | its keys     |
| `.json`                  | an element of an array of JSON objects     | its keys     |
| `.parquet`               | a row                                      | its columns  |
| `.tfrecord(s)`, `*-of-*` | a `tf.train.Example`                       | its features |

`tfds:NAME[/config][:split]` is a dataset of TensorFlow Datasets; in Python, a
`datasets.Dataset` is read, too. Text files are UTF-8, or UTF-16 with a byte order mark.
All files may be gzipped (`.txt.gz` and so on). Gzipped TFRecord files are recognized by
their content, and so are TFRecord files with other names.
"""

import os
import pathlib

from tfzoo.data import hugging_face
from tfzoo.data.json_objects import objects_of_array, objects_of_lines
from tfzoo.data.records import Record
from tfzoo.data.tables import comma_rows, tab_rows
from tfzoo.errors import DataError
from tfzoo.text.lines import SAVE_AS_CSV, read_lines

SUFFIXES = (".txt", ".tsv", ".csv", ".jsonl", ".json", ".parquet")
_ARCHIVES = (".zip", ".bz2", ".xz", ".zst", ".7z", ".tar", ".tgz")
_SPREADSHEETS = (".xls", ".xlsx", ".xlsm", ".xlsb", ".ods", ".numbers")


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


def source_names(specs):
    """The names of files without their directories, and datasets, for a model card."""
    names = [s if is_data_set(s) else pathlib.Path(s).name for s in map(name_of, specs)]
    return ", ".join(names)


def file_kind(path):
    """The kind of a file, from its name, or from its content if it is a TFRecord file.

    Returns:
        `.txt`, `.tsv`, `.csv`, `.jsonl`, `.json`, `.parquet` or `tfrecord`.
    """
    path = pathlib.Path(path)
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".ndjson"):
        return ".jsonl"
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
        fix="Unpack it." if name.endswith(_ARCHIVES) else None,
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
