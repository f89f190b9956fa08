"""The GPT recipes: they run, learn, resume and report errors."""

import json
import pathlib

import numpy as np
import pytest

from helpers import recipe
from tfzoo.errors import CheckpointError, DataError, OutputError, TokenizerError
from tfzoo.families import BACKBONES, LlamaDecoder
from tfzoo.tasks import CausalLM
from tfzoo.text import (
    ByteBPETokenizer,
    SentencePieceTokenizer,
    WordPieceTokenizer,
)

WORDS = "the cat dog sat ran on under mat tree good bad film".split()


@pytest.fixture(scope="module", autouse=True)
def smaller():
    """Makes `gpt_tiny` a narrow model of one layer, traced in half the time."""
    sizes = BACKBONES["gpt2"].family.sizes
    small = dict(num_layers=1, hidden_dim=32, intermediate_dim=64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sizes, "gpt_tiny", {**sizes["gpt_tiny"], **small})
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A corpus of two files, other text, and a tokenizer."""
    place = tmp_path_factory.mktemp("recipes")
    rng = np.random.default_rng(0)

    def write(name, words, count):
        lines = [" ".join(rng.choice(words, 6)) for _ in range(count)]
        (place / name).write_text("\n".join(lines) + "\n")

    write("a.txt", WORDS, 120)
    write("b.txt", WORDS, 40)
    write("other.txt", WORDS[:3], 120)
    tokenizer = ByteBPETokenizer.train(
        [place / "a.txt"], vocabulary_size=300, progress=False
    )
    (place / "words").mkdir()
    tokenizer.save_to_preset(place / "words")
    return place


def arguments(place, output, **options):
    return {
        **dict(
            input=(place / "a.txt", place / "b.txt"),
            tokenizer=place / "words",
            preset="gpt_tiny",
            steps=30,
            output=output,
            validation=(place / "b.txt",),
            batch_size=8,
            learning_rate=1e-2,
            max_sequence_length=32,
        ),
        **options,
    }


@pytest.fixture(scope="module")
def pretrained(place):
    recipe("pretrain_gpt").main(**arguments(place, place / "gpt"))
    return place / "gpt"


def figures(output):
    return json.loads((output / "metrics.json").read_text())["metrics"]


def test_pretraining_learns_and_writes_what_it_promises(place, pretrained):
    metrics = figures(pretrained)
    assert metrics["val_perplexity"] < 60  # of 300 tokens
    assert metrics["val_loss"] == pytest.approx(np.log(metrics["val_perplexity"]), 0.1)
    assert 0 < metrics["val_accuracy"] < 1
    assert (pretrained / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert any((pretrained / "logs").rglob("events*"))
    model = CausalLM.from_preset(pretrained)
    assert model.max_sequence_length == model.backbone.max_sequence_length == 32
    card = (pretrained / "README.md").read_text()
    assert "a.txt" in card and str(place) not in card


def test_a_finished_pretraining_says_so(place, pretrained, capsys):
    before = (pretrained / "model.safetensors").read_bytes()
    recipe("pretrain_gpt").main(**arguments(place, pretrained))
    assert "finished" in capsys.readouterr().out
    with pytest.raises(OutputError, match="steps"):
        recipe("pretrain_gpt").main(**arguments(place, pretrained, steps=31))
    assert (pretrained / "model.safetensors").read_bytes() == before


@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_same_weights(
    place, pretrained, tmp_path, monkeypatch
):
    from tfzoo.training.callbacks import Recording

    class Stopped(Exception):
        pass

    def stop(callback, batch, logs=None):
        usual(callback, batch, logs)
        if callback.record.step == 17:
            raise Stopped

    from tfzoo.training import runs

    whole = runs.Run.__init__

    def saving_often(run, *given, **options):
        whole(run, *given, **options, steps_between_saves=5)

    usual = Recording.on_train_batch_end
    monkeypatch.setattr(runs.Run, "__init__", saving_often)
    monkeypatch.setattr(Recording, "on_train_batch_end", stop)
    with pytest.raises(Stopped):
        recipe("pretrain_gpt").main(**arguments(place, tmp_path / "gpt"))
    monkeypatch.setattr(Recording, "on_train_batch_end", usual)
    recipe("pretrain_gpt").main(**arguments(place, tmp_path / "gpt"))
    assert (tmp_path / "gpt" / "model.safetensors").read_bytes() == (
        pretrained / "model.safetensors"
    ).read_bytes()


@pytest.mark.slow
def test_fine_tuning_continues_on_other_text(place, pretrained, tmp_path):
    recipe("finetune_gpt").main(
        input=(place / "other.txt",),
        preset=pretrained,
        output=tmp_path / "out",
        validation=(place / "other.txt",),
        epochs=3,
        learning_rate=1e-3,
    )
    before, after = (
        CausalLM.from_preset(directory).perplexity((place / "other.txt").read_text())
        for directory in (pretrained, tmp_path / "out")
    )
    assert after["perplexity"] < 0.8 * before["perplexity"]
    epochs = json.loads((tmp_path / "out" / "metrics.json").read_text())["epochs"]
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3]
    assert epochs[2]["val_perplexity"] < epochs[0]["val_perplexity"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(input=(pathlib.Path("no.txt"),)), DataError, "no.txt: The file does not"),
        (dict(preset="gpt_tny"), CheckpointError, "gpt_tny: .*gpt_tiny"),
        (dict(preset="bert_tiny"), CheckpointError, "bert_tiny: .*gpt_tiny"),
        (dict(tokenizer=pathlib.Path("nowhere")), TokenizerError, "nowhere"),
        (dict(max_sequence_length=2), ValueError, "3 to 2|max_sequence_length"),
        (dict(documents="page"), ValueError, "documents must be one of.*page"),
        (dict(steps=0), ValueError, "steps must be an integer >= 1. Received: 0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_wrong_input_is_named_and_nothing_is_written(
    place, tmp_path, options, error, message
):
    with pytest.raises(error, match=message) as raised:
        recipe("pretrain_gpt").main(**arguments(place, tmp_path / "out", **options))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_an_empty_text_is_an_error(place, tmp_path):
    (tmp_path / "empty.txt").write_bytes(b"")
    for wrong in ("input", "validation"):
        options = {wrong: (tmp_path / "empty.txt",)}
        with pytest.raises(DataError, match="empty.txt: The file is empty"):
            recipe("pretrain_gpt").main(**arguments(place, tmp_path / wrong, **options))


def test_another_decoder_is_pretrained_with_sentencepiece_and_fine_tuned(
    place, tmp_path, monkeypatch
):
    sizes = BACKBONES["llama"].family.sizes
    small = dict(num_layers=1, hidden_dim=32, intermediate_dim=64)
    monkeypatch.setitem(sizes, "llama_tiny", {**sizes["llama_tiny"], **small})
    words = SentencePieceTokenizer.train(
        [place / "a.txt"], vocabulary_size=50, progress=False
    )
    (tmp_path / "words").mkdir()
    words.save_to_preset(tmp_path / "words")
    options = dict(preset="llama_tiny", tokenizer=tmp_path / "words", steps=2)
    recipe("pretrain_gpt").main(**arguments(place, tmp_path / "llama", **options))
    recipe("finetune_gpt").main(
        input=(place / "other.txt",),
        preset=tmp_path / "llama",
        output=tmp_path / "other",
        epochs=1,
        batch_size=64,
    )
    model = CausalLM.from_preset(tmp_path / "other")
    assert type(model.backbone) is LlamaDecoder
    assert model.tokenizer.get_config() == words.get_config()


def test_a_tokenizer_of_words_is_refused(place, tmp_path):
    words = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
    (tmp_path / "words").mkdir()
    words.save_to_preset(tmp_path / "words")
    with pytest.raises(TokenizerError, match="byte-level BPE or SentencePiece. Rec"):
        recipe("pretrain_gpt").main(
            **arguments(place, tmp_path / "out", tokenizer=tmp_path / "words")
        )
