"""Odd tables and paths give the right rows, or one line that says what to do."""

import pytest

from odd_tables import (
    PATHS,
    REFUSED,
    TABLES,
    WITHOUT_HEADER,
    content_and_rows,
    refused_path,
    table,
)
from tfzoo.data.examples import read_examples
from tfzoo.errors import DataError


@pytest.mark.parametrize("name", TABLES)
def test_an_odd_table_gives_the_right_rows(tmp_path, capsys, name):
    content, rows = content_and_rows(TABLES[name])
    path = table(tmp_path, name, content)
    found = read_examples(path, text_column="text", label_column="label")
    assert [*zip(found.texts, found.labels, strict=True)] == rows
    assert len(rows) >= 2 and capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", WITHOUT_HEADER)
def test_a_table_without_a_header_gives_all_rows(tmp_path, name):
    content, rows = WITHOUT_HEADER[name]
    path = table(tmp_path, name, content)
    found = read_examples(path, text_column=1, label_column="2", header=False)
    assert [*zip(found.texts, found.labels, strict=True)] == rows


@pytest.fixture(params=[*REFUSED, *PATHS])
def refused(request, tmp_path):
    """A path, and what the line must say."""
    if request.param in PATHS:
        return refused_path(tmp_path, request.param)
    content, says = REFUSED[request.param]
    return table(tmp_path, request.param, content), f"{request.param}({says})"


def test_another_table_is_refused_in_one_line(refused):
    path, says = refused
    with pytest.raises(DataError, match=says) as error:
        read_examples(path, text_column="text", label_column="label")
    assert "\n" not in str(error.value) and len(str(error.value)) < 2000


def options(path, text="text", label="label"):
    """Arguments with which `finetune_classifier` only lacks a tokenizer."""
    return [
        *("--train", path, "--validation", path, "--preset", "bert_tiny"),
        *("--text-column", text, "--label-column", label, "--output", "no_output"),
    ]


def test_the_command_refuses_it_in_one_line(refused, command):
    path, says = refused
    result = command("finetune_classifier", *options(path))
    assert result.returncode == 1, result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")


@pytest.mark.parametrize("name", [*TABLES, *WITHOUT_HEADER])
def test_the_command_reads_the_others(tmp_path, command, name):
    if name in WITHOUT_HEADER:
        path = table(tmp_path, name, WITHOUT_HEADER[name][0])
        arguments = [*options(path, 1, 2), "--no-header"]
    else:
        path = table(tmp_path, name, content_and_rows(TABLES[name])[0])
        arguments = options(path)
    result = command("finetune_classifier", *arguments)
    assert result.returncode == 2, result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: --tokenizer must be given")
