"""Pairs of texts from parallel files and tables."""

import gzip
import json

import pyarrow
import pytest
from pyarrow import parquet

from tfzoo.data.text_pairs import TextPairs, read_pairs, read_parallel
from tfzoo.errors import DataError


@pytest.fixture
def write(tmp_path):
    def write(name, *lines):
        path, text = tmp_path / name, "\n".join(lines) + "\n"
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(text, encoding="utf-8")
        return path

    return write


def test_lines_of_the_same_number_are_a_pair(write):
    pairs = read_parallel(
        write("a.en", "one", " two "), write("a.de.gz", "eins", "zwei")
    )
    assert pairs.as_input() == {"source": ["one", " two "], "target": ["eins", "zwei"]}
    place = pairs.locations[1]
    assert (place.path.endswith("a.en"), place.number, len(pairs)) == (True, 2, 2)


def test_several_files_follow_each_other(write):
    sources = [write("1.en", "one"), str(write("2.en", "two", "three"))]
    targets = [write("1.de", "eins"), write("2.de", "zwei", "drei")]
    pairs = read_parallel(sources, targets)
    assert pairs.sources == ["one", "two", "three"]
    assert pairs.targets == ["eins", "zwei", "drei"]
    assert [place.number for place in pairs.locations] == [1, 1, 2]
    with pytest.raises(ValueError, match="as many source.*Received: 2 and 1"):
        read_parallel(sources, targets[0])


def test_different_numbers_of_lines_are_both_named(write):
    # Even if the files of a side have as many lines as those of the other side
    sources = [write("1.en", "one"), write("2.en", "two", "three")]
    targets = [write("1.de", "eins", "zwei"), write("2.de", "drei")]
    with pytest.raises(DataError) as error:
        read_parallel(sources, targets)
    assert str(error.value) == (
        f"{sources[0]}: Parallel files must have the same number of lines. Received: 1 "
        f"here and 2 in {targets[0]}."
    )


@pytest.mark.parametrize(
    ("source", "target", "side"), [("", "b", 0), ("a", " \t", 1), ("", "", 0)]
)
def test_an_empty_side_is_named_with_its_line(write, source, target, side):
    paths = write("a.en", "one", source), write("a.de", "eins", target)
    with pytest.raises(DataError, match="must have text") as error:
        read_parallel(*paths)
    assert (str(error.value.path), error.value.line) == (str(paths[side]), 2)


def test_a_table_is_no_parallel_file(write):
    with pytest.raises(DataError, match="one text per line"):
        read_parallel(write("a.csv", "one"), write("a.de", "eins"))


ROWS = [("one, two", "eins"), ("three", "drei")]


@pytest.mark.parametrize("kind", ["tsv", "csv.gz", "jsonl", "json", "parquet"])
def test_columns_of_a_table_are_the_sides(write, tmp_path, kind):
    named = [{"en": source, "de": target, "id": 3} for source, target in ROWS]
    lines = {
        "tsv": ["de\ten", *(f"{t}\t{s}" for s, t in ROWS)],
        "csv.gz": ["en,de", *(f'"{s}",{t}' for s, t in ROWS)],
        "jsonl": [*map(json.dumps, named)],
        "json": [json.dumps(named)],
    }
    if kind == "parquet":
        path = tmp_path / "a.parquet"
        parquet.write_table(pyarrow.Table.from_pylist(named), path)
    else:
        path = write(f"a.{kind}", *lines[kind])
    pairs = read_pairs(path, source_column="en", target_column="de")
    assert [*zip(pairs.sources, pairs.targets, strict=True)] == ROWS
    assert pairs.spec == str(path)
    with pytest.raises(DataError, match="must be one of .*Received: 'source'"):
        read_pairs(path)


def test_columns_may_have_numbers_instead_of_a_header(write, capsys):
    path = write("a.tsv", "one\teins", "two\tzwei")
    pairs = read_pairs(path, source_column=1, target_column=2, header=False)
    assert pairs.targets == ["eins", "zwei"]
    assert capsys.readouterr().err == ""
    assert read_pairs(path, source_column=1, target_column=2).targets == ["zwei"]
    assert "taken for the column names 'one', 'eins'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"source": "a", "target": " "}, "Column 'target' must have text"),
        ({"source": "", "target": ""}, "Column 'source' must have text"),
        ({"source": "a", "target": 3}, "Column 'target' must be text. Received: 3"),
        ({"source": "a"}, "must be one of 'source'. Received: 'target'"),
    ],
)
def test_a_wrong_side_of_a_table_is_named_with_its_line(write, row, message):
    good = {"source": "a", "target": "b"}
    path = write("a.jsonl", json.dumps(good), json.dumps(row))
    with pytest.raises(DataError, match=message) as error:
        read_pairs(path)
    assert (error.value.path, error.value.line) == (str(path), 2)


def test_a_table_without_rows_is_refused(write):
    path = write("a.tsv", "source\ttarget")
    with pytest.raises(DataError, match="at least one pair"):
        read_pairs(path)


def test_no_source_is_both_held_out_and_trained_on(capsys):
    sources = [str(i // 2) for i in range(100)]
    targets = [str(-i) for i in range(100)]
    pairs = TextPairs("pairs", sources, targets, [*range(100)])
    train, held_out = pairs.split_every(10, seed=1)
    assert {*train.sources}.isdisjoint(held_out.sources)
    assert len(held_out) == 10 and len(train) == 90
    for part in (train, held_out):
        assert part.sources == [sources[i] for i in part.locations]
        assert part.targets == [targets[i] for i in part.locations]
    assert "held out 10 of 100 pairs" in capsys.readouterr().out
    assert pairs.split_every(10, seed=1)[1] == held_out
    assert pairs.split_every(10, seed=2)[1] != held_out
    with pytest.raises(DataError, match="at least 101 examples.*Received: 100"):
        pairs.split_every(101)


def test_multi30k_has_the_pairs_of_its_documentation(shared_data):
    folder = shared_data / "multi30k"
    sides = [folder / f"val.{language}.gz" for language in ("en", "de")]
    pairs = read_parallel(*sides)
    assert len(pairs) == len(pairs.targets) == 1014
    assert pairs.sources[0].startswith("A group of men are loading cotton")
    assert "Baumwolle" in pairs.targets[0]
