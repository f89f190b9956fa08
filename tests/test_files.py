"""Reads of untrusted files are bounded."""

import pytest

from tfzoo import files
from tfzoo.errors import TfzooError


def test_a_file_may_have_at_most_limit_bytes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert files.read_bytes(path, 5) == b"12345"
    with pytest.raises(TfzooError, match="a: The file must have at most 4 bytes"):
        files.read_bytes(path, 4)
