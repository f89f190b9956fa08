"""Reads of untrusted files are bounded."""

import errno

import pytest

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
