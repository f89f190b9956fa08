"""Small models match or beat plain baselines on real data; skipped without the data.

Every baseline learns from the same text and is measured on the same rest.
"""

import collections
import gzip
import itertools
import json
import math

import pytest

from helpers import recipe
from tfzoo.data import read_examples
from tfzoo.data.readers import read_records
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


def nats_by_counting(learned, held_out, vocabulary_size, order):
    """Sum of -log p of ids, by n-grams of up to `order` ids, interpolated.

    Source: Witten and Bell 1991, https://doi.org/10.1109/18.87000, method C
    """
    p = [1 / vocabulary_size] * len(held_out)
    for n in range(1, order + 1):
        grams, others = (
            [*zip(*(ids[i:] for i in range(n)), strict=False)]
            for ids in (learned, held_out)
        )
        counts = collections.Counter(grams)
        seen = collections.Counter(gram[:-1] for gram in grams)
        kinds = collections.Counter(gram[:-1] for gram in counts)
        for i, gram in enumerate(others, n - 1):
            before = gram[:-1]
            if seen[before]:
                p[i] = counts[gram] + kinds[before] * p[i]
                p[i] /= seen[before] + kinds[before]
    return -sum(map(math.log, p))


def epochs_of(directory):
    return json.loads((directory / "metrics.json").read_text())["epochs"]


def test_pretraining_learns_masked_words_and_next_sentences(shared_data, tmp_path):
    """The baseline of a masked word is its frequency."""
    files = [shared_data / "wikitext2" / f"{n}.txt.gz" for n in ("test", "valid")]
    words = WordPieceTokenizer.train(files[:1], vocabulary_size=4000, progress=False)
    words.save_to_preset(tmp_path / "words")
    encoder = recipe("quickstart").new_encoder(words, dropout=0.1)
    encoder.save_to_preset(tmp_path / "random", tokenizer=words)
    command = recipe("pretrain_bert")
    command.STEPS_PER_EPOCH, command.MAX_VALIDATION_EXAMPLES = 200, 1536
    command.main(
        input=tuple(files[:1]),
        tokenizer=tmp_path / "words",
        preset=tmp_path / "random",
        steps=800,
        output=tmp_path / "out",
        validation=tuple(files[1:]),
        batch_size=32,
        learning_rate=1e-3,
        sentences="punctuation",
        max_sequence_length=64,
        max_predictions=10,
    )
    learned, others = (
        [*itertools.chain(*words.tokenize([r.values[0] for r in read_records(file)]))]
        for file in files
    )
    by_frequency = nats_by_counting(learned, others, words.vocabulary_size, 1)
    by_frequency /= len(others)
    epochs = epochs_of(tmp_path / "out")
    losses = [epoch["val_masked_words_loss"] for epoch in epochs]
    next_sentence = epochs[-1]["val_next_sentence_accuracy"]
    print(
        f"wikitext-2: masked words {losses}, by frequency {by_frequency}, "
        f"next sentence {next_sentence}"
    )
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < by_frequency - 0.3
    assert next_sentence >= 0.65


def fine_tuned(tmp_path, spec, text_column, **options):
    """The accuracy of a model trained from random weights, and those of the baselines.

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
        preset="bert_mini",  # with bert_tiny, 0.04 below the baseline
        epochs=4,
        learning_rate=3e-4,
        label_smoothing=0.1,
    )
    assert accuracy > baseline - 0.03
    assert accuracy > majority + 0.4


@pytest.fixture(scope="module")
def shakespeare(shared_data, tmp_path_factory):
    """The directory of a GPT trained from random weights, its text, and the rest."""
    with gzip.open(shared_data / "tinyshakespeare" / "input.txt.gz", "rt") as file:
        text = file.read()
    border = len(text) * 9 // 10
    parts = text[:border], text[border:]
    place = tmp_path_factory.mktemp("gpt")
    files = [place / name for name in ("train.txt", "rest.txt")]
    for file, part in zip(files, parts, strict=True):
        file.write_text(part)
    tokenizer = ByteBPETokenizer.train(files[:1], vocabulary_size=1024, progress=False)
    tokenizer.save_to_preset(place / "words")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfzoo.tasks.causal_lm.text_runs.STEPS_PER_EPOCH", 300)
        recipe("pretrain_gpt").main(
            input=tuple(files[:1]),
            tokenizer=place / "words",
            preset="gpt_tiny",
            steps=1500,
            output=place / "out",
            validation=tuple(files[1:]),
            batch_size=8,
            learning_rate=4e-3,
            max_sequence_length=128,
            jit_compile=True,
        )
    return place / "out", *parts


def test_shakespeare_takes_a_tenth_of_a_bit_less_than_by_counting_pairs(shakespeare):
    directory, learned, held_out = shakespeare
    model = CausalLM.from_preset(directory)
    figures = model.perplexity(held_out)
    ids = model.tokenizer.tokenize([learned, held_out])
    size = model.tokenizer.vocabulary_size
    pairs, triples = (
        nats_by_counting(*ids, size, order) / math.log(2) / len(held_out)
        for order in (2, 3)
    )
    print(f"tiny Shakespeare: {figures}, by pairs {pairs}, by triples {triples}")
    assert figures["characters"] == len(held_out)
    assert figures["bits_per_character"] < pairs - 0.1


def test_perplexity_of_the_rest_falls_at_each_evaluation(shakespeare):
    perplexities = [epoch["val_perplexity"] for epoch in epochs_of(shakespeare[0])]
    print(f"tiny Shakespeare: perplexities {perplexities}")
    assert len(perplexities) == 5
    assert perplexities == sorted(perplexities, reverse=True)
