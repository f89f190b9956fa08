"""The complete quickstart on a small scale."""

import json
import re
import types

import numpy as np
import pytest

from helpers import small_quickstart
from tfzoo.data import installed_docs
from tfzoo.errors import OutputError
from tfzoo.tasks import BertPretrainer

SENTENCES = [
    f"{word} is {other}, I think. But why, {other}?"
    for word in ("Ada", "Alan", "London", "The cat", "NASA", "It")
    for other in ("late", "here", "gone", "young")
]


@pytest.fixture
def quickstart(monkeypatch):
    """The recipe, with a few steps, and with little of the documentation."""
    documents = [SENTENCES[i : i + 2] for i in range(0, len(SENTENCES), 2)]
    monkeypatch.setattr(installed_docs, "installed_docs", lambda: documents)
    return small_quickstart()


@pytest.fixture
def mail(tmp_path):
    """Arguments for a text and a table."""
    text, table = tmp_path / "corpus.txt", tmp_path / "mail.tsv"
    text.write_text("\n\n".join(SENTENCES))
    rows = [("spam", "Win a prize, 10% off!"), ("ham", "See you at 8?")] * 20
    lines = [f"{label}\t{text} {i}\n" for i, (label, text) in enumerate(rows)]
    table.write_text("".join(lines))
    columns = dict(text_column="2", label_column="1", header=False)
    return dict(text=(text,), table=table, **columns)


@pytest.mark.slow
def test_the_quickstart_runs_from_text_to_answers_and_then_reports_it_is_finished(
    quickstart, mail, tmp_path, capfd
):
    arguments = dict(output=tmp_path / "first", saved_models=tmp_path / "saved", **mail)
    quickstart.main(**arguments)
    printed = capfd.readouterr().out
    metrics = json.loads((tmp_path / "first/metrics.json").read_text())["metrics"]
    assert [len(scores) for scores in metrics.values()] == [3, 3, 5]
    for measure, scores in metrics.items():
        assert f"{measure}:" in printed
        for name, value in scores.items():
            assert 0 <= value <= 1
            assert re.search(rf"{re.escape(name)} +{value:.1%}", printed)
    restored = re.findall(r"^  (.+)\n  = (.+)$", printed, re.M)
    assert 1 <= len(restored) <= 3
    for bare, text in restored:
        assert re.sub(r"[,.:;?!]", "", text).lower() == bare
    assert len(re.findall(r"^  (?:ham|spam)\t[01]\.\d+\t", printed, re.M)) == 3
    for name in ("restorer", "classifier"):
        assert (tmp_path / f"saved/first_{name}/1/saved_model.pb").is_file()
        assert (tmp_path / "first" / name / "model.safetensors").is_file()

    quickstart.main(**arguments)
    again = capfd.readouterr().out
    assert "this run is already finished" in again
    assert printed[printed.index("\nF1 of") : printed.index("\nwrote")] in again
    assert not (tmp_path / "saved/first_restorer/2").exists()


@pytest.mark.slow
def test_a_text_without_a_table_gives_a_pretrained_bert(quickstart, mail, tmp_path):
    output = tmp_path / "first"
    quickstart.main(mail["text"], output=output, saved_models=tmp_path / "saved")
    assert BertPretrainer.from_preset(output / "pretraining").tokenizer


def test_without_a_text_the_documentation_is_written_with_some_held_out(
    quickstart, tmp_path
):
    quickstart.write_text(tmp_path / "text", ())
    corpus, held_out = (
        (tmp_path / f"text/{name}.txt").read_text() for name in ("corpus", "held_out")
    )
    assert held_out.split("\n") == [*SENTENCES[18:20], ""]
    assert len(corpus.split("\n\n")) == 11
    assert not {*corpus.split("\n")} & {*SENTENCES[18:20]}


def test_a_directory_with_other_content_is_refused(quickstart, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="must be new, empty, or contain a run"):
        quickstart.main(output=tmp_path, saved_models=tmp_path / "saved")
    assert [path.name for path in tmp_path.iterdir() if path.name[0] != "."] == [
        "notes.txt"
    ]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            dict(table="a.csv"),
            "^text_column and label_column must be given",
        ),
        (
            dict(table="a.csv", text_column="1"),
            "^label_column must be given with a table",
        ),
        (dict(text_column="1"), "for a table, which must be given"),
        (dict(header=False), "for a table, which must be given .* header=False"),
    ],
)
def test_a_table_and_its_columns_are_given_together(
    quickstart, tmp_path, arguments, message
):
    with pytest.raises(ValueError, match=message):
        quickstart.main(output=tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_a_new_encoder_has_large_kernels_and_positions_that_tell_distances(quickstart):
    quickstart.SIZES = dict(
        num_layers=1, num_heads=2, hidden_dim=32, intermediate_dim=64
    )
    encoder = quickstart.new_encoder(types.SimpleNamespace(vocabulary_size=50), 0.1)
    weights = {v.path: v.numpy() for v in encoder.trainable_variables}
    kernels = [w.ravel() for path, w in weights.items() if path.endswith("kernel")]
    # Truncation at two standard deviations leaves 0.88 of one.
    assert np.concatenate(kernels).std() == pytest.approx(0.88 * 32**-0.5, rel=0.05)
    (positions,) = (w for path, w in weights.items() if "position" in path)
    products = positions @ positions.T
    for distance in (0, 1, 5):
        diagonal = np.diagonal(products, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], rtol=1e-4)
    assert products[3, 4] > products[3, 5] > products[3, 6]
