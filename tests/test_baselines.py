"""The plain baselines that models are compared with."""

import numpy as np
import pytest

from tfzoo import baselines
from tfzoo.baselines import classify_by_bag, tag_by_window, tag_by_word


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setitem(baselines._WINDOW, "least_steps", 40)
    monkeypatch.setitem(baselines._WINDOW, "learning_rate", 0.3)


def test_a_word_gets_the_label_it_has_most_often():
    sentences = [["so", "it", "is"], ["it", "is", "so"], ["so"]]
    labels = [["A", "B", "C"], ["B", "A", "B"], ["A"]]
    found = tag_by_word(sentences, labels, [["so", "it"], ["unknown", "it"], []])
    assert found == [["A", "B"], ["A", "B"], []]


def test_words_to_ignore_do_not_count():
    labels = [["A", -100, -100, -1, -1, "B", "B"]]
    assert tag_by_word([["it"] * 7], labels, [["it"]]) == [["B"]]
    sentences, labels = [["a", "b"]] * 50, [["A", -100]] * 49 + [["A", "B"]]
    assert tag_by_window(sentences, labels, [["a", "b"]], radius=1) == [["A", "B"]]


@pytest.fixture(scope="module")
def sentences():
    """Random words."""
    rng = np.random.default_rng(0)
    return [
        [str(word) for word in rng.choice([*"abcd"], size=rng.integers(3, 9))]
        for _ in range(300)
    ]


def two_before(words):
    """Labels each word by the one two places before it."""
    return ["first"] * 2 + [word.upper() for word in words[:-2]]


@pytest.mark.parametrize("radius, least, most", [(2, 1, 1), (1, 0.3, 0.7)])
def test_a_window_sees_words_up_to_its_radius_and_no_further(
    sentences, radius, least, most
):
    labels = [*map(two_before, sentences)]
    alone, train, held_out = ["a", "b", "c"], sentences[:200], sentences[200:]
    others = [alone, *held_out, ["d", "d"], alone, ["d"]]
    found = tag_by_window(train, labels[:200], others, radius=radius)
    assert [*map(len, found)] == [*map(len, others)]
    assert found[0] == found[-2]  # words of other sentences make no difference
    pairs = zip(sum(found[1:-3], []), sum(labels[200:], []), strict=True)
    assert least <= np.mean([one == other for one, other in pairs]) <= most


def test_a_word_that_occurs_once_stands_for_unknown_ones():
    sentences = [["a", "b"]] * 20 + [["once"], ["twice"], ["twice"]]
    labels = [["A", "B"]] * 20 + [["C"], ["D"], ["D"]]
    found = tag_by_window(sentences, labels, [["never"], ["twice"]], radius=0)
    assert found == [["C"], ["D"]]


def test_a_bag_sees_words_and_the_order_of_two():
    texts = ["a good dull film", "a dull good film", "dull but good", "good but dull"]
    labels = ["dull", "good", "good", "dull"]
    others = ["but dull", "but good", "Dull film!", "good film"]
    found = classify_by_bag(texts * 8, labels * 8, others)
    assert found == ["dull", "good", "dull", "good"]


def test_a_bag_of_characters_knows_a_word_by_its_parts():
    texts, labels = ["winning", "winners", "lunch", "lunches"], [*"aabb"]
    found = classify_by_bag(
        texts * 8, labels * 8, ["WINNER", "lunching"], characters=True
    )
    assert found == ["a", "b"]
