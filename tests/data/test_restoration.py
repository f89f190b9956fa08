"""Labels that come from raw text itself, and the way back."""

import pytest

from tfzoo.data.restoration import (
    IGNORED,
    LABELS,
    bare_words,
    capitals_f1,
    passages,
    punctuation_f1,
    restored,
)


@pytest.mark.parametrize(
    "text, words, labels",
    [
        ("So it is, Ada.", "so it is ada", ["Word", "word", "word,", "Word."]),
        ("A I-beam: 3D 3RD 3rd", "a i-beam 3d 3rd 3rd", "Word Word: Word WORD word"),
        ("NASA, NumPy; iOS", "nasa numpy ios", ["WORD,", IGNORED, IGNORED]),
        ('He said: "Go!" (twice).', "he said go twice", "Word word: Word! word."),
        ("What?! No...", "what no", "Word? Word."),
        ("spaced , marks .", "spaced marks", "word, word."),
        ("one,. two . ,", "one two", "word, word."),
        (", - lone ( marks", "lone marks", "word word"),
        ("don't e.g. x_1 _so_", "don't e.g x_1 so", "word word. word word"),
        ("Élan État ÖL ß", "élan état öl ß", "Word Word WORD word"),
        ("", "", ""),
    ],
)
def test_a_text_gives_these_words_and_labels(text, words, labels):
    labels = labels.split() if isinstance(labels, str) else labels
    assert bare_words(text) == (words.split(), labels)


def test_every_label_that_a_text_gives_is_in_the_list():
    text = " ".join(w + m for w in ("it", "It", "IT") for m in ("", *",.:;?!"))
    assert tuple(bare_words(text)[1]) == LABELS


@pytest.mark.parametrize(
    "text", ["So it is, Ada: NASA, 3D, I think!", "What? No; it's x_1.", "ÖL Élan"]
)
def test_the_labels_of_a_text_restore_it(text):
    words, labels = bare_words(text)
    starts = [len(" ".join(words[:i])) + (i > 0) for i in range(len(words))]
    tagged = [
        {"start": start, "label": label}
        for start, label in zip(starts, labels, strict=True)
    ]
    inside = {"start": starts[-1] + 1, "label": "WORD!"}
    assert restored(" ".join(words), [*tagged, inside]) == text


def test_a_word_without_a_label_stays_as_it_is():
    assert restored("far  beyond the limit", []) == "far beyond the limit"


@pytest.mark.parametrize(
    "f1, true, found",
    [
        (capitals_f1, "word Word word WORD word Word", "Word Word word word word Word"),
        (capitals_f1, "Word WORD Word word WORD word", "WORD WORD Word Word word word"),
        (punctuation_f1, ". , none . ? none :", ". . none none ? , :"),
    ],
)
def test_f1_is_that_of_scikit_learn_over_the_labels_that_change_a_word(f1, true, found):
    metrics = pytest.importorskip("sklearn.metrics")
    true, found = true.split(), found.split()
    labels = sorted({*true, *found} - {"word", "none"})
    expected = metrics.f1_score(true, found, labels=labels, average="micro")
    if f1 is punctuation_f1:  # whatever the capitals
        true = ["Word" + mark.replace("none", "") for mark in true]
        found = ["word" + mark.replace("none", "") for mark in found]
    else:  # whatever the marks
        true = [label + "," for label in true]
    assert f1(true, found) == pytest.approx(expected)
    assert f1([*true, IGNORED], [*found, "Word."]) == pytest.approx(expected)
    assert f1(["word"], ["word"]) == 0


def test_passages_have_all_words_in_order_and_at_most_so_many_tokens():
    words, labels = [*"abcdefg"], [*"ABCDEFG"]
    found = passages(words, labels, [1, 2, 3, 9, 1, 1, 1], most_tokens=3)
    assert found[0] == [["a", "b"], ["c"], ["d"], ["e", "f", "g"]]
    assert found[1] == [["A", "B"], ["C"], ["D"], ["E", "F", "G"]]
