"""Reads of untrusted files are bounded."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfzoo import files
from tfzoo.errors import OutputError, TfzooError


def test_a_file_may_have_at_most_limit_bytes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert files.read_bytes(path, 5) == b"12345"
    with pytest.raises(TfzooError, match="a: The file must have at most 4 bytes"):
        files.read_bytes(path, 4)


def write(path, error):
    with files.written_beside(path):
        raise error


def test_only_errors_of_writing_are_errors_of_the_output(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OutputError, match="out: Cannot write the output: No space"):
        write(tmp_path / "out", full)
    for other in (ConnectionResetError("reset"), TimeoutError(), OSError("no number")):
        with pytest.raises(type(other)) as caught:
            write(tmp_path / "out", other)
        assert caught.value is other
    assert not list(tmp_path.iterdir())


NO_NAMES = ["a" * 300, "a" * 5000, "a\0b", "\ud800", "loop", "file/below", "nothing"]


@pytest.mark.parametrize("name", NO_NAMES, ids=range(len(NO_NAMES)))
def test_a_path_that_no_file_can_have_is_one_line(tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    with pytest.raises(TfzooError) as error:
        files.readable_file(tmp_path / name)
    message = str(error.value)
    assert message.startswith(str(tmp_path)) and len(message) < 500
    assert "\n" not in message and message.isprintable()


def test_a_name_that_is_not_utf_8_is_read_and_written(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.json")
    value = {"path": str(path), "caf\udce9": ["\\\udcff", "\u00e9"]}
    files.write_sealed_json(path, value)
    assert files.read_sealed_json(path) == value
    with pytest.raises(TfzooError, match=r"caf\\udce9.json: The file must have at"):
        files.read_bytes(path, 4)


@given(value=st.recursive(st.text(st.characters(codec=None)), st.lists))
def test_any_strings_are_read_back_as_they_were_written(tmp_path, value):
    path = tmp_path / "a.json"
    files.write_json(path, {"value": value})
    assert files.read_json(path) == {"value": joined(value)}


def joined(value):
    """The value with pairs of surrogates as the characters that they encode in JSON."""
    if isinstance(value, list):
        return [joined(part) for part in value]
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
