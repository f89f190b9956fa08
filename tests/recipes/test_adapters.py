"""Fine-tuning with `--lora-rank`: the merged model, its adapter, and resumption."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from helpers import random_weights, recipe
from tfzoo.families import BertEncoder, GPTDecoder
from tfzoo.tasks import BertPretrainer, CausalLM, TextClassifier
from tfzoo.text import ByteBPETokenizer, WordPieceTokenizer
from tfzoo.training import runs
from tfzoo.training.callbacks import Recording

WORDS = "the cat dog sat ran on under mat tree good bad film".split()
SIZES = dict(num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=32)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A table, a text, and a BERT and a GPT."""
    place = tmp_path_factory.mktemp("recipes")
    rng = np.random.default_rng(0)
    rows = [
        f"{' '.join(rng.choice(WORDS[:8], 4))} {word}\t{label}"
        for word, label in [("good", "pos"), ("bad", "neg")] * 40
    ]
    (place / "train.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
    lines = [" ".join(rng.choice(WORDS, 6)) for _ in range(60)]
    (place / "text.txt").write_text("\n".join(lines))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = WordPieceTokenizer([*special, *WORDS])
    encoder = BertEncoder(words.vocabulary_size, **SIZES)
    BertPretrainer(random_weights(encoder), words).save_to_preset(place / "bert")
    byte_bpe = ByteBPETokenizer.train(lines, vocabulary_size=280, progress=False)
    decoder = GPTDecoder(byte_bpe.vocabulary_size, **SIZES, max_sequence_length=32)
    CausalLM(random_weights(decoder, 0.1), byte_bpe).save_to_preset(place / "gpt")
    return place


def weights(directory):
    return load_file(directory / "model.safetensors")


def finetune_classifier(place, output, **options):
    arguments = dict(
        train=str(place / "train.tsv"),
        preset=str(place / "bert"),
        text_column="text",
        label_column="label",
        output=output,
        epochs=2,
        batch_size=16,
        learning_rate=1e-2,
        max_sequence_length=16,
        lora_rank=2,
    )
    recipe("finetune_classifier").main(**{**arguments, **options})
    return output


def test_a_classifier_is_written_merged_beside_its_adapter(place, tmp_path, capsys):
    output = finetune_classifier(place, tmp_path / "out")
    assert "the model, adapter/, metrics.json" in capsys.readouterr().out
    before, after = weights(place / "bert"), weights(output)
    changed = {n for n in after if n in before and (after[n] != before[n]).any()}
    attention = "bert.encoder.layer.0.attention.self"
    assert changed == {f"{attention}.{n}.weight" for n in ("query", "value")}
    config = json.loads((output / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(place / "bert")
    merged = TextClassifier.from_preset(output)
    adapted = TextClassifier.from_preset(place / "bert", labels=merged.labels)
    adapted.load_adapter(output / "adapter")
    texts = ["the cat sat good", "bad film"]
    expected = merged.predict(texts, verbose=0)
    np.testing.assert_allclose(adapted.predict(texts, verbose=0), expected, atol=1e-5)


def test_an_invalid_rank_writes_nothing(place, tmp_path):
    with pytest.raises(ValueError, match="rank must be an integer >= 1. Received: 0"):
        finetune_classifier(place, tmp_path / "out", lora_rank=0)
    assert not (tmp_path / "out" / "model.safetensors").exists()


def finetune_gpt(place, output):
    recipe("finetune_gpt").main(
        input=(place / "text.txt",),
        preset=str(place / "gpt"),
        output=output,
        epochs=3,
        batch_size=4,
        learning_rate=1e-2,
        lora_rank=2,
    )
    return output


@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_same_adapter(place, tmp_path, monkeypatch):
    class Stopped(Exception):
        pass

    def stop(callback, batch, logs=None):
        usual(callback, batch, logs)
        if callback.record.step == 5:
            raise Stopped

    whole = runs.Run.__init__

    def saving_often(run, *given, **options):
        whole(run, *given, **options, steps_between_saves=2)

    usual = Recording.on_train_batch_end
    monkeypatch.setattr(runs.Run, "__init__", saving_often)
    monkeypatch.setattr(Recording, "on_train_batch_end", stop)
    with pytest.raises(Stopped):
        finetune_gpt(place, tmp_path / "a")
    monkeypatch.setattr(Recording, "on_train_batch_end", usual)
    finetune_gpt(place, tmp_path / "a")
    finetune_gpt(place, tmp_path / "b")
    for name in ("model.safetensors", "adapter/adapter_model.safetensors"):
        again, once = ((tmp_path / run / name).read_bytes() for run in "ab")
        assert again == once, name
    before, after = weights(place / "gpt"), weights(tmp_path / "a")
    changed = {name for name in before if (before[name] != after[name]).any()}
    assert changed == {"transformer.h.0.attn.c_attn.weight"}
