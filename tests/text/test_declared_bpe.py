"""Byte-level BPEs of all kinds: both engines and their files against `tokenizers`."""

import functools
import gzip
import itertools
import json
import pathlib
import random

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tfzoo.errors import TokenizerError
from tfzoo.text import ByteBPETokenizer, tokenizer_from_preset
from tfzoo.text.byte_bpe import declaration, json_file
from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS
from tfzoo.text.byte_bpe.code_point_kinds import KIND, code_point_entries
from tfzoo.text.byte_bpe.words import words_of
from tfzoo.text.wordpiece.codepoint_lookup import CodePointTable

SPACE = "\u0120"
MERGES = [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc"), (SPACE, "a"), ("1", "2")]
MERGES += [(SPACE, "abc"), ("\u010a", "\u010a"), ("'", "s"), ("\u00cc", "\u0123")]
MADE = dict.fromkeys(map("".join, MERGES))
START, END, CALL = "<|startoftext|>", "<|endoftext|>", "<call>"
TELLING = (
    "a b S s \u017f t r e l 1 \u0661 ' ! < | > \n \r \t \u00a0 \u0130 \u0301".split(" ")
)
TELLING += [" ", "\u1100", "\u1161", "\u11a8", "\u0323", "\u05d0", "\U0001f469", "\0"]
PIECES = [*TELLING, START, END, CALL, "'s", "'LL", "\r\n", "  ", "123", "abc", "</w>"]
texts = st.text(st.sampled_from(TELLING), max_size=12) | st.lists(
    st.sampled_from(PIECES), max_size=8
).map("".join)


def tokenizer_of(split, normalizer=None, **options):
    letters, merges = sorted(CHARACTERS), list(MERGES)
    if split in declaration.WITHOUT_SPACES:
        options["end_of_word_suffix"] = "</w>"
        letters += [letter + "</w>" for letter in letters]
        merges += [("ab", "c</w>"), ("'", "s</w>"), ("1", "2</w>")]
    made = dict.fromkeys(map("".join, merges))
    return ByteBPETokenizer(
        [*letters, *made, CALL, START, None, END],
        merges,
        start_token=START,
        split=split,
        normalizer=normalizer,
        **options,
    )


KINDS = {
    "gpt-2": tokenizer_of("gpt-2"),
    "smollm-2": tokenizer_of("smollm-2"),
    "qwen-2": tokenizer_of("qwen-2", "nfc", added_tokens=[CALL]),
    "llama-3": tokenizer_of("llama-3", ignore_merges=True),
    "clip": tokenizer_of("clip", "clip"),
    "clip-words": tokenizer_of("clip-words", "clip", added_tokens=[CALL]),
}
kinds = pytest.mark.parametrize("tokenizer", KINDS.values(), ids=KINDS)
SLOW = ("gpt-2", "clip-words")  # in other fast tests; the words of "clip"
traced_kinds = pytest.mark.parametrize(
    "tokenizer",
    [
        pytest.param(tokenizer, marks=[pytest.mark.slow] * (name in SLOW), id=name)
        for name, tokenizer in KINDS.items()
    ],
)


@functools.cache
def opened(tokenizer):
    """The content of the tokenizer's file, opened by `tokenizers`."""
    other = Tokenizer.from_str(json_file.to_json(tokenizer))
    other.encode_special_tokens = True
    return other


def ids_of(other, texts):
    encoded = other.encode_batch(texts, add_special_tokens=False)
    return [encoding.ids for encoding in encoded]


def test_all_kinds_are_tested():
    assert {t.split for t in KINDS.values()} == set(declaration.SPLITS)
    assert {t.normalizer for t in KINDS.values()} == set(declaration.NORMALIZERS)


@pytest.mark.parametrize("split", declaration.SPLITS)
def test_short_texts_are_split_as_in_the_engine(split):
    rust = declaration.rust_without_model(None, split, add_prefix_space=False)
    telling = ["a", "s", "\u017f", "1", "'", "!", " ", "\n", "\t", "\u0661", "S"]
    some = map("".join, itertools.product(telling, repeat=4))
    some = ["", "a", *some, START, END + START, f"!{END}", f"{END}!", f"1{END}'s"]
    code_points = tf.strings.unicode_decode(tf.constant(some), "UTF-8")
    kinds = CodePointTable(*code_point_entries())(code_points.flat_values) & KIND
    words = words_of(split, code_points.flat_values, kinds, code_points.row_splits)
    expected, offset = [], 0
    for text in some:
        pieces = rust.pre_tokenizer.pre_tokenize_str(text)
        expected += [(offset + start, offset + end) for _, (start, end) in pieces]
        offset += len(text)
    starts, ends = (x.numpy().tolist() for x in words)
    assert list(zip(starts, ends, strict=True)) == expected


@traced_kinds
@given(some=st.lists(texts, min_size=1, max_size=5))
def test_both_engines_have_the_ids_of_the_file(tokenizer, some):
    other = opened(tokenizer)
    ids = ids_of(other, some)
    assert tokenizer.tokenize(some) == ids
    received = tokenizer.graph(some)
    assert received.to_list() == ids
    decoded = other.decode_batch(ids)
    if tokenizer.end_of_word_suffix:
        decoded = [text.replace("</w>", " ").strip() for text in decoded]
    assert tokenizer.detokenize(ids) == decoded
    texts = tokenizer.graph.detokenize(received).numpy()
    assert [text.decode() for text in texts] == decoded


@kinds
def test_any_ids_become_the_text_of_the_engine(tokenizer):
    other, source = opened(tokenizer), random.Random(0)
    size = tokenizer.vocabulary_size  # most tokens are single bytes: no UTF-8
    rows = [source.choices(range(size), k=k % 12) for k in range(200)]
    special = tokenizer.special_ids[0]
    rows += [[*ids[:3], special, *ids[3:]] for ids in rows[:50]]
    expected = other.decode_batch(rows)
    if tokenizer.end_of_word_suffix:
        expected = [text.replace("</w>", " ").strip() for text in expected]
    assert tokenizer.detokenize(rows) == expected
    rows = [[-1, *ids, size, 2**31 - 1] for ids in rows]  # add nothing in a graph
    found = tokenizer.graph.detokenize(tf.ragged.constant(rows, tf.int32)).numpy()
    assert [text.decode() for text in found] == expected
    for index in (-1, size):
        with pytest.raises(ValueError, match=f"id={index}, vocabulary_size={size}"):
            tokenizer.detokenize([0, index])
    for ids in rows[:50]:
        stream = tokenizer.stream()
        text = "".join(map(stream.add, ids[1:-2])) + stream.end()
        assert text == tokenizer.detokenize(ids[1:-2])


@traced_kinds
def test_hostile_texts_have_the_ids_and_offsets_of_the_rust_engine(tokenizer, hostile):
    some = hostile[:400]
    content = [t if isinstance(t, bytes) else t.encode() for t in some]
    places = tokenizer.graph.places(content)
    places = {name: ragged.to_list() for name, ragged in places.items()}
    assert places["token_ids"] == tokenizer.tokenize(some)
    for i, text in enumerate(some):
        encoding = tokenizer.encode(text)
        offsets = zip(places["starts"][i], places["ends"][i], strict=True)
        assert list(offsets) == encoding.offsets, ascii(text)
        words = [a != b for a, b in itertools.pairwise([None, *encoding.word_ids])]
        assert places["starts_word"][i] == words, ascii(text)


@kinds
def test_a_saved_tokenizer_is_read_back_equal(tmp_path, tokenizer):
    tokenizer.save_to_preset(tmp_path)
    assert tokenizer_from_preset(tmp_path).get_config() == tokenizer.get_config()
    config = json.loads(json.dumps(tokenizer.get_config()))
    assert ByteBPETokenizer.from_config(config).get_config() == config


def test_what_gpt2_does_not_have_is_left_out_of_the_configuration():
    assert not KINDS["gpt-2"].get_config().keys() & {
        "split",
        "normalizer",
        "end_of_word_suffix",
        "ignore_merges",
        "added_tokens",
    }


FLAGS = {
    "plain": {"<a>": "", "<a": "", "b>": "", "  ": "", "x": "", "<ab>": ""},
    "spaces": {"<a>": "l", "<a": "r", "b>": "lr", "  ": "", "x": "l", "<ab>": "r"},
}


@pytest.fixture(
    scope="module",
    params=[pytest.param("plain", marks=pytest.mark.slow), "spaces"],
)
def with_added(request):
    flags = FLAGS[request.param]
    added = [
        {"content": token, "lstrip": "l" in some, "rstrip": "r" in some}
        for token, some in flags.items()
    ]
    tokens = [*sorted(CHARACTERS), *(flags.keys() - {"x"}), "[E]"]
    return ByteBPETokenizer(tokens, [], end_token="[E]", added_tokens=added)


@given(some=st.lists(st.text(" \n<>abxE[]\u3000", max_size=12), max_size=6))
def test_added_tokens_are_recognized_as_in_the_rust_engine(with_added, some):
    some = ["a  [E] <ab>\n", *(text.replace("bb", "[E]") for text in some)]
    for end_token in (False, True):
        ids = with_added.tokenize(some, end_token=end_token)
        assert with_added.graph(some, end_token=end_token).to_list() == ids
    if any(token.lstrip for token in with_added.added_tokens):
        return  # its offsets include white space, and so differ
    places = with_added.graph.places(some)
    starts, ends = (places[name].to_list() for name in ("starts", "ends"))
    for text, first, last in zip(some, starts, ends, strict=True):
        assert list(zip(first, last, strict=True)) == with_added.encode(text).offsets


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"added_tokens": ["|e"]}, "not overlap a special one.*'.e' and '<.endof"),
        ({"added_tokens": [">>"]}, "not overlap a special one.*'>>' and '<.endof"),
        (
            {"added_tokens": [{"content": "<x>", "normalized": True}, "<x"]},
            "in normalized text.*'<x>' and '<x'",
        ),
        (
            {
                "added_tokens": [{"content": "<x>", "normalized": True}],
                "normalizer": "nfc",
            },
            "must not be looked for in normalized text. Received: '<x>'",
        ),
    ],
)
def test_added_tokens_that_a_graph_cannot_follow_are_refused(options, rule):
    tokens = [*sorted(CHARACTERS), "|e", ">>", "<x", "<x>", END]
    with pytest.raises(TokenizerError, match=rule):
        _ = ByteBPETokenizer(tokens, [], **options).graph


@pytest.mark.parametrize(
    ("options", "error", "rule"),
    [
        ({"split": "words"}, ValueError, "split must be one of 'gpt-2'.*'words'"),
        ({"normalizer": "nfkc"}, ValueError, "normalizer must be one of None.*'nfkc'"),
        ({"normalizer": "clip"}, ValueError, "requires split='clip'.*'gpt-2'"),
        ({"end_of_word_suffix": "@"}, ValueError, "one of '', '</w>'. Received: '@'"),
        (
            {"split": "qwen-2", "add_prefix_space": True},
            ValueError,
            "requires split='gpt-2'.*split='qwen-2'",
        ),
        ({"added_tokens": ["zz"]}, TokenizerError, "must be in the vocabulary.*'zz'"),
        ({"added_tokens": [END]}, TokenizerError, "once, and not special.*<.endof"),
        (
            {"special_tokens": ["word"], "ignore_merges": True},
            TokenizerError,
            "must not be a word on its own.*'word'",
        ),
    ],
)
def test_an_invalid_declaration_is_reported(options, error, rule):
    with pytest.raises(error, match=rule):
        ByteBPETokenizer([*sorted(CHARACTERS), "word", END], [], **options)


@pytest.mark.parametrize(
    ("pre_tokenizer", "rule"),
    [
        (
            {"type": "Split", "pattern": {"Regex": r"\w+"}},
            r"pattern: The pattern must be that of .*\\\\w\+",
        ),
        (
            {"type": "Split", "pattern": {"String": " "}, "behavior": "Isolated"},
            'pattern: The pattern must be that of .*"String"',
        ),
        ({"type": "Digits", "individual_digits": False}, "individual_digits: .*false"),
        ({"type": "Punctuation"}, 'type: .*"ByteLevel", alone or after .*Punctuation'),
        (3, "type: The pre-tokenizer must be"),
    ],
)
def test_a_file_with_another_split_is_refused_with_its_pattern(
    tmp_path, pre_tokenizer, rule
):
    KINDS["llama-3"].save_to_preset(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text())
    content["pre_tokenizer"]["pretokenizers"][0] = pre_tokenizer
    path.write_text(json.dumps(content))
    with pytest.raises(TokenizerError, match=f"tokenizer.json: pre_tokenizer.{rule}"):
        ByteBPETokenizer.from_preset(tmp_path)


def test_bytes_without_a_token_vanish_as_in_the_rust_engine():
    gone = [CHARACTERS[byte] for byte in (1, *"\u00e9".encode())]
    letters = [letter for letter in CHARACTERS if letter not in gone]
    tokenizer = ByteBPETokenizer([*letters, "ab", END], [("a", "b")])
    some = ["a\u00e9b", "\1", "\1\1a", "\u00e9", "", "a\u00e9b" * 99, "\u00e9" * 99]
    assert tokenizer.graph(some).to_list() == tokenizer.tokenize(some)
    assert tokenizer.tokenize("a\u00e9b") == [tokenizer.token_to_id("ab")]


def real(name, shared_data, tmp_path):
    """A real tokenizer and its expected ids."""
    source = shared_data.parent / "tokenizers" / name
    if not source.is_dir():
        pytest.skip(f"no tokenizer {name} beside {shared_data}")
    for path in source.iterdir():
        if path.name == "tokenizer.json.gz":
            content = gzip.decompress(path.read_bytes())
            (tmp_path / "tokenizer.json").write_bytes(content)
        elif path.name.startswith("bpe_simple_vocab"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    expected = gzip.decompress((source / "expected.json.gz").read_bytes())
    return ByteBPETokenizer.from_preset(tmp_path), json.loads(expected)["items"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smollm2", "qwen3", "clip"])
def test_ids_of_published_tokenizers_are_the_expected_ones(name, shared_data, tmp_path):
    tokenizer, items = real(name, shared_data, tmp_path)
    some, ids = [i["text"] for i in items], [i["ids"] for i in items]
    assert len(items) > 100
    assert [tokenizer.encode(text).token_ids for text in some] == ids
    assert tokenizer.graph.encode(some)["token_ids"].to_list() == ids
    for item in items:
        decoded = tokenizer.detokenize(item["ids"])
        assert decoded == item.get("decoded", decoded)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smollm2", "qwen3", "clip"])
def test_ten_thousand_hostile_texts_have_the_ids_of_published_tokenizers(
    name, shared_data, tmp_path, make_hostile
):
    tokenizer, _ = real(name, shared_data, tmp_path)
    some = make_hostile(10_000, seed=3)
    content = [t if isinstance(t, bytes) else t.encode() for t in some]
    assert tokenizer.graph(content).to_list() == tokenizer.tokenize(some)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama-3", "clip"])
def test_scrambled_files_are_refused_in_one_line(name, tmp_path, refusals):
    directory = pathlib.Path(tmp_path)
    KINDS[name].save_to_preset(directory)
    path = directory / "tokenizer.json"
    assert refusals(path, lambda: tokenizer_from_preset(directory)) > 200
