"""Recipes accept `hf://ORG/NAME` as a preset."""

import pathlib

import pytest

from helpers import recipe
from tfzoo.errors import OutputError
from tfzoo.families import BertEncoder
from tfzoo.text import WordPieceTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]
ROWS = [("good film", "yes"), ("bad film", "no")] * 10


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "reviews.tsv"
    path.write_text("".join(f"{t}\t{c}\n" for t, c in [("text", "label"), *ROWS]))
    return path


@pytest.fixture
def on_the_hub(hub, tmp_path):
    """A repository with a backbone and its tokenizer."""
    encoder = BertEncoder(len(WORDS), 1, 2, 8, 16, max_sequence_length=16)
    folder = tmp_path / "encoder"
    encoder.save_to_preset(folder, tokenizer=WordPieceTokenizer(WORDS))
    return hub.add("org/mini", {p.name: p.read_bytes() for p in folder.iterdir()})


@pytest.mark.slow
def test_a_classifier_is_fine_tuned_from_the_hub_and_its_run_records_the_commit(
    hub, on_the_hub, table, tmp_path, capsys
):
    arguments = dict(
        train=str(table),
        preset="hf://org/mini",
        text_column="text",
        label_column="label",
        output=tmp_path / "run",
        epochs=1,
        batch_size=10,
        max_sequence_length=8,
    )
    columns = dict(text_column="text", label_column="label")
    finetune = recipe("finetune_classifier").main
    finetune(**arguments)
    recipe("evaluate_classifier").main(str(tmp_path / "run"), str(table), **columns)
    assert "accuracy" in capsys.readouterr().out

    hub.sent.clear()
    finetune(**arguments)  # already finished
    assert hub.sent == []
    files = on_the_hub.commits[on_the_hub.refs["main"]]
    on_the_hub.commit({**files, "README.md": b"another commit"})
    with pytest.raises(OutputError):
        finetune(**arguments)
