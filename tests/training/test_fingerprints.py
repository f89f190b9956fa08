"""Every changed byte of a run's data is noticed."""

import hashlib
import shutil

import pytest

from tfzoo.errors import DataError, OutputError
from tfzoo.training.fingerprints import fingerprint
from tfzoo.training.run_directory import require_same
from tfzoo.training.runs import Run

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.fixture
def snapshot(tmp_path):
    """A model in the Hub's cache, in the layout of huggingface_hub."""
    path = tmp_path / "models--org--mini" / "snapshots" / COMMIT
    path.mkdir(parents=True)
    (tmp_path / "models--org--mini" / "blobs").mkdir()
    download(path, "config.json", b"{}")
    return path


def download(snapshot, name, content):
    blobs = snapshot.parent.parent / "blobs"
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    (snapshot / name).symlink_to(f"../../blobs/{digest}")


def goes_on(before, now):
    """Whether a run that started with `before` resumes with `now`."""
    parts = {"arguments": {}, "versions": {}}
    try:
        require_same("run.json", {**parts, "data": before}, {**parts, "data": now})
    except OutputError:
        return False
    return True


def test_every_byte_of_a_file_counts(tmp_path):
    small, large = tmp_path / "small.txt", tmp_path / "large" / "large.bin"
    small.write_text("text")
    large.parent.mkdir()
    with open(large, "wb") as file:
        file.truncate(80 << 20)
    before = fingerprint([small, large.parent])
    size, digest = before[str(small)].split(":")
    assert (size, digest) == ("4", hashlib.sha256(b"text").hexdigest())
    assert set(before) == {str(small), str(large)}
    assert fingerprint([small, large.parent]) == before
    with open(large, "r+b") as file:
        file.seek((65 << 20) + 77)  # between two of 64 samples of a mebibyte
        file.write(b"1")
    after = fingerprint([small, large.parent])
    assert after[str(small)] == before[str(small)]
    assert after[str(large)] != before[str(large)]
    with pytest.raises(DataError, match="does not exist"):
        fingerprint([tmp_path / "absent"])


def test_a_run_continues_whatever_is_downloaded_next_to_its_model(snapshot):
    before = fingerprint([snapshot])
    assert before[str(snapshot)] == f"commit:{COMMIT}"
    download(snapshot, "tf_model.h5", b"weights")
    assert goes_on(before, fingerprint([snapshot]))
    assert goes_on({str(snapshot): f"commit:{COMMIT}"}, fingerprint([snapshot]))


@pytest.mark.parametrize(
    "edit", ["blob", "file", "other blob", "foreign link", "more", "gone"]
)
def test_a_run_does_not_continue_with_an_edited_model_from_the_hub(snapshot, edit):
    download(snapshot, "tf_model.h5", b"weights")
    before, config = fingerprint([snapshot]), snapshot / "config.json"
    if edit == "blob":
        flip(config.resolve(), 1)
    elif edit == "more":
        (snapshot / "tokenizer.json").write_text("{}")
    else:
        config.unlink()
        if edit == "file":
            config.write_text("{ }")
        elif edit == "foreign link":
            other = snapshot.parent / "config.json"
            other.write_text("{}")
            config.symlink_to(other)
            before = fingerprint([snapshot])
            other.write_text("[]")
        elif edit == "other blob":
            config.symlink_to((snapshot / "tf_model.h5").readlink())
    assert not goes_on(before, fingerprint([snapshot]))


@pytest.mark.parametrize(
    "name", ["snapshots/a", f"snapshots/{COMMIT}", f"models--a/snapshots/{COMMIT}"]
)
def test_a_directory_called_snapshots_is_not_taken_for_the_hubs_cache(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    before = fingerprint([folder])
    assert set(before) == {str(folder / "config.json")}
    (folder / "config.json").write_text("[]")
    assert not goes_on(before, fingerprint([folder]))


def test_a_run_names_the_file_that_changed(tmp_path):
    data, output = tmp_path / "a:b.txt", tmp_path / "run"
    data.write_text("text")
    with Run(output, {}, data=fingerprint([data])) as run:
        run.finish(None, {})
    flip(data, 2)
    with pytest.raises(OutputError, match=r"data .*a:b\.txt was '4:.* is now '4:"):
        Run(output, {}, data=fingerprint([data]))
    shutil.rmtree(output)


@pytest.mark.parametrize("output", ["preset", "preset/run", "preset/../preset/a/run"])
def test_an_output_in_a_directory_of_the_data_is_refused(tmp_path, output):
    preset = tmp_path / "preset"
    preset.mkdir()
    (tmp_path / "link").symlink_to(preset)
    (preset / "config.json").write_text("{}")
    for place in (preset, tmp_path / "link"):
        with pytest.raises(OutputError, match="must not be in a directory that is re"):
            fingerprint([place], output=tmp_path / output)
    assert fingerprint([preset], output=tmp_path / "preset2") == fingerprint([preset])
    assert fingerprint([preset / "config.json"], output=preset / "run")
