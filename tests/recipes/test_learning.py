"""Small models match baselines on real data; skipped without the data."""

import gzip
import json
import time

import pytest

from helpers import recipe
from tfzoo.data import read_examples
from tfzoo.tasks import CausalLM
from tfzoo.text import ByteBPETokenizer, WordPieceTokenizer

pytestmark = pytest.mark.slow


def naive_bayes(learned, held_out):
    """Accuracy of MultinomialNB on word unigrams, and of the majority class."""
    feature_extraction = pytest.importorskip("sklearn.feature_extraction.text")
    naive_bayes = pytest.importorskip("sklearn.naive_bayes")
    counter = feature_extraction.CountVectorizer()
    model = naive_bayes.MultinomialNB()
    model.fit(counter.fit_transform(learned.texts), learned.labels)
    truth = held_out.labels
    accuracy = model.score(counter.transform(held_out.texts), truth)
    return accuracy, max(map(truth.count, set(truth))) / len(truth)


def fine_tuned(tmp_path, spec, text_column, **options):
    """The metrics of a model trained from random weights, and of the baselines.

    All are computed on the same rows, those that the recipe holds out.
    """
    columns = {"text_column": text_column, "label_column": "1", "header": False}
    learned, held_out = read_examples(spec, **columns).split_every(10, seed=0)
    tokenizer = WordPieceTokenizer.train(
        learned.texts, vocabulary_size=8000, progress=False
    )
    tokenizer.save_to_preset(tmp_path / "words")
    recipe("finetune_classifier").main(
        train=str(spec),
        tokenizer=tmp_path / "words",
        output=tmp_path / "out",
        **columns,
        **options,
    )
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"]
    assert metrics["validation_examples"] == len(held_out)
    baseline, majority = naive_bayes(learned, held_out)
    print(f"{metrics} naive Bayes {baseline:.4f} majority {majority:.4f}")
    return metrics["accuracy"], baseline, majority


def test_sms_spam_is_classified_as_well_as_by_naive_bayes(shared_data, tmp_path):
    spec = shared_data / "sms_spam" / "sms.tsv.gz"
    accuracy, baseline, majority = fine_tuned(
        tmp_path, spec, "2", preset="bert_tiny", epochs=3
    )
    assert accuracy > baseline - 0.03
    assert accuracy > majority + 0.08


def test_news_topics_are_classified_as_well_as_by_naive_bayes(shared_data, tmp_path):
    spec = shared_data / "ag_news" / "test.csv.gz"
    accuracy, baseline, majority = fine_tuned(
        tmp_path,
        spec,
        "3",
        preset="bert_mini",
        epochs=4,
        learning_rate=3e-4,
        label_smoothing=0.1,
    )
    assert accuracy > baseline - 0.03
    assert accuracy > majority + 0.4


def test_pretraining_lowers_the_loss_of_other_text(shared_data, tmp_path):
    folder = shared_data / "wikitext2"
    words = WordPieceTokenizer.train(
        [folder / "test.txt.gz"], vocabulary_size=8000, progress=False
    )
    (tmp_path / "words").mkdir()
    words.save_to_preset(tmp_path / "words")
    recipe("pretrain_bert").main(
        input=(folder / "test.txt.gz",),
        tokenizer=tmp_path / "words",
        preset="bert_tiny",
        steps=2500,
        output=tmp_path / "out",
        validation=(folder / "valid.txt.gz",),
        batch_size=32,
        learning_rate=1e-3,
        sentences="punctuation",
        max_sequence_length=64,
    )
    epochs = json.loads((tmp_path / "out" / "metrics.json").read_text())["epochs"]
    losses = [epoch["val_masked_words_loss"] for epoch in epochs]
    next_sentence = epochs[-1]["val_next_sentence_accuracy"]
    print(f"wikitext-2: masked losses {losses}, next sentence {next_sentence}")
    assert losses[-1] < losses[0]
    assert next_sentence >= 0.55


def test_shakespeare_takes_less_than_2_3_bits_a_character(shared_data, tmp_path):
    with gzip.open(shared_data / "tinyshakespeare" / "input.txt.gz", "rt") as file:
        text = file.read()
    border = len(text) * 9 // 10
    (tmp_path / "train.txt").write_text(text[:border])
    start = time.monotonic()
    model = pretrained_gpt(
        tmp_path,
        tmp_path / "train.txt",
        vocabulary_size=1024,
        preset="gpt_mini",
        steps=1400,
        max_sequence_length=128,
        jit_compile=True,
    )
    minutes = (time.monotonic() - start) / 60
    figures = model.perplexity(text[border:])
    print(f"tiny Shakespeare: {figures} {minutes:.1f} minutes")
    assert figures["characters"] == len(text) - border
    assert figures["bits_per_character"] < 2.3


def test_perplexity_of_other_articles_falls_at_each_evaluation(shared_data, tmp_path):
    folder = shared_data / "wikitext2"
    pretrained_gpt(
        tmp_path,
        folder / "test.txt.gz",
        vocabulary_size=4096,
        preset="gpt_tiny",
        steps=2500,
        max_sequence_length=128,
        validation=(folder / "valid.txt.gz",),
        jit_compile=True,
    )
    epochs = json.loads((tmp_path / "out" / "metrics.json").read_text())["epochs"]
    perplexities = [epoch["val_perplexity"] for epoch in epochs]
    print(f"wikitext-2: perplexities {perplexities}")
    assert len(perplexities) == 5
    assert perplexities == sorted(perplexities, reverse=True)


def pretrained_gpt(tmp_path, file, *, vocabulary_size, **options):
    """The model that the recipe trains on a file, from random weights."""
    tokenizer = ByteBPETokenizer.train(
        [file], vocabulary_size=vocabulary_size, progress=False
    )
    (tmp_path / "words").mkdir()
    tokenizer.save_to_preset(tmp_path / "words")
    recipe("pretrain_gpt").main(
        input=(file,),
        tokenizer=tmp_path / "words",
        output=tmp_path / "out",
        **options,
    )
    return CausalLM.from_preset(tmp_path / "out")
