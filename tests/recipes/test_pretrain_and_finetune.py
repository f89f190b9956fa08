"""The recipes in one process: they run, learn, resume and report errors."""

import contextlib
import json
import pathlib
import sys

import numpy as np
import pytest

from helpers import recipe
from tfzoo.errors import CheckpointError, DataError, OutputError, TokenizerError
from tfzoo.families import BACKBONES
from tfzoo.tasks import BertPretrainer, TextClassifier
from tfzoo.text import ROBERTA_TOKENS, ByteBPETokenizer, WordPieceTokenizer

ONE_LAYER = dict(num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=32)
WORDS = "the cat dog sat ran on under mat tree good bad film".split()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A corpus, a tokenizer, and tables of examples."""
    place = tmp_path_factory.mktemp("recipes")
    rng = np.random.default_rng(0)
    documents = [
        "\n".join(" ".join(rng.choice(WORDS, 6)) for _ in range(6)) for _ in range(30)
    ]
    (place / "corpus.txt").write_text("\n\n".join(documents))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (place / "words").mkdir()
    WordPieceTokenizer([*special, *WORDS]).save_to_preset(place / "words")
    rows = ["text\tlabel"]
    for i in range(80):
        words = list(rng.choice(WORDS[:8], rng.integers(2, 6)))
        words.append("good" if i % 2 else "bad")
        rows.append(f"{' '.join(words)}\t{'pos' if i % 2 else 'neg'}")
    (place / "train.tsv").write_text("\n".join(rows) + "\n")
    return place


@contextlib.contextmanager
def smaller():
    """Makes `bert_tiny` a narrow model of one layer, traced in half the time."""
    sizes = BACKBONES["bert"].family.sizes
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sizes, "bert_tiny", {**sizes["bert_tiny"], **ONE_LAYER})
        yield


def pretrain(place, steps):
    with smaller():
        recipe("pretrain_bert").main(
            input=(place / "corpus.txt",),
            tokenizer=place / "words",
            preset="bert_tiny",
            steps=steps,
            output=place / "bert",
            validation=(place / "corpus.txt",),
            batch_size=8,
            learning_rate=1e-3,
            max_sequence_length=32,
            max_predictions=5,
        )


@pytest.fixture(scope="module")
def pretrained(place):
    pretrain(place, steps=10)
    return place / "bert"


def finetune(place, output, **options):
    arguments = dict(
        train=str(place / "train.tsv"),
        preset="bert_tiny",
        tokenizer=place / "words",
        text_column="text",
        label_column="label",
        output=output,
        epochs=6,
        batch_size=16,
        max_sequence_length=16,
    )
    recipe("finetune_classifier").main(**{**arguments, **options})
    return output


def test_pretraining_writes_what_it_promises(place, pretrained, capsys):
    metrics = json.loads((pretrained / "metrics.json").read_text())
    for name in ("masked_words_loss", "next_sentence_accuracy"):
        assert np.isfinite(metrics["metrics"][name])
        assert np.isfinite(metrics["metrics"][f"val_{name}"])
    assert (pretrained / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert any((pretrained / "logs").rglob("events*"))
    assert BertPretrainer.from_preset(pretrained).max_sequence_length == 32
    card = (pretrained / "README.md").read_text()
    assert "corpus.txt" in card and str(place) not in card


def test_a_finished_pretraining_says_so(place, pretrained, capsys):
    before = (pretrained / "model.safetensors").read_bytes()
    pretrain(place, steps=10)
    assert "finished" in capsys.readouterr().out
    with pytest.raises(OutputError, match="steps"):
        pretrain(place, steps=11)
    assert (pretrained / "model.safetensors").read_bytes() == before


def test_fine_tuning_learns_and_is_evaluated(place, pretrained, capsys):
    options = dict(preset=str(pretrained), tokenizer=None, epochs=3)
    options["max_sequence_length"] = None
    output = finetune(place, place / "mail", **options)
    assert TextClassifier.from_preset(output).max_sequence_length == 128
    metrics = json.loads((output / "metrics.json").read_text())["metrics"]
    assert metrics["validation_examples"] == 8
    assert 1 <= metrics["best_epoch"] <= 3
    rates = json.loads((output / "curves.json").read_text())["learning_rate"]
    assert max(rates) == pytest.approx(5e-5)  # of trained weights
    classifier = TextClassifier.from_preset(output)
    assert classifier.labels == ("neg", "pos")
    card = (output / "README.md").read_text()
    assert "| training data | train.tsv |" in card and str(place) not in card
    _, *rows = (place / "train.tsv").read_text().splitlines(keepends=True)
    (place / "rows.tsv").write_text("".join(rows))
    capsys.readouterr()
    recipe("evaluate_classifier").main(
        preset=output,
        data=str(place / "rows.tsv"),
        text_column="1",
        label_column="2",
        header=False,
        output=place / "figures.json",
    )
    figures = json.loads((place / "figures.json").read_text())
    assert figures["examples"] == 80 and 0 <= figures["accuracy"] <= 1
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*figures]  # and no progress bar
    assert last == f"wrote {place / 'figures.json'}"


@pytest.mark.slow
def test_from_random_weights_it_learns_the_rule(place, tmp_path):
    output = finetune(place, tmp_path / "out", epochs=12)
    metrics = json.loads((output / "metrics.json").read_text())["metrics"]
    assert metrics["accuracy"] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "model_type"),
    [("roberta_base", "roberta"), ("distilbert_base", "distilbert")],
)
def test_a_size_of_every_encoder_is_fine_tuned(
    place, tmp_path, monkeypatch, size, model_type
):
    sizes = BACKBONES[model_type].family.sizes
    monkeypatch.setitem(sizes, size, {**sizes[size], **ONE_LAYER})
    words = place / "words"
    if model_type == "roberta":
        words = tmp_path / "pieces"
        words.mkdir()
        text = (place / "corpus.txt").read_text().splitlines()
        ByteBPETokenizer.train(
            text, vocabulary_size=300, progress=False, **ROBERTA_TOKENS
        ).save_to_preset(words)
    output = finetune(place, tmp_path / "out", preset=size, tokenizer=words, epochs=1)
    config = json.loads((output / "config.json").read_text())
    assert config["model_type"] == model_type
    figures = {"text_column": "text", "label_column": "label"}
    recipe("evaluate_classifier").main(
        preset=output,
        data=str(place / "train.tsv"),
        output=tmp_path / "figures.json",
        **figures,
    )
    recipe("convert_checkpoint").main(input=output, output=tmp_path / "converted")
    recipe("export_model").main(preset=output, output=tmp_path / "saved")
    assert (tmp_path / "saved" / "1" / "saved_model.pb").exists()


def test_a_classifier_has_the_sizes_of_every_encoder():
    names = {"bert_tiny", "roberta_base", "roberta_large", "distilbert_base"}
    assert names < TextClassifier.named_sizes().keys()
    assert "gpt2" not in TextClassifier.named_sizes()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(train="nowhere.tsv"), DataError, "nowhere.tsv: The file does not exist"),
        (dict(text_column="txt"), DataError, "train.tsv:2: .*column.*Received: 'txt'"),
        (dict(preset="bert_tny"), CheckpointError, "bert_tny: .*bert_tiny"),
        (dict(tokenizer=None), ValueError, "--tokenizer must be given"),
        (dict(tokenizer=pathlib.Path("nowhere")), TokenizerError, "nowhere"),
        (dict(task="regression"), DataError, "train.tsv:2: .*finite number"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, dict) else None,
)
def test_wrong_input_is_named_and_nothing_is_written(
    place, tmp_path, options, error, message
):
    with pytest.raises(error, match=message) as raised:
        finetune(place, tmp_path / "out", **options)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_a_label_never_seen_in_training_is_named_with_its_line(place, tmp_path):
    (tmp_path / "held_out.tsv").write_text("text\tlabel\nthe cat\tpos\na dog\tother\n")
    with pytest.raises(DataError, match=r"held_out.tsv:3: .*'other'"):
        finetune(place, tmp_path / "out", validation=str(tmp_path / "held_out.tsv"))


def test_an_output_with_other_content_is_left_alone(place, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "note.txt").write_text("mine")
    with pytest.raises(OutputError, match="new, empty, or contain a run"):
        finetune(place, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["note.txt"]


def test_a_wrong_path_is_one_line_on_stderr(monkeypatch, capsys):
    from tfzoo import cli

    module = recipe("evaluate_classifier")
    wrong = "--preset nowhere --data x.tsv --text-column a --label-column b"
    monkeypatch.setattr(sys, "argv", ["evaluate_classifier", *wrong.split()])
    with pytest.raises(SystemExit) as exit:
        cli.run(module.main)
    assert exit.value.code == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: nowhere: A preset must be a directory, hf")
