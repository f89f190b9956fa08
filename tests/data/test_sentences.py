"""Sentences by punctuation."""

from hypothesis import given
from hypothesis import strategies as st

from tfzoo.data import sentences
from tfzoo.data.sentences import SentenceSplitter, split_sentences

CASES = {
    "One. Two! Three? Four": ["One.", "Two!", "Three?", "Four"],
    "Mr. Smith met Dr. J. R. Jones. He left.": [
        "Mr. Smith met Dr. J. R. Jones.",
        "He left.",
    ],
    'He said "Go." Then (so to say!) "no?" She left.': [
        'He said "Go."',
        "Then (so to say!)",
        '"no?"',
        "She left.",
    ],
    "It costs 3.50 at 5 p.m. today, e.g. now.": [
        "It costs 3.50 at 5 p.m. today, e.g. now."
    ],
    "Well... perhaps. Wait... What": ["Well... perhaps.", "Wait...", "What"],
    "And I. The end.": ["And I.", "The end."],
    "今日は。元気？はい": ["今日は。", "元気？", "はい"],
    "「はい。」と彼": ["「はい。」", "と彼"],
    "  \n ": [],
    "": [],
}


def test_sentences_end_where_they_should():
    for text, expected in CASES.items():
        assert split_sentences(text) == expected


@given(st.lists(st.sampled_from(["One", "two.", "Mr.", "Three!", "4?", "“Five.”"])))
def test_feeding_word_by_word_gives_the_same_sentences(words):
    splitter, found = SentenceSplitter(), []
    for word in words:
        found += splitter.feed(word + " ")
    assert found + splitter.finish() == split_sentences(" ".join(words))


@given(st.text(max_size=300))
def test_only_whitespace_is_lost(text):
    found = "".join("".join(s.split()) for s in split_sentences(text))
    assert found == "".join(text.split())


def test_a_sentence_that_never_ends_is_cut(monkeypatch):
    monkeypatch.setattr(sentences, "MAX_SENTENCE_CHARACTERS", 20)
    found = split_sentences("word " * 20 + "x" * 50)
    assert max(map(len, found)) <= 20
    assert "".join(found).replace(" ", "") == "word" * 20 + "x" * 50
