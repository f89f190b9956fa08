"""Messages are one line of printable characters, whatever is named in them."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.errors import (
    CheckpointError,
    DataError,
    TfzooError,
    about,
    printable,
    refuse_unknown,
    shown,
)

# Newline, ESC, NEL, separators of lines and paragraphs, overrides and isolates of the
# direction, and a byte that is not UTF-8, as in a file name
HOSTILE = ["\n", "\r", "\0", "\x1b[2J", "\x7f", "\x85", "\x9b", "\u2028", "\u2029"]
HOSTILE += [*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", "\udcff"]
names = st.text(st.characters(codec=None), max_size=400) | st.sampled_from(HOSTILE)


def controls(text):
    """The characters of a text that a terminal obeys or cannot print."""
    kinds = ("Cc", "Cs", "Zl", "Zp")
    return [
        c
        for c in text
        if unicodedata.category(c) in kinds
        or unicodedata.bidirectional(c) in ("LRE", "RLE", "PDF", "LRO", "RLO")
        or unicodedata.bidirectional(c) in ("LRI", "RLI", "FSI", "PDI")
    ]


@pytest.mark.parametrize("character", HOSTILE)
@pytest.mark.parametrize("place", ["path", "tensor", "rule", "fix"])
def test_a_control_character_is_escaped_wherever_it_is(character, place):
    error = TfzooError(**{"rule": "A rule.", place: f"a{character}b"})
    assert not controls(str(error))
    assert character in getattr(error, place)  # only the message is escaped


@given(path=names, tensor=names, rule=names, fix=names)
def test_a_message_is_one_line_of_bounded_length(path, tensor, rule, fix):
    message = str(DataError(rule * 9, path=path * 9, line=3, tensor=tensor, fix=fix))
    assert not controls(message)
    assert len(message) < 2000
    message.encode("utf-8")


def test_the_ends_of_a_long_name_stay():
    error = CheckpointError(
        "A rule.", path=f"/{'d' * 5000}/mail.tsv", tensor="t" * 5000
    )
    assert len(str(error)) < 500
    assert "mail.tsv: ttt" in str(error) and str(error).startswith("/ddd")


def test_an_ordinary_name_is_as_it_is():
    path = "/home/Zoë/  two spaces/Übung 第一 \U0001f469\u200d\U0001f52c.tsv"
    assert str(DataError("A rule.", path=path, line=2)) == f"{path}:2: A rule."
    assert printable("a\u00a0b") == "a\u00a0b"


@given(text=names)
def test_printable_text_is_as_it_was_and_stays_as_it_is(text):
    once = printable(text)
    assert printable(once) == once
    assert once == text or controls(text)
    assert len(printable(text, 80)) <= 80


def test_line_feeds_and_tabs_can_stay():
    assert printable("a\tb\nc\rd", lines=True) == "a\tb\nc\\rd"


@given(value=names | st.lists(names) | st.dictionaries(names, names))
def test_a_shown_value_is_short_and_printable(value):
    assert len(shown(value)) <= 80 and not controls(shown(value))


def test_an_error_without_a_place_gets_that_of_its_block():
    with pytest.raises(DataError, match="^mail.tsv: A rule. A fix.$"):
        with about("mail.tsv"):
            raise DataError("A rule.", fix="A fix.")
    with pytest.raises(DataError, match="^b.tsv:3: A rule.$"):
        with about("a.tsv"):
            raise DataError("A rule.", path="b.tsv", line=3)


def test_a_value_error_becomes_one_of_the_file_only_if_the_file_has_the_values():
    with pytest.raises(CheckpointError, match="^config.json: x must be 1$"):
        with about("config.json", CheckpointError):
            raise ValueError("x must be 1")
    with pytest.raises(ValueError, match="^x must be 1$"):
        with about("config.json"):
            raise ValueError("x must be 1")


def test_the_beginning_of_an_arguments_name_suggests_it():
    with pytest.raises(TypeError, match=r"'stop'. Did you mean stop_strings\?"):
        refuse_unknown("generate", ["stop"], ["seed", "stop_strings", "top_k"])
    with pytest.raises(TypeError) as error:
        refuse_unknown("f", ["\x1b" * 5000], ["a"])
    assert len(str(error.value)) < 200 and not controls(str(error.value))
