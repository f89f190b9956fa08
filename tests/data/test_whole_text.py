"""A document is learned to the letter, and cut where its words are whole."""

import gzip
import json
import re

import hypothesis
import hypothesis.strategies as st
import pytest

from tfzoo.data import whole_text
from tfzoo.data.running_text import RunningText
from tfzoo.data.whole_text import TextList, WholeSentences, WholeText, pieces
from tfzoo.errors import DataError

# The parts of GPT-2's pattern that decide where words end, in the classes of `re`
WORDS = re.compile(r"'s| ?[^\W\d_]+| ?\d+| ?[^\s\w]+| ?_+|\s+(?!\S)|\s+")


def documents(text):
    """Document's number -> its text."""
    found = {}
    for parts, numbers in text.batches(progress=False):
        for part, number in zip(parts, numbers, strict=True):
            found[number] = found.get(number, "") + part
    return list(found.values())


def write(path, content):
    path.write_bytes(content.encode())
    return path


def test_a_text_file_is_one_verbatim_document(tmp_path):
    content = "  To be,\r\n\n\tor not  \n\x0c to be\u2028?\n\n"
    path = write(tmp_path / "a.txt", content)
    zipped = tmp_path / "b.txt.gz"
    zipped.write_bytes(gzip.compress(content.encode()))
    assert documents(WholeText([path, zipped])) == [content, content]


def test_lines_or_blank_lines_can_end_documents(tmp_path):
    path = write(tmp_path / "a.txt", "\na  b\n c \n\n \t\n\nd\n")
    assert documents(WholeText([path], "blank_line")) == ["a  b\n c ", "d"]
    lines = documents(WholeText([path], "record"))
    assert lines == ["a  b", " c ", " \t", "d"]


def test_records_are_documents_or_files_of_them_are(tmp_path):
    rows = [{"n": 0, "text": " one\ntwo "}, {"n": 1, "text": "three"}]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert documents(WholeText([path])) == [" one\ntwo ", "three"]
    assert documents(WholeText([path], "file")) == [" one\ntwo \nthree\n"]


def test_records_have_no_blank_lines(tmp_path):
    path = write(tmp_path / "a.jsonl", "{}")
    with pytest.raises(
        DataError, match="a.jsonl: .*blank_line.* is for \\.txt files only"
    ):
        WholeText([path], "blank_line")


def test_a_column_that_is_not_text_is_named_with_its_line(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"body": "x"}\n{"body": 3}')
    with pytest.raises(DataError, match="a.jsonl:2: Column 'body' must be text"):
        documents(WholeText([path], text_column="body"))


def test_invalid_utf8_is_an_error_in_files_and_replaced_in_lists(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"good\nb\xffd")
    with pytest.raises(DataError, match=r"a.txt:2: The text must be UTF-8.*0xff"):
        documents(WholeText([tmp_path / "a.txt"]))
    assert documents(TextList([b"b\xffd", "good"])) == ["b\ufffdd", "good"]


@pytest.mark.parametrize("wrong", [dict(paths=[]), dict(paths="a.txt")])
def test_no_files_are_refused(wrong):
    with pytest.raises(ValueError, match="paths must be a list of files"):
        WholeText(**wrong)


def test_an_unknown_ending_is_named():
    with pytest.raises(
        ValueError, match="documents must be one of .* Received: 'page'"
    ):
        WholeText(["a.txt"], "page")


@hypothesis.given(
    st.text(alphabet="ab1. \t\n\r\x0b\u2028\x1c's_", max_size=60), st.integers(1, 9)
)
def test_pieces_give_the_same_words_as_the_whole(text, size):
    usual, whole_text._PIECE = whole_text._PIECE, size
    try:
        cut = list(pieces(text.splitlines(keepends=True)))
    finally:
        whole_text._PIECE = usual
    assert "".join(cut) == text
    assert [w for piece in cut for w in WORDS.findall(piece)] == WORDS.findall(text)


def test_pieces_are_of_bounded_size_whatever_the_text(monkeypatch):
    assert max(map(len, pieces(["word\n"] * 10_000))) < 1 << 14
    monkeypatch.setattr(whole_text, "_LONGEST", 1 << 15)
    assert max(map(len, pieces(["\n"] * 100_000))) == 1 << 15


@pytest.mark.parametrize("reader", [WholeText, RunningText])
def test_the_first_row_of_a_table_without_a_header_is_a_text(tmp_path, capsys, reader):
    path = write(tmp_path / "a.csv", "one;x\ntwo, three;y\n")
    options = dict(text_column="1")
    assert documents(reader([path], **options)) == ["two, three"]
    assert capsys.readouterr().err.startswith(f"note: {path}: the first line is taken")
    text = reader([path], header=False, **options)
    assert documents(text) == ["one", "two, three"]
    assert capsys.readouterr().err == ""
    assert text.options != reader([path], **options).options


def sentences(path, *options):
    """(document's number, sentence) of each sentence."""
    batches = WholeSentences([path], *options).batches(progress=False)
    return [pair for texts, ids in batches for pair in zip(ids, texts, strict=True)]


def test_sentences_keep_the_whitespace_before_them(tmp_path):
    path = write(tmp_path / "a.txt", 'Go.  He said "no."\n\nMr. X left.\n')
    whole = [(0, "Go."), (0, '  He said "no."'), (0, "\n\nMr. X left.\n")]
    assert sentences(path) == whole
    assert sentences(path, "blank_line") == [
        (0, "Go."),
        (0, '  He said "no."'),
        (1, "Mr. X left."),
    ]
    assert WholeSentences([path]).options != WholeText([path]).options


@hypothesis.given(st.text("aB.!\n \"'", max_size=60))
def test_sentences_together_are_the_text_and_end_where_words_do(tmp_path, text):
    path = write(tmp_path / "a.txt", text + ".")
    found = [sentence for _, sentence in sentences(path)]
    assert "".join(found) == text + "."
    words = [word for sentence in found for word in WORDS.findall(sentence)]
    assert words == WORDS.findall(text + ".")
