"""A run records what made it, and tells when it goes on with something else."""

import json
import platform

import pytest

from tfzoo.training import Run, versions


@pytest.fixture
def begun(tmp_path):
    """Directory of a run with a checkpoint."""
    Run(tmp_path, {}).close()
    checkpoint = tmp_path / "checkpoints" / "step-000000004" / "state.json"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("{}")
    return tmp_path


def edited(directory, change):
    """Applies a function to the content of `run.json`; returns the new content."""
    path = directory / "run.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return content


def test_the_description_has_code_libraries_python_and_cores(begun):
    description = json.loads((begun / "run.json").read_text())
    names = {"tfzoo", "code", "python", "tensorflow", "keras", "numpy", "tokenizers"}
    assert set(description["versions"]) == names
    assert description["versions"]["python"] == platform.python_version()
    assert description["cores"] >= 1


def test_a_run_that_goes_on_with_the_same_says_nothing(begun, capsys):
    before = (begun / "run.json").read_bytes()
    Run(begun, {}).close()
    assert capsys.readouterr().err == ""
    assert (begun / "run.json").read_bytes() == before


def test_every_change_is_told_once_in_one_line_and_kept(begun, capsys):
    def change(content):
        content["versions"] |= {"keras": "0.1", "code": "abc"}
        content["cores"] = 77

    former = edited(begun, change)
    now = versions.made_with()
    Run(begun, {}).close()
    error = capsys.readouterr().err
    assert error.startswith(f"warning: {begun / 'run.json'}: keras was 0.1 and is now ")
    assert f"code was abc and is now {now['versions']['code']}" in error
    assert f"cores was 77 and is now {now['cores']}. The result may differ" in error
    assert error.count("\n") == 1
    for _ in range(2):
        content = json.loads((begun / "run.json").read_text())
        assert content["versions"] == now["versions"]
        assert content["earlier"] == [{k: former[k] for k in ("versions", "cores")}]
        Run(begun, {}).close()
    assert capsys.readouterr().err == ""


def test_what_was_not_recorded_is_not_told(begun, capsys):
    def change(content):
        del content["cores"], content["versions"]["python"]

    edited(begun, change)
    Run(begun, {}).close()
    assert capsys.readouterr().err == ""


def test_the_digest_of_the_code_depends_on_every_name_and_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "__file__", str(tmp_path / "training" / "x.py"))
    digests = set()
    for name, content in (("a.py", "1"), ("a.py", "2"), ("b.py", "2"), ("a.py", "1")):
        for path in tmp_path.glob("*.py"):
            path.unlink()
        (tmp_path / name).write_text(content)
        digests.add(versions._code.__wrapped__())
    assert len(digests) == 3
