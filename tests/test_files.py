"""Reads of untrusted files are bounded."""

import errno
import os
import pathlib
import shutil
import subprocess
import sys

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


def test_a_disk_without_the_space_is_an_error_before_anything_is_written(
    tmp_path, monkeypatch
):
    usage = shutil.disk_usage(tmp_path)._replace(free=2_500_000)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: usage)
    message = "at least 3.0 MB free for this output. Received: 2.5 MB"
    with pytest.raises(OutputError, match=message):
        with files.written_beside(tmp_path / "new" / "out", size=3_000_000):
            pytest.fail("written")
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match=r"2.0 MB are needed and 2.5 MB are free"):
        with files.written_beside(tmp_path / "out", size=2_000_000):
            raise OSError(errno.ENOSPC, "No space left on device")


def left_by_a_killed_process(path):
    """What it leaves beside the path while it writes."""
    beside = path.parent / f".{path.name}.a1b2c3_4"
    beside.mkdir()
    (beside / f"{path.name}.lock").write_text("")
    (beside / path.name).mkdir()
    (beside / path.name / "half").write_text("")
    return beside


def test_what_a_killed_process_left_goes_with_the_next_one(tmp_path):
    left_by_a_killed_process(tmp_path / "out")
    other = left_by_a_killed_process(tmp_path / "other")
    (tmp_path / ".out.b1b2c3_4").mkdir()  # killed before it wrote anything
    mine = tmp_path / ".out.mine_too"
    mine.mkdir()
    (mine / "notes").write_text("")
    for _ in range(2):
        with files.written_beside(tmp_path / "out", replace=True) as beside:
            beside.write_text("all")
    assert sorted(tmp_path.iterdir()) == sorted([other, mine, tmp_path / "out"])
    files.remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == [mine, tmp_path / "out"]


def test_leftovers_go_even_if_the_output_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    left_by_a_killed_process(tmp_path / "out")
    with pytest.raises(OutputError, match="already exists"):
        with files.written_beside(tmp_path / "out"):
            pytest.fail("written")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_another_process_writes_stays(tmp_path):
    writing = subprocess.Popen(
        [sys.executable, "-c", WRITING, tmp_path / "out"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=pathlib.Path(__file__).parents[1],
    )
    with writing:
        writing.stdout.readline()
        files.remove_leftovers(tmp_path)
        writing.communicate(b"\n")
    assert writing.returncode == 0
    assert (tmp_path / "out").read_text() == "all"


WRITING = """
import sys
from tfzoo.files import written_beside
with written_beside(sys.argv[1]) as beside:
    print("begun", flush=True)
    sys.stdin.readline()
    beside.write_text("all")
"""


def test_files_and_all_directories_are_flushed_before_the_rename(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(
        files.os, "fsync", lambda fd: flushed.append(os.readlink(f"/proc/self/fd/{fd}"))
    )
    with files.written_beside(tmp_path / "out", directory=True) as beside:
        (beside / "a" / "b").mkdir(parents=True)
        (beside / "a" / "b" / "file").write_text("")
    names = [name.removeprefix(str(beside)) for name in flushed]
    assert names[-1] == str(tmp_path)
    assert sorted(names[:-1]) == ["", "/a", "/a/b", "/a/b/file"]


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
