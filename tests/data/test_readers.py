"""Records of text files, against Python's own modules and hand-written results."""

import csv
import gzip
import json
import pathlib
import sys

import pyarrow
import pyarrow.parquet
import pytest

from tfzoo.data.examples import read_examples
from tfzoo.data.readers import files_and_data_sets, is_data_set, read_records
from tfzoo.errors import DataError


def write(path, content):
    data = content.encode() if isinstance(content, str) else content
    if path.suffix == ".gz":
        data = gzip.compress(data)
    path.write_bytes(data)
    return path


def rows(path, **options):
    return [(r.number, *r.values) for r in read_records(path, **options)]


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_line_of_txt_is_a_record(tmp_path, ending):
    path = write(tmp_path / f"a.txt{ending}", "one\r\n\n  two\u2028x \n\x0cthree")
    expected = [(1, "one"), (2, ""), (3, "  two\u2028x "), (4, "\x0cthree")]
    assert rows(path) == expected
    assert {r.names for r in read_records(path)} == {("text",)}


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_tsv_has_no_quoting(tmp_path, ending):
    path = write(tmp_path / f"a.tsv{ending}", 'x\ty\n"a\t"b ""c\n\na b\t\n')
    assert rows(path) == [(2, '"a', '"b ""c'), (4, "a b", "")]
    first = next(read_records(path))
    assert first.fields == {"x": '"a', "y": '"b ""c'}
    assert rows(path, header=False)[0] == (1, "x", "y")


def test_an_empty_line_is_a_record_if_there_is_one_column(tmp_path):
    path = write(tmp_path / "a.tsv", "text\none\n\ntwo\n")
    assert rows(path) == [(2, "one"), (3, ""), (4, "two")]


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_csv_is_read_like_pythons_csv_module(tmp_path, ending):
    content = (
        "\ufefflabel,text\r\n"
        '1,"two\r\nlines, ""quoted"""\r\n'
        "2,plain\r\n"
        "\r\n"
        '3,"é, 力\n\n"\r\n'
        "4,"
    )
    path = write(tmp_path / f"a.csv{ending}", content)
    opened = gzip.open if ending else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        expected = [row for row in csv.DictReader(file) if row]
    found = list(read_records(path))
    assert [r.fields for r in found] == expected
    assert [r.number for r in found] == [2, 4, 6, 9]


def test_a_long_csv_field_is_read_and_csvs_own_limit_stays(tmp_path):
    path = write(tmp_path / "a.csv", "text\n" + "x" * 1_000_000 + "\n")
    limit = csv.field_size_limit()
    records = read_records(path)
    assert len(next(records).value("text")) == 1_000_000 > limit
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_jsonl_is_read_like_pythons_json_module(tmp_path, ending):
    objects = [{"text": "é\n", "label": 3}, {"label": None, "text": ["a", {"b": 1.5}]}]
    content = "\n\n".join(json.dumps(o) for o in objects)
    path = write(tmp_path / f"a.jsonl{ending}", content)
    found = list(read_records(path))
    assert [r.fields for r in found] == objects
    assert [r.number for r in found] == [1, 3]


def test_a_column_has_a_name_and_a_number(tmp_path):
    record = next(read_records(write(tmp_path / "a.tsv", "x\ty\t1\na\tb\tc\n")))
    assert record.value("y") == record.value(2) == record.value("2") == "b"
    assert record.value("1") == "c", "a name wins over a number"
    (tmp_path / "b.tsv").write_text("a\tb\n")
    record = next(read_records(tmp_path / "b.tsv", header=False))
    assert (record.value(1), record.value("2")) == ("a", "b")


@pytest.mark.parametrize("column", ["z", 0, 4, "4", "-1", "\u0661", "99999999999"])
def test_a_wrong_column_is_named_with_the_columns_there_are(tmp_path, column):
    path = write(tmp_path / "a.csv", "x,y,z z\n1,2,3\n")
    with pytest.raises(DataError) as error:
        next(read_records(path)).value(column)
    rule = f"The column must be one of 'x', 'y', 'z z'. Received: {column!r}."
    fix = "If line 1 is data, use --no-header (header=False) and column numbers."
    assert str(error.value) == f"{path}:2: {rule} {fix}"


@pytest.mark.parametrize(
    ("name", "content", "fix"),
    [
        ("a.tsv", "text;label\na;b\n", "Rename .* .csv, where semicolons separate"),
        ("a.tsv", "text,label\na,b\n", "Rename .* .csv, where commas separate"),
        ("a.csv", "text|label\na|b\n", "Separate the columns by tabs in a .tsv, or"),
    ],
)
def test_a_table_with_another_separator_is_told(tmp_path, name, content, fix):
    record = next(read_records(write(tmp_path / name, content)))
    with pytest.raises(DataError, match=fix):
        record.value("text")


def test_columns_without_names_have_numbers(tmp_path):
    path = write(tmp_path / "a.csv", "x,y\n")
    with pytest.raises(DataError, match="Give a column by its number, starting at 1"):
        next(read_records(path, header=False)).value("text")


@pytest.mark.parametrize(
    ("name", "fix"),
    [("a.csv.zip", "Unpack it"), ("https:/host/a.csv", "Download the file first")],
)
def test_a_file_that_must_be_fetched_or_unpacked_says_so(tmp_path, name, fix):
    (tmp_path / "a.csv.zip").write_bytes(b"PK")
    name = tmp_path / name if name.startswith("a") else name
    with pytest.raises(DataError, match=fix):
        next(read_records(name))


def test_ndjson_is_jsonl(tmp_path):
    path = write(tmp_path / "a.ndjson", '{"a": 1}\n{"a": 2}\n')
    assert [record.value("a") for record in read_records(path)] == [1, 2]


def test_keys_of_json_have_no_numbers(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"a": 1}')
    with pytest.raises(DataError, match=r"must be one of 'a'\. Received: 1\."):
        next(read_records(path)).value(1)


def test_a_duplicate_column_name_is_ambiguous(tmp_path):
    record = next(read_records(write(tmp_path / "a.csv", "x,x\n1,2\n")))
    assert record.value(2) == "2"
    with pytest.raises(
        DataError, match="must be unique. Received: 'x', which occurs 2 times"
    ):
        record.value("x")


BROKEN = {
    "empty.txt": (b"", None, "The file is empty"),
    "only_bom.tsv": (b"\xef\xbb\xbf", None, "The file is empty"),
    "latin.txt": (b"one\ntw\xe9\n", 2, "byte 0xe9 at byte 3"),
    "latin.csv": (b'x\n"a\nb\xff"\n', 3, "must be UTF-8"),
    "utf16.tsv": ("a\tb".encode("utf-16") + b"\n", 1, "truncated data at byte 7"),
    "gzip.txt": (gzip.compress(b"text"), 1, "rename the file to end in .gz"),
    "plain.txt.gz": (None, 1, "cannot be read from here on"),
    "ragged.tsv": (b"a\tb\n1\t2\n1\t2\t3\n", 3, "2 columns like the first one"),
    "ragged.csv": (b'a,b\n"1\n2",3\nx\n', 4, "Received: 1"),
    "open.csv": (b'a\n1\n"2\n3\n4\n', 3, "an opened quote must be closed"),
    "after.csv": (b'a\n"1\n" 2\n', 2, "Not valid CSV"),
    "bad.jsonl": (b'{"a": 1}\n{"a": }\n', 2, "at character 7"),
    "array.jsonl": (b"[1]\n", 1, "must be a JSON object. Received: list"),
    "twice.jsonl": (b'\n{"a": 1, "a": 2}\n', 2, "duplicate key 'a'"),
    "deep.jsonl": (b'{"a":' + b"[" * 100_000, 1, "nested too deeply"),
    "digits.jsonl": (b'{"a":' + b"9" * 5000 + b"}", 1, "Not valid JSON"),
    "half.jsonl": (b'{"a": "\\ud800"}', 1, "half of a surrogate pair"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_with_the_line(tmp_path, name):
    content, line, reason = BROKEN[name]
    path = tmp_path / name
    path.write_bytes(b"plain text" if content is None else content)
    with pytest.raises(DataError) as error:
        list(read_records(path))
    place = f"{path}: " if line is None else f"{path}:{line}: "
    assert str(error.value).startswith(place)
    assert reason in str(error.value)


@pytest.mark.parametrize("cut", [15, 200, -4])
def test_gzip_that_ends_early_is_named_with_the_line(tmp_path, cut):
    lines = b"".join(b"line %d, which is not so short\n" % i for i in range(1000))
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(lines)[:cut])
    with pytest.raises(DataError, match=rf"{path}:\d+: The file cannot be read"):
        list(read_records(path))


def test_damaged_gzip_is_an_error(tmp_path):
    data = bytearray(gzip.compress(bytes(range(65, 91)) * 1000))
    data[-6] ^= 1
    (tmp_path / "a.txt.gz").write_bytes(data)
    with pytest.raises(DataError, match="CRC check failed"):
        list(read_records(tmp_path / "a.txt.gz"))


def test_a_missing_file_a_directory_and_an_unknown_name_are_errors(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        list(read_records(tmp_path / "missing.txt"))
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(DataError, match="Received: a directory"):
        list(read_records(tmp_path / "d.csv"))
    (tmp_path / "a.dat").write_bytes(b"anything")
    with pytest.raises(DataError, match=r"must end in \.txt, \.tsv"):
        list(read_records(tmp_path / "a.dat"))


def test_a_file_without_permission_is_an_error(tmp_path, monkeypatch):
    path = write(tmp_path / "a.txt", "text")
    path.chmod(0)
    try:
        path.read_bytes()
    except PermissionError:
        pass
    else:  # the superuser reads everything
        import builtins

        def refuse(*_, **__):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        list(read_records(path))


def test_a_line_without_end_is_refused_before_it_fills_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("tfzoo.text.lines.MAX_LINE_BYTES", 1000)
    path = write(tmp_path / "a.txt", "ok\n" + "x" * 1001)
    with pytest.raises(DataError, match=r"a\.txt:2: A line must be at most 1000"):
        list(read_records(path))


def test_real_files_are_read_to_their_ends(shared_data):
    counts = {
        "sst2/dev.tsv": ("content", 872),
        "mrpc/msr-para-val.tsv.gz": ("Quality", 500),
        "crows_pairs/crows_pairs_anonymized.csv.gz": ("sent_more", 1508),
        "scitldr/dev.jsonl.gz": ("source", 619),
    }
    for name, (column, count) in counts.items():
        values = [r.value(column) for r in read_records(shared_data / name)]
        assert len(values) == count, name


def test_only_the_prefix_makes_a_path_with_a_colon_a_dataset():
    paths = ["a:b.txt", "12:30/c.tsv", pathlib.Path("x:tfds:y.txt"), "TFDS:a", "tfds"]
    assert files_and_data_sets(paths) == (paths, {})
    assert not any(map(is_data_set, paths))
    assert is_data_set("tfds:a") and is_data_set(pathlib.Path("tfds:a/b:test"))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = write(tmp_path / "a.parquet", "anything")
    with pytest.raises(DataError, match="pip install pyarrow") as error:
        list(read_records(path))
    assert str(error.value).startswith(f"{path}: Parquet files require pyarrow")


def test_columns_of_parquet_have_names_and_numbers(tmp_path):
    pyarrow.parquet.write_table(
        pyarrow.table([[1, 2], ["a", "b"]], names=["x", "text"]), tmp_path / "a.parquet"
    )
    first, second = read_records(tmp_path / "a.parquet")
    assert first.fields == {"x": 1, "text": "a"}
    assert second.value(2) == second.value("text") == "b"
    assert (second.number, second.unit) == (1, "record")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_columns_given_by_number_tell_which_line_was_taken_for_names(
    tmp_path, capsys, name
):
    separator = "," if name == "a.csv" else "\t"
    path = write(tmp_path / name, f"Hi{separator}ham\nFree!{separator}spam\n")
    read_examples(path, text_column="1", label_column=2)
    assert capsys.readouterr().err == (
        f"note: {path}: the first line is taken for the column names 'Hi', 'ham'. If "
        "it is data, use --no-header (header=False).\n"
    )
    read_examples(path, text_column="1", label_column=2, header=False)
    read_examples(path, text_column="Hi", label_column=2)
    assert capsys.readouterr().err == ""
