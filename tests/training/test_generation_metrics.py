"""Scores of generated texts, against small ones computed by hand."""

import math
import sys

import pytest

from tfzoo.training.generation_metrics import MEASURES, generation_scores

HYPOTHESES = ["the cat sat on the mat .", "a dog"]
REFERENCES = ["the cat sat on a mat .", "a dog"]


def test_bleu_is_that_of_its_definition():
    scores = generation_scores(HYPOTHESES, REFERENCES)
    # Matching and all n-grams of both texts, of n = 1 to 4 words
    matches = [6 + 2, 4 + 1, 2 + 0, 1 + 0]
    counts = [7 + 2, 6 + 1, 5, 4]
    precisions = [m / c for m, c in zip(matches, counts, strict=True)]
    assert scores["bleu"] == pytest.approx(100 * math.prod(precisions) ** 0.25)
    assert "nrefs:1|case:mixed|eff:no|tok:13a" in scores["bleu_signature"]


def test_chrf_is_that_of_its_definition():
    # F2 of precision and recall, each the mean over n-grams of 1 to 6 characters
    scores = generation_scores(["abcdefgh"], ["abcdefgx"], ["chrf"])
    overlap = sum((8 - n) / (9 - n) for n in range(1, 7)) / 6
    assert scores["chrf"] == pytest.approx(100 * overlap)
    assert "nc:6|nw:0" in scores["chrf_signature"]
    assert {*scores} == {"chrf", "chrf_signature"}


def test_rouge_is_the_mean_f1_of_common_words_pairs_and_subsequences():
    scores = generation_scores(
        ["the cat sat on the mat", "a dog"],
        ["the cat on a mat", "a dog"],
        ["rouge1", "rouge2", "rougeL"],
    )

    def f1(common, hypothesis, reference):
        return 2 * common / (hypothesis + reference)

    assert scores == pytest.approx(
        {
            "rouge1": 50 * (f1(4, 6, 5) + 1),
            "rouge2": 50 * (f1(1, 5, 4) + 1),
            "rougeL": 50 * (f1(4, 6, 5) + 1),
        }
    )


def test_stems_count_as_the_same_word_unless_turned_off():
    pair = ["he runs"], ["he running"]
    assert generation_scores(*pair, ["rouge1"]) == {"rouge1": 100.0}
    assert generation_scores(*pair, ["rouge1"], stemmer=False) == {"rouge1": 50.0}


def test_the_length_ratio_is_that_of_tokens_and_of_the_closest_reference():
    texts = ["a b c d", "a b"]
    references = [["a b c d e f g", "a b c d e"], ["a b c", "a b c d"]]
    assert generation_scores(texts, references, ["length_ratio"]) == {
        "length_ratio": pytest.approx(6 / 8)
    }


def test_the_best_of_several_references_counts():
    texts, other = ["the cat sat on the mat"], "nothing like it at all"
    references = [[other, texts[0]]]
    scores = generation_scores(texts, references, MEASURES)
    for name in MEASURES:
        perfect = 1.0 if name == "length_ratio" else 100.0
        assert scores[name] == pytest.approx(perfect), name
    assert "nrefs:2" in scores["bleu_signature"]


def test_the_tokenizer_of_bleu_can_be_chosen():
    pair = ["狗在跑步"], ["狗在跑"]
    whole = generation_scores(*pair, ["bleu"])["bleu"]
    characters = generation_scores(*pair, ["bleu"], tokenize="zh")
    assert whole == 0 < characters["bleu"]
    assert "tok:zh" in characters["bleu_signature"]
    with pytest.raises(ValueError, match="tokenize must be one of .*Received: 'x'"):
        generation_scores(*pair, tokenize="x")


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        (["a"], ["a", "b"], "as many references.*Received: 2 and 1"),
        ([], [], "at least one. Received: 0 and 0"),
        (["a", "b"], [["a"], ["a", "b"]], "equally many .*between 1 and 2"),
        (["a"], [[]], "equally many .*between 0 and 0"),
        ([b"a"], ["a"], "must be a str. Received: b'a'"),
        (["a"], [[None]], "must be a str. Received: None"),
    ],
)
def test_texts_that_do_not_match_are_refused(hypotheses, references, message):
    with pytest.raises(ValueError, match=message):
        generation_scores(hypotheses, references)


@pytest.mark.parametrize("measures", ["bleu", ["blue"], []])
def test_unknown_measures_are_refused(measures):
    with pytest.raises(ValueError, match="measures must be a list of some of bleu"):
        generation_scores(["a"], ["a"], measures)


@pytest.mark.parametrize(
    ("module", "measure", "package"),
    [
        ("sacrebleu", "bleu", "sacrebleu"),
        ("rouge_score.rouge_scorer", "rouge1", "rouge-score"),
    ],
)
def test_without_a_library_the_error_says_what_to_install(
    monkeypatch, module, measure, package
):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install {package}, or tfzoo\[metrics"):
        generation_scores(["a"], ["a"], [measure])
