"""Training gives the same vocabulary every time, and the right one."""

import gzip
import inspect
import subprocess
import sys

import pytest

from tfzoo.errors import TokenizerError
from tfzoo.text import WordPieceTokenizer

TEXTS = [
    "The zoo opens early; the zookeeper feeds the lions and the zebras.",
    "Lions sleep, zebras walk: walking, walked, walks. Caf\u00e9s open late!",
    "[MASK] tokens are plain text: \u52d5\u7269\u5712 \ud55c\uad6d \U0001f981",
] * 5
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def train(source=TEXTS, **options):
    options = {"vocabulary_size": 130, "progress": False, **options}
    return WordPieceTokenizer.train(source, **options)


def test_special_tokens_come_first_then_characters_then_frequent_parts():
    vocabulary = train().vocabulary
    assert vocabulary[:5] == SPECIAL_TOKENS
    letters = [t for t in vocabulary[5:] if len(t) == 1]
    assert vocabulary[5 : 5 + len(letters)] == tuple(sorted(letters))
    assert {"a", "##a", "!", "\u52d5", "\U0001f981"} <= set(vocabulary)
    assert not {"T", "\u00e9", "##!", "##\u52d5"} & set(vocabulary)
    assert {"the", "zoo", "walk"} <= set(vocabulary)
    assert len(vocabulary) == len(set(vocabulary)) == 130


NAMES = [f"{first} {first}{last}" for first in dir(str) for last in dir(bytes)]


@pytest.mark.slow
def test_training_in_another_process_gives_the_same_vocabulary():
    options = {"vocabulary_size": 300, "alphabet_size": 25, "progress": False}
    here = WordPieceTokenizer.train(NAMES, **options).vocabulary
    program = (
        "from tfzoo.text import WordPieceTokenizer\n"
        f"tokenizer = WordPieceTokenizer.train({NAMES!r}, **{options!r})\n"
        "print(tokenizer.vocabulary)"
    )
    there = subprocess.run(
        [sys.executable, "-"], input=program, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == str(here)
    assert len(here) == 300


def test_texts_an_iterator_and_files_give_the_same_vocabulary(tmp_path):
    expected = train().get_config()
    assert train(iter(TEXTS)).get_config() == expected
    assert train(text.encode() for text in TEXTS).get_config() == expected
    assert train(["\n".join(TEXTS)]).get_config() == expected
    content = "\ufeff" + "\n".join(TEXTS[:4]) + "\r\n"
    (tmp_path / "a.txt").write_bytes(content.encode())
    rest = gzip.compress("\n".join(TEXTS[4:]).encode())
    (tmp_path / "b.txt.gz").write_bytes(rest)
    files = [tmp_path / "a.txt", tmp_path / "b.txt.gz"]
    assert train(files).get_config() == expected
    assert train(iter(files)).get_config() == expected


def test_of_equally_frequent_characters_the_first_in_unicode_are_kept():
    texts = ["dab cab", "bad", "e"]  # a and b occur three times, d twice, c and e once
    for order in (texts, texts[::-1]):
        vocabulary = train(order, alphabet_size=4).vocabulary
        assert [t for t in vocabulary if len(t) == 1] == ["a", "b", "c", "d"]


def test_every_option_changes_the_vocabulary():
    names = inspect.getfullargspec(WordPieceTokenizer.train).kwonlyargs
    told = "lowercase strip_accents split_cjk vocabulary_size min_frequency".split()
    assert {*names} == {*told, "alphabet_size", "progress"}
    default = set(train().vocabulary)
    assert "T" in train(lowercase=False).vocabulary
    assert "\u00e9" in train(strip_accents=False).vocabulary
    assert "##\u7269" in train(split_cjk=False).vocabulary
    assert len(train(vocabulary_size=120).vocabulary) == 120
    rare = set(train(vocabulary_size=10_000, min_frequency=50).vocabulary)
    assert len(rare) < len(default)
    few = train(alphabet_size=5).vocabulary
    assert len([t for t in few if len(t) == 1]) == 5
    assert not train(lowercase=False).lowercase
    assert train(strip_accents=False).strip_accents is False
    assert not train(split_cjk=False).split_cjk


def test_every_trained_character_is_in_the_vocabulary(hostile):
    tokenizer = train(hostile, vocabulary_size=60_000, alphabet_size=20_000)
    ids = [i for row in tokenizer.tokenize(hostile) for i in row]
    assert len(ids) > 1000
    assert tokenizer.unknown_id not in ids
    assert tokenizer.graph(["the " + chr(0x1B44)]).to_list() == [
        tokenizer.tokenize("the " + chr(0x1B44))
    ]


def test_progress_is_shown_in_a_terminal_if_requested(capfd, monkeypatch):
    train(progress=True)
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    train()
    assert capfd.readouterr().err == ""
    train(progress=True)
    assert "characters" in capfd.readouterr().err


@pytest.mark.parametrize("texts", [[], [""], [" \n\t"], ["\0\u200b"], iter([])])
def test_text_without_words_is_refused(texts):
    with pytest.raises(TokenizerError, match="must contain words"):
        train(texts)


def test_a_size_below_the_characters_is_refused_with_the_minimum():
    needed = len([t for t in train().vocabulary if len(t.removeprefix("##")) == 1]) + 5
    assert train(vocabulary_size=needed).vocabulary_size == needed
    rule = f"at least {needed} for .*Received: vocabulary_size={needed - 1}"
    with pytest.raises(TokenizerError, match=rule):
        train(vocabulary_size=needed - 1)


def test_unreadable_files_are_reported_with_their_line(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"fine\ncaf\xe9\n")
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(b"text " * 9999)[:-20])
    (tmp_path / "not.txt.gz").write_bytes(b"not gzip")
    for name, rule in [
        ("latin.txt", "latin.txt:2: The text must be UTF-8"),
        ("cut.txt.gz", "cut.txt.gz:1: The file cannot be read"),
        ("not.txt.gz", "not.txt.gz:1: The file cannot be read"),
        ("absent.txt", "absent.txt: The file does not exist"),
        (".", "The path must be a file"),
    ]:
        with pytest.raises(TokenizerError, match=rule):
            train([tmp_path / name])


@pytest.mark.parametrize("source", ["a text", b"a text"])
def test_a_single_text_as_source_is_refused(source):
    with pytest.raises(ValueError, match="must be an iterable of texts.*a text"):
        train(source)
    with pytest.raises(ValueError, match="must be str or bytes. Received: 3"):
        train([source, 3])


def test_files_without_text_are_named(tmp_path):
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(TokenizerError, match="a.txt, .*b.txt: .*must contain words"):
        train(paths)
    with pytest.raises(TokenizerError, match="^The text .*must contain words"):
        train([""])
