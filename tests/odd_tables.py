"""Odd tables and paths, with their rows or what an error says about them.

The rows are those of Python's `csv` and `json` and of pyarrow.
"""

import codecs
import csv
import gzip
import io
import json
import os

import pyarrow
import pyarrow.parquet

PLAIN = "text,label\nAn offer!,spam\nLunch?,ham\n"
ROWS = [
    {"text": "An offer!", "label": "spam"},
    {"text": "Lunch?\u2028", "label": "ham"},
]
GURMUKHI = "text,label\n\u0a0a\u0a00\u000b\u0a0d,spam\n\u0d0a\u000d\u0a0a,ham\n"


def quoted(*cells, separator=","):
    """A table in which every cell is quoted."""
    file = io.StringIO()
    rows = [("text", "label"), *cells]
    csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL).writerows(rows)
    return file.getvalue()


def by_csv(text, **dialect):
    """The texts and labels that Python's `csv` finds in a table."""
    dialect = {"delimiter": ",", "strict": True, **dialect}
    limit = csv.field_size_limit(1 << 24)
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), **dialect) if row]
    csv.field_size_limit(limit)
    text, label = map(rows[0].index, ("text", "label"))
    return [(row[text], row[label]) for row in rows[1:]]


def by_json(rows):
    return [(row["text"], row["label"]) for row in rows]


def parquet(columns, metadata=None):
    """The bytes of a Parquet file."""
    table = pyarrow.table(columns).replace_schema_metadata(metadata)
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file, row_group_size=1)
    return file.getvalue()


COLUMNS = {name: [row[name] for row in ROWS] for name in ("text", "label")}
FEATURES = {"label": {"names": ["ham", "spam"], "_type": "ClassLabel"}}
NAMED = {"huggingface": json.dumps({"info": {"features": FEATURES}})}
SEMICOLONS = "text;label\nHi, you;spam\nLunch, now?;ham\n"
TABS = "text\tlabel\nHi, you; there\tspam\nLunch\tham\n"
NESTED = [{"more": [{"a": [1, {}]}], **row} for row in ROWS]
BREAKS = ("two\nlines\r\nand\rthree", "spam"), ('say "hi", twice', "ham")

# File name -> (content, texts and labels), or a str, which Python's `csv` reads
TABLES = {
    "plain.csv": PLAIN,
    "end_is_missing.csv": PLAIN.rstrip(),
    "empty_lines.csv": "\n\r\n" + PLAIN.replace("\n", "\n\n"),
    "crlf.csv": PLAIN.replace("\n", "\r\n"),
    "crcrlf.csv": PLAIN.replace("\n", "\r\r\n"),
    "UPPER.CSV": PLAIN,
    "m\u00e4il 1:2,3;4.csv": PLAIN,
    "-of-.csv": PLAIN,
    "more_columns.csv": "id,label,,text\n1,spam,,x\n2,ham,y,\n",
    "quoted.csv": quoted(*BREAKS),
    "quotes_inside.csv": 'text,label\n5" disk,spam\nsay ""hi"",ham\n',
    "nul.csv": "text,label\na\0b,spam\nc,ham\n",
    "no_line_ends.csv": quoted(("a\u2028b\x85c\x0cd\x1ce", "spam"), ("\x0b", "ham")),
    "long.csv": quoted(("x" * 5_000_000, "spam"), ("y\n" * 50_000, "ham")),
    "name_of_two_lines.csv": '"a\nb",text,label\n1,x,spam\n2,y,ham\n',
    "semicolons_in_quotes.csv": 'text,label,"a; b"\nx;y,spam,1\nz,ham,2\n',
    "semicolons.csv": (SEMICOLONS, by_csv(SEMICOLONS, delimiter=";")),
    "quoted_semicolons.csv": (
        quoted(*BREAKS, separator=";"),
        by_csv(quoted(*BREAKS, separator=";"), delimiter=";"),
    ),
    "commas_in_quotes.csv": (
        'text;"a, ""b"", c";label\nx;1,2;spam\ny;3;ham\n',
        [("x", "spam"), ("y", "ham")],
    ),
    "tabs.csv": (TABS, by_csv(TABS, delimiter="\t")),
    "declared.csv": ("sep=;\r\n" + SEMICOLONS, by_csv(SEMICOLONS, delimiter=";")),
    "declared_of_both.csv": (
        "sep=,\ntext,label,a;b\nx,spam,1\ny,ham,2\n",
        [("x", "spam"), ("y", "ham")],
    ),
    "mark.csv": (PLAIN.encode("utf-8-sig"), by_csv(PLAIN)),
    "mark_and_quote.csv": (quoted(*BREAKS).encode("utf-8-sig"), [*BREAKS]),
    "utf16.csv": (PLAIN.encode("utf-16"), by_csv(PLAIN)),
    "utf16_big.csv": (
        codecs.BOM_UTF16_BE + GURMUKHI.replace("\r", "").encode("utf-16-be"),
        by_csv(GURMUKHI.replace("\r", "")),
    ),
    "utf16_little.csv": (
        codecs.BOM_UTF16_LE + GURMUKHI.replace("\r", "").encode("utf-16-le"),
        by_csv(GURMUKHI.replace("\r", "")),
    ),
    "utf16_declared.csv": (
        ("sep=;\n" + SEMICOLONS).encode("utf-16"),
        by_csv(SEMICOLONS, delimiter=";"),
    ),
    "packed.csv.gz": (gzip.compress(PLAIN.encode()), by_csv(PLAIN)),
    "PACKED.CSV.GZ": (gzip.compress(PLAIN.encode("utf-16")), by_csv(PLAIN)),
    "packed_in_parts.csv.gz": (
        gzip.compress(PLAIN[:9].encode()) + gzip.compress(PLAIN[9:].encode()),
        by_csv(PLAIN),
    ),
    "tabs.tsv": (TABS, by_csv(TABS, delimiter="\t", quoting=csv.QUOTE_NONE)),
    "literal_quotes.tsv": (
        'text\tlabel\n"a\tspam\nb"" "\tham\n',
        [('"a', "spam"), ('b"" "', "ham")],
    ),
    "empty_cell.tsv": ("text\tlabel\n\tspam\n\nx\tham", [("", "spam"), ("x", "ham")]),
    "utf16.tsv": (TABS.encode("utf-16"), by_csv(TABS, delimiter="\t")),
    "lines.jsonl": ("\n\n".join(map(json.dumps, NESTED)), by_json(ROWS)),
    "mark.jsonl": (
        "\n".join(map(json.dumps, ROWS)).encode("utf-8-sig"),
        by_json(ROWS),
    ),
    "utf16.jsonl": ("\n".join(map(json.dumps, ROWS)).encode("utf-16"), by_json(ROWS)),
    "one_line.json": (json.dumps(NESTED), by_json(ROWS)),
    "indented.json": (json.dumps(NESTED, indent=2), by_json(ROWS)),
    "crlf.json": (json.dumps(NESTED, indent=1).replace("\n", "\r\n"), by_json(ROWS)),
    "unescaped.json": (json.dumps(ROWS, indent=1, ensure_ascii=False), by_json(ROWS)),
    "line_each.json": (
        "\n[\n" + "\n,\n".join(map(json.dumps, ROWS)) + "\n]\n\n",
        by_json(ROWS),
    ),
    "many.json": (json.dumps(ROWS * 999, indent=1), by_json(ROWS * 999)),
    "utf16.json": (json.dumps(ROWS, indent=1).encode("utf-16"), by_json(ROWS)),
    "packed.json.gz": (gzip.compress(json.dumps(ROWS).encode()), by_json(ROWS)),
    "rows.parquet": (parquet(COLUMNS), by_json(ROWS)),
    "packed.parquet.gz": (gzip.compress(parquet(COLUMNS)), by_json(ROWS)),
    "categories.parquet": (
        parquet({n: pyarrow.array(c).dictionary_encode() for n, c in COLUMNS.items()}),
        by_json(ROWS),
    ),
    "class_labels.parquet": (
        parquet({**COLUMNS, "label": [1, 0]}, NAMED),
        by_json(ROWS),
    ),
    "numbers.parquet": (
        parquet({**COLUMNS, "label": [1, 0], "more": [None, {"a": b"\xff"}]}),
        [(row["text"], str(i)) for row, i in zip(ROWS, (1, 0), strict=True)],
    ),
}
WITHOUT_HEADER = {
    "rows.csv": ("x,spam\ny,ham\n", [("x", "spam"), ("y", "ham")]),
    "semicolon_rows.csv": ("x;spam\ny, z;ham\n", [("x", "spam"), ("y, z", "ham")]),
    "sep.csv": (
        "sep=,\nx; y,spam\ny,ham\n",
        [("x; y", "spam"), ("y", "ham")],
    ),
    "quoted_rows.csv": (quoted(*BREAKS), [("text", "label"), *BREAKS]),
    "utf16_rows.tsv": (
        "x\tspam\ny\tham".encode("utf-16"),
        [("x", "spam"), ("y", "ham")],
    ),
}


ARRAY = json.dumps(ROWS)
EXCEL = 'Save each sheet as "CSV UTF-8"'

# File name -> (content, what the line says after the file's name)
REFUSED = {
    "both.csv": ("a;text,label\nx,spam\n", ":1: .* Received: a comma and a semicolon"),
    "all.csv": ("\na\t;text,label\n", ":2: .*a tab and a comma and a semicolon.*sep="),
    "old_mac.csv": (PLAIN.replace("\n", "\r"), ":1: .*only carriage returns.* tr "),
    "old_mac.tsv": (TABS.replace("\n", "\r"), ":1: .*only carriage returns"),
    "old_mac.jsonl": ('{"a": 1}\r{"a": 2}', ":1: .*only carriage returns"),
    "old_mac_16.csv": (PLAIN.replace("\n", "\r").encode("utf-16"), ":1: .* old Mac"),
    "return.csv": (PLAIN + "a\rb,ham\n", ":4: .*a carriage return outside quotes"),
    "open.csv": (PLAIN + '"a,b\nc\n', ":4: .*an opened quote must be closed"),
    "open_header.csv": ('"text,label\nx,y\n', ":1: .*an opened quote must be closed"),
    "after_quote.csv": (PLAIN + '"a"b,ham\n', ":4: Not valid CSV: ',' expected"),
    "too_long.csv": (quoted(("x" * (17 << 20), "ham")), ":2: .*at most 16777216 char"),
    "ragged.csv": (PLAIN + "a,b,ham\n", ":4: .*2 columns .*Received: 3. Quote the"),
    "ragged.tsv": ('text\tlabel\n"a\nb"\tc\n', ":2: .*Received: 1.* end in .csv"),
    "latin.csv": (PLAIN.encode() + b"caf\xe9,ham", ":4: .*byte 0xe9 at .*CSV UTF-8"),
    "utf32.csv": (PLAIN.encode("utf-32"), ":1: .*Received: UTF-32. Save it as UTF-8"),
    "bare.csv": (PLAIN.encode("utf-16-le"), ":1: .*UTF-16 without one"),
    "bare_big.tsv": (TABS.encode("utf-16-be"), ":1: .*UTF-16 without one"),
    "cut_16.csv": (PLAIN.encode("utf-16") + b"x", ":4: .*truncated data at byte 1"),
    "half_16.csv": (PLAIN.encode("utf-16") + b"\0\xdc", ":4: .*UTF-16.*at byte 1"),
    "empty.csv": ("", ": The file is empty"),
    "empty.jsonl": ("", ": The file is empty"),
    "empty.json": ("", ": The file is empty"),
    "empty.csv.gz": (gzip.compress(b""), ": The file is empty"),
    "mark.csv": (codecs.BOM_UTF8, ": The file is empty"),
    "mark_16.csv": (codecs.BOM_UTF16_LE, ": The file is empty"),
    "only_lines.csv": ("\n\r\n\n", ": There must be at least one example"),
    "only_header.csv": ("text,label\n", ": There must be at least one example"),
    "no_elements.json": (" [ ] ", ": There must be at least one example"),
    "twice.csv": ("text,text,label\na,b,ham\n", ":2: .*must be unique.* 2 times"),
    "other_name.csv": ("Text,label\na,b\n", ":2: .*must be one of 'Text', 'label'"),
    "no_label.csv": ("text,label\na, \n", ":2: .*must not be empty or NaN"),
    "long_names.csv": (
        ",".join(["x" * 9999] * 99) + "\n" + "," * 98,
        r":2: .{9,1100}, \.\.\.\. Received: 'text'\.",
    ),
    "book.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", f": .*a spreadsheet. {EXCEL}"),
    "book.xlsx": (b"PK\x03\x04\x14\0", f": .*Received: a spreadsheet. {EXCEL}"),
    "book.ods": (b"PK\x03\x04\x14\0", f": .*Received: a spreadsheet. {EXCEL}"),
    "renamed_xlsx.csv": (b"PK\x03\x04\x14\0", f":1: .*binary.*Excel file. {EXCEL}"),
    "renamed_xls.tsv": (b"\xd0\xcf\x11\xe0\xa1", f":1: .*binary.*Excel file. {EXCEL}"),
    "renamed_parquet.csv": (parquet(COLUMNS), ":1: .*binary.*to end in .parquet"),
    "renamed_gzip.csv": (gzip.compress(b"a"), ":1: .*binary.*to end in .gz"),
    "renamed.csv.gz": (PLAIN, ":1: .*Not a gzipped file.*without .gz"),
    "cut.csv.gz": (gzip.compress(PLAIN.encode())[:-9], ":3: .*cannot be read from"),
    "cut.json.gz": (gzip.compress(ARRAY.encode())[:-9], ":1: .*cannot be read from"),
    "cut.parquet": (parquet(COLUMNS)[:-9], ": record 0: The Parquet file cannot be"),
    "cut.parquet.gz": (
        gzip.compress(parquet(COLUMNS))[:-9],
        ": record 0: .*Compressed",
    ),
    "renamed.parquet": (PLAIN, ": record 0: The Parquet file cannot be read"),
    "empty.parquet": ("", ": record 0: The Parquet file cannot be read"),
    "missing.parquet": (
        parquet({**COLUMNS, "text": ["a", None]}),
        ": record 1: Column 'text' must be text. Received: None",
    ),
    "bytes.parquet": (
        parquet({**COLUMNS, "text": [b"a", b"b"]}),
        ": record 0: Column 'text' must be text. Received: b'a'",
    ),
    "object.json": ('{"data": []}', ":1: .*array of objects.*to end in .jsonl"),
    "lines.json": ("\n" + "\n".join(map(json.dumps, ROWS)), ":2: .*to end in .jsonl"),
    "array.jsonl": (ARRAY, ":1: .*Received: list.*to end in .json"),
    "indented.jsonl": (json.dumps(ROWS, indent=1), ":1: .*to end in .json"),
    "arrays.json": (ARRAY[:-1] + ",[1]]", ":1: record 2: Every element must be a JSON"),
    "text.json": ("text", ":1: .*array of objects.* Received: 'text'"),
    "cut.json": (ARRAY[:-3], ":1: record 1: Not valid JSON"),
    "cut_lines.json": (json.dumps(ROWS, indent=1)[:-3], ":9: record 1: Not valid JSON"),
    "not_closed.json": (ARRAY[:-1], ":1: .*followed by , or ].*the end of the file"),
    "comma.json": (ARRAY[:-1] + ",\n]", ":2: record 2: Every element .*: ']'"),
    "no_comma.json": (ARRAY[:-1] + "\n{}]", ":2: .*followed by , or ]. Received: '{}]"),
    "more.json": (ARRAY + "\n\n[]", r":3: .*must end the file. Received: '\[\]'"),
    "same_key.json": (ARRAY[:-1] + ',\n{"a":1,"a":2}]', ":2: record 2: .*key 'a'"),
    "deep.json": (ARRAY[:-1] + ',{"a":' + "[" * 99999, ":1: record 2: .*too deeply"),
    "half.json": (ARRAY[:-1] + ',\n{"a":"\\ud800"}]', ":2: record 2: .*surrogate pair"),
    "digits.json": (
        ARRAY[:-1] + ',{"a":' + "9" * 5000 + "}]",
        ":1: record 2: .*digits",
    ),
    "null.json": ('[{"text": null, "label": 1}]', ": record 0: .*Received: None"),
    "table.dat": (PLAIN, ": The file must be a TFRecord file, or its name must end in"),
}


def table(folder, name, content):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def content_and_rows(case):
    return (case, by_csv(case)) if isinstance(case, str) else case


def refused_path(folder, name):
    """A path that is no table, and what the line says."""
    if name == "absent":
        return folder / "absent.csv", "absent.csv: The file does not exist"
    if name == "absent spreadsheet":
        return folder / "absent.xlsx", "absent.xlsx: The file does not exist"
    if name == "directory":
        return folder, ": The path must be a file. Received: a directory"
    if name == "empty":
        return "", "The path must be a file. Received: a directory"
    if name == "below a file":
        table(folder, "a.csv", PLAIN)
        return folder / "a.csv" / "b.csv", "b.csv: The file cannot be read: Not a dir"
    if name == "tfds":
        return "tfds:", "tfds:: Must have the form tfds:NAME"
    path = folder / "odd.csv"
    if name == "pipe":
        os.mkfifo(path)
        return path, "odd.csv: The path must be a regular file"
    path.symlink_to({"loop": path, "dangling link": folder / "absent"}[name])
    return path, "odd.csv: The file (cannot be read: Too many|does not exist)"


PATHS = ["absent", "absent spreadsheet", "directory", "empty", "below a file", "tfds"]
PATHS += ["pipe", "loop", "dangling link"]
