"""Documents as lists of sentences."""

import gzip

import pytest

from tfzoo.data.documents import hold_out, read_documents, write_documents
from tfzoo.data.running_text import RunningText
from tfzoo.errors import DataError

BOOK = "It was late.\nShe went\nhome. Why?\n\n\nNobody knew.\n"


def test_documents_are_split_at_blank_lines_and_sentences_at_punctuation(tmp_path):
    (tmp_path / "book.txt").write_text(BOOK)
    with gzip.open(tmp_path / "more.txt.gz", "wt") as file:
        file.write("One more.")
    documents = read_documents([tmp_path / "book.txt", tmp_path / "more.txt.gz"])
    assert documents == [
        ["It was late.", "She went home.", "Why?"],
        ["Nobody knew."],
        ["One more."],
    ]


def test_one_in_ten_documents_is_held_out():
    documents = [[str(i)] for i in range(25)]
    train, held_out = hold_out(documents, 10)
    assert held_out == [["9"], ["19"]]
    assert sorted(train + held_out) == sorted(documents)


def test_the_end_of_each_of_a_few_documents_is_held_out():
    long, short = [str(i) for i in range(21)], ["a", "b"]
    train, held_out = hold_out([long, short, ["alone"]], 10)
    assert train == [long[:18], ["a"]] and held_out == [long[18:], ["b"]]


def test_a_text_too_short_to_hold_out_some_is_refused():
    with pytest.raises(DataError, match="Received: 2 of one sentence"):
        hold_out([["One."], ["Two."]], 10)


def test_written_documents_are_read_again_line_by_line(tmp_path):
    documents = [["One.", "Two"], ["Three!"]]
    write_documents(tmp_path / "text", corpus=documents, held_out=[["Four."]])
    (texts, numbers), *_ = RunningText([tmp_path / "text/corpus.txt"]).batches(
        progress=False
    )
    assert texts == ["One.", "Two", "Three!"]
    assert numbers[0] == numbers[1] != numbers[2]
    assert (tmp_path / "text/held_out.txt").read_text() == "Four.\n"
