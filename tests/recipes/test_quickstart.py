"""The complete quickstart on a small scale."""

import json
import pathlib

import pytest

from helpers import small_quickstart
from tfzoo.data import installed_docs
from tfzoo.errors import OutputError

ROOT = pathlib.Path(__file__).resolve().parents[2]
ANSWERS = "in a process that only imports TensorFlow"


@pytest.fixture
def quickstart(monkeypatch):
    """The recipe, with little of the text and a few steps."""
    monkeypatch.setattr(installed_docs, "_AREA_OF", {"json": "internet"})
    monkeypatch.setattr(installed_docs, "_LIBRARIES", {"numpy": ["lib"]})
    return small_quickstart()


@pytest.mark.slow
def test_the_quickstart_runs_from_text_to_answers_and_then_reports_it_is_finished(
    quickstart, tmp_path, capfd
):
    output, saved = tmp_path / "runs" / "first", tmp_path / "saved"
    quickstart.main(output, saved)
    printed = capfd.readouterr().out
    answers = printed.split(ANSWERS)[1].splitlines()[1:]
    labels = {"internet", "language", "numpy"}
    assert [line.split("\t")[0] in labels for line in answers[:3]] == [True] * 3

    metrics = json.loads((output / "metrics.json").read_text())["metrics"]
    for name in ("majority_class", "from_scratch", "pretrained"):
        assert 0 <= metrics[name] <= 1
        assert f"{metrics[name]:6.1%}" in printed
    assert (output / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (saved / "first" / "1" / "saved_model.pb").is_file()

    quickstart.main(output, saved)
    assert "this run is already finished" in capfd.readouterr().out
    assert not (saved / "first" / "2").exists()


def test_a_directory_with_other_content_is_refused(quickstart, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="must be new, empty, or contain a run"):
        quickstart.main(tmp_path, tmp_path / "saved")
    assert [path.name for path in tmp_path.iterdir() if path.name[0] != "."] == [
        "notes.txt"
    ]


def test_the_pretraining_text_has_no_held_out_module(quickstart, tmp_path):
    installed_docs.write_installed_docs(tmp_path / "text", labelled=8, held_out=8)
    docs = installed_docs.installed_docs()
    apart = installed_docs.held_out_modules(docs)
    module_of = {doc.description: doc.module for doc in docs}
    sides = {}
    for name in ("train", "held_out"):
        lines = (tmp_path / "text" / f"{name}.jsonl").read_text().splitlines()
        sides[name] = {module_of[json.loads(line)["text"]] for line in lines}
    assert sides["train"].isdisjoint(apart)
    assert sides["held_out"] <= apart
    blocks = (tmp_path / "text" / "corpus.txt").read_text().split("\n\n")
    assert len(blocks) == len({doc.module for doc in docs} - apart)
