"""Training gives the same merges every time, and the right ones."""

import gzip
import inspect
import subprocess
import sys

import pytest
from tokenizers import Tokenizer, pre_tokenizers

from tfzoo.errors import TokenizerError
from tfzoo.text import ByteBPETokenizer, tokenizer_from_preset
from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS
from tfzoo.text.byte_bpe.declaration import SPLITS
from tfzoo.text.training_text import passages

TEXTS = [
    "The zoo opens early; the zookeeper's lions don't sleep.\n",
    "Lions:\n    - walk\n    - sleep\n\n\nZebras walk, walked, walking.\r\n",
    "Caf\u00e9s \u52d5\u7269\u5712 \U0001f981 <|endoftext|>\n",
] * 5


def train(source=TEXTS, **options):
    options = {"vocabulary_size": 330, "progress": False, **options}
    return ByteBPETokenizer.train(source, **options)


def test_bytes_come_first_then_frequent_parts_and_the_end_token_last():
    tokenizer = train()
    assert tokenizer.vocabulary[:256] == tuple(sorted(CHARACTERS))
    made = tuple(first + second for first, second in tokenizer.merges)
    assert tokenizer.vocabulary[256:] == (*made, "<|endoftext|>")
    assert tokenizer.vocabulary_size == 330
    assert tokenizer.end_id == 329
    assert {"\u0120walk", "Lions"} <= set(made)
    text = "".join(TEXTS)
    ids = tokenizer.tokenize(text)
    assert len(ids) < 0.6 * len(text.encode())
    assert tokenizer.graph([text]).to_list() == [ids]


def test_the_most_frequent_pair_is_merged_first():
    words = ["abab", "ab", "xyxy"]
    merges = train([" ".join(words * 3)], vocabulary_size=260).merges
    assert merges[:2] == (("a", "b"), ("x", "y"))


NAMES = [f"{first} {first}{last}" for first in dir(str) for last in dir(bytes)]


@pytest.mark.slow
def test_training_in_another_process_gives_the_same_merges():
    here = train(NAMES, vocabulary_size=600)
    program = (
        "from tfzoo.text import ByteBPETokenizer\n"
        f"tokenizer = ByteBPETokenizer.train({NAMES!r}, vocabulary_size=600, "
        "progress=False)\n"
        "print(ascii(tokenizer.merges))"
    )
    there = subprocess.run(
        [sys.executable, "-"], input=program, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == ascii(here.merges)
    assert here.vocabulary_size == 600


def test_texts_an_iterator_and_files_give_the_same_merges(tmp_path):
    expected = train(["".join(TEXTS)]).get_config()
    assert train(iter(["".join(TEXTS)])).get_config() == expected
    assert train([b"".join(text.encode() for text in TEXTS)]).get_config() == expected
    (tmp_path / "a.txt").write_bytes(("\ufeff" + "".join(TEXTS)).encode())
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("".join(TEXTS).encode()))
    for name in ("a.txt", "a.txt.gz"):
        assert train([tmp_path / name]).get_config() == expected


@pytest.mark.parametrize("longest", [0, 10**6])
def test_passages_have_the_words_of_the_whole_text(monkeypatch, longest):
    monkeypatch.setattr("tfzoo.text.training_text._LONGEST_PASSAGE", longest)
    lines = ["a b\n", "\n", "\n", "  c\r\n", "\r\n", "d\n", "\u00a0e\n", "f", ""]
    if longest == 0:  # then indented lines are separated
        lines = [line for line in lines if not line[:1].isspace()]
    split = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
    parts = list(passages(lines))
    assert "".join(parts) == "".join(lines)
    words = [word for part in parts for word, _ in split(part)]
    assert words == [word for word, _ in split("".join(lines))]
    assert list(passages([])) == []


def test_every_option_changes_the_merges():
    assert train(vocabulary_size=300).vocabulary_size == 300
    rare = train(vocabulary_size=10_000, min_frequency=11)
    assert rare.vocabulary_size < train(vocabulary_size=10_000).vocabulary_size
    other = train(end_token="</s>")
    assert other.end_token == other.vocabulary[-1] == "</s>"
    special = ("start", "pad", "unknown", "cls", "sep", "mask")
    special = [f"{name}_token" for name in special]
    for name in special:
        other = train(**{name: "<x>"})
        assert getattr(other, name) == "<x>"
        assert "<x>" in other.vocabulary and "<x>" not in train().vocabulary
    names = inspect.getfullargspec(ByteBPETokenizer.train).kwonlyargs
    sizes = {"vocabulary_size", "min_frequency"}
    declared = {"split", "normalizer", "end_of_word_suffix"}  # tested below
    assert {*names} == {*sizes, *declared, "end_token", *special, "progress"}


def test_progress_is_shown_in_a_terminal_if_requested(capfd, monkeypatch):
    train(progress=True)
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    train()
    assert capfd.readouterr().err == ""
    train(progress=True)
    assert "words" in capfd.readouterr().err


@pytest.mark.parametrize("texts", [[], [""], iter([])])
def test_empty_text_is_refused(texts):
    with pytest.raises(
        TokenizerError, match="train the tokenizer on must not be empty"
    ):
        train(texts)


def test_a_vocabulary_smaller_than_the_bytes_is_refused():
    with pytest.raises(TokenizerError, match="at least 257.*vocabulary_size=256"):
        train(vocabulary_size=256)
    assert train(vocabulary_size=257).merges == ()


def test_an_unreadable_file_is_reported_with_its_line(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"fine\n\xe9\n")
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(b"text " * 9999)[:-20])
    for name, rule in [
        ("latin.txt", "latin.txt:2: The text must be UTF-8"),
        ("cut.txt.gz", "cut.txt.gz:1: The file cannot be read"),
        ("absent.txt", "absent.txt: The file does not exist"),
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
    with pytest.raises(TokenizerError, match="a.txt, .*b.txt: .*must not be empty"):
        train(paths)
    with pytest.raises(TokenizerError, match="^The text .*must not be empty"):
        train([""])


NUMBERS = [
    "The ZOO's Zoo 1234 12345 + 1234, IT'S 1234!\n\n\n\t\u00e9 e\u0301 e\u0301\r\n"
] * 9
WRITTEN = "\u0120\u010a"  # a space and a line feed
RULES = {  # split: options, the longest number, whether a token may have a space
    "gpt-2": ({}, 5, True),
    "smollm-2": ({}, 1, True),
    "qwen-2": ({"normalizer": "nfc"}, 1, True),
    "llama-3": ({}, 3, True),
    "clip": ({"normalizer": "clip", "end_of_word_suffix": "</w>"}, 1, False),
    "clip-words": ({"normalizer": "clip", "end_of_word_suffix": "</w>"}, 1, False),
}


def test_all_splits_are_trained():
    assert set(RULES) == set(SPLITS)


@pytest.mark.parametrize("split", RULES)
def test_words_are_split_as_declared_in_training_and_in_the_file(split, tmp_path):
    options, longest, has_spaces = RULES[split]
    options = {"split": split, "vocabulary_size": 700, **options}
    tokenizer = train(NUMBERS, **options)
    made = {"".join(pair).removesuffix("</w>") for pair in tokenizer.merges}
    numbers = filter(str.isdigit, (token.lstrip(WRITTEN) for token in made))
    assert max([1, *map(len, numbers)]) == longest
    assert any(set(token) & set(WRITTEN) for token in made) == has_spaces
    assert any(map(str.isupper, filter(str.isascii, made))) == has_spaces
    tokenizer.save_to_preset(tmp_path)
    other = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    other.encode_special_tokens = True
    for text in [*NUMBERS[:1], *TEXTS]:
        assert tokenizer.tokenize(text) == other.encode(text).ids
    assert tokenizer_from_preset(tmp_path).get_config() == tokenizer.get_config()
    if split == "clip":
        assert train(NUMBERS, **options).get_config() == tokenizer.get_config()


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"split": "bert"}, "split must be one of 'gpt-2', .*Received: 'bert'"),
        ({"normalizer": "nfd"}, "normalizer must be one of None, 'nfc', 'clip'"),
        ({"normalizer": "clip"}, "normalizer='clip' requires split='clip'"),
        ({"end_of_word_suffix": "_"}, "end_of_word_suffix must be one of '', '</w>'"),
    ],
)
def test_wrong_declarations_are_refused_before_training(wrong, message):
    with pytest.raises(ValueError, match=message):
        train(iter(()), **wrong)
