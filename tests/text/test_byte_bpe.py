"""The tokenizer in Python, against vectors of `tokenizers` and of OpenAI."""

import copy
import gzip
import importlib.util
import json
import os
import pathlib
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.errors import TokenizerError
from tfzoo.text import ByteBPETokenizer, TokenizedTexts
from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS, bytes_of

VECTORS = json.loads(
    pathlib.Path(__file__).with_name("byte_bpe_vectors.json").read_text()
)
END = "<|endoftext|>"
LETTERS = sorted(CHARACTERS)
MERGES = [("a", "b"), ("\u0120", "ab"), ("ab", "c")]
TOKENS = [*LETTERS, "ab", "\u0120ab", "abc"]


@pytest.fixture
def small():
    """Bytes, three merges, an id without a token, and the end token."""
    return ByteBPETokenizer([*TOKENS, None, END], MERGES)


def ids_of(tokenizer, *tokens):
    return [tokenizer.token_to_id(token) for token in tokens]


def test_ids_equal_those_in_the_vectors(byte_bpe):
    texts = VECTORS["texts"]
    assert byte_bpe.tokenize(texts) == VECTORS["ids"]
    assert byte_bpe.graph(texts).to_list() == VECTORS["ids"]
    with_end = VECTORS["ids_with_end_token"]
    assert byte_bpe.tokenize(texts, end_token=True) == with_end
    assert byte_bpe.graph(texts, end_token=True).to_list() == with_end
    assert byte_bpe.detokenize(VECTORS["ids"]) == texts


def test_ids_decode_as_in_the_vectors(byte_bpe):
    assert byte_bpe.detokenize(VECTORS["any_ids"]) == VECTORS["decoded"]
    assert any("\ufffd" in text for text in VECTORS["decoded"])


def test_ids_are_those_of_gpt2(gpt2, shared_data):
    path = shared_data / "reference" / "gpt2_tokenization_part-even.json.gz"
    if not path.is_file():
        pytest.skip(f"no reference vectors in {shared_data}")
    items = json.loads(gzip.decompress(path.read_bytes()))["items"]
    texts, ids = [i["text"] for i in items], [i["ids"] for i in items]
    assert len(items) > 100
    assert gpt2.vocabulary_size == 50257
    assert gpt2.end_id == 50256
    assert gpt2.tokenize(texts) == ids
    assert gpt2.graph(texts).to_list() == ids
    assert gpt2.detokenize(ids) == texts
    assert [t.decode() for t in gpt2.graph.detokenize(gpt2.graph(texts)).numpy()] == (
        texts
    )


def test_ids_are_those_of_tiktoken(gpt2, shared_data):
    path = shared_data / "reference" / "gpt2_tiktoken_vectors.json"
    if not path.is_file():
        pytest.skip(f"no reference vectors in {shared_data}")
    content = json.loads(path.read_text())
    texts, ids = list(content["items"]), list(content["items"].values())
    assert gpt2.tokenize(texts) == ids
    assert gpt2.graph(texts).to_list() == ids
    special = content["with_special"]
    assert gpt2.tokenize(special["text"], end_token=True) == special["ids"]
    assert gpt2.graph([special["text"]], end_token=True).to_list() == [special["ids"]]


def test_the_end_token_in_a_text_is_plain_text_unless_requested(small):
    text = f"ab{END}abc"
    plain = ids_of(small, "ab", *END, "abc")
    assert small.tokenize(text) == plain
    assert small.detokenize(plain) == text
    read = ids_of(small, "ab", END, "abc")
    assert small.tokenize([text], end_token=True) == [read]
    assert small.tokenize_batch([text], end_token=True).token_ids.tolist() == read
    assert small.detokenize(read) == "ababc"


def test_a_batch_has_the_ids_of_its_texts(byte_bpe, hostile):
    batch = byte_bpe.tokenize_batch(iter(hostile))
    assert isinstance(batch, TokenizedTexts)
    assert batch.token_ids.dtype == np.int32
    assert batch.row_splits.dtype == np.int64
    expected = byte_bpe.tokenize(hostile)
    parts = np.split(batch.token_ids, batch.row_splits[1:-1])
    assert [part.tolist() for part in parts] == expected
    assert batch.lengths.tolist() == list(map(len, expected))
    empty = byte_bpe.tokenize_batch([])
    assert [len(array) for array in empty] == [0, 1]
    assert byte_bpe.tokenize([]) == []


def test_text_round_trips_and_invalid_utf8_is_replaced_as_in_python(byte_bpe, hostile):
    for text in hostile:
        valid = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        ids = byte_bpe.tokenize(text)
        assert ids == byte_bpe.tokenize(valid)
        assert byte_bpe.detokenize(ids) == valid
    assert byte_bpe.tokenize("a\ud800b") == byte_bpe.tokenize("a\ufffdb")


def test_a_character_split_between_tokens_is_decoded(small):
    ids = [i for byte in "\u00e9\U0001f981".encode() for i in ids_of(small, w(byte))]
    assert len(ids) == 6
    assert small.detokenize(ids) == "\u00e9\U0001f981"
    assert small.detokenize(ids[:3]) == "\u00e9\ufffd"
    assert small.detokenize(np.array([ids[:2], ids[:2]])) == ["\u00e9", "\u00e9"]
    assert small.detokenize([]) == ""


def w(byte):
    return CHARACTERS[byte]


def test_special_tokens_and_ids_without_a_token_add_nothing():
    tokenizer = ByteBPETokenizer(
        [*TOKENS, None, "<pad>", END], MERGES, special_tokens=["<pad>"]
    )
    assert tokenizer.special_tokens == (END, "<pad>")
    assert tokenizer.special_ids == (261, 260)
    assert tokenizer.end_id == 261
    assert tokenizer.vocabulary_size == 262
    assert tokenizer.id_to_token(259) is None
    assert tokenizer.detokenize([256, 259, 260, 261, 258]) == "ababc"


def test_a_vocabulary_may_lack_the_end_token():
    tokenizer = ByteBPETokenizer(TOKENS, MERGES)
    assert tokenizer.end_token == END
    assert tokenizer.end_id is None
    assert tokenizer.special_ids == ()
    for engine in (tokenizer.tokenize, tokenizer.tokenize_batch, tokenizer.graph):
        with pytest.raises(
            TokenizerError, match="contain the end token <.endoftext.> "
        ):
            engine(["a"], end_token=True)
    other = ByteBPETokenizer([*TOKENS, "</s>"], MERGES, end_token="</s>")
    assert other.tokenize("ab</s>", end_token=True) == [256, 259]


def test_a_token_outside_the_alphabet_stands_for_its_own_text():
    tokenizer = ByteBPETokenizer([*TOKENS, "\u52d5\u7269"], MERGES)
    assert tokenizer.detokenize([259, 256]) == "\u52d5\u7269ab"


def test_the_alphabet_is_openais():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    assert [ord(CHARACTERS[byte]) for byte in printable] == printable
    assert [ord(CHARACTERS[b]) for b in others] == list(range(256, 256 + len(others)))
    assert [bytes_of(character) for character in CHARACTERS] == [
        bytes([byte]) for byte in range(256)
    ]


@given(data=st.data())
def test_a_stream_returns_text_incrementally_without_splitting_characters(
    byte_bpe, data
):
    size = byte_bpe.vocabulary_size
    ids = data.draw(st.lists(st.integers(0, size - 1), max_size=20))
    if data.draw(st.booleans()):
        ids = byte_bpe.tokenize(data.draw(st.text(max_size=8)))
    stream = byte_bpe.stream()
    bits = [stream.add(index) for index in ids]
    assert "".join([*bits, stream.end()]) == byte_bpe.detokenize(ids)
    halves = [stream.add(ids[: len(ids) // 2]), stream.add(ids[len(ids) // 2 :])]
    assert "".join([*halves, stream.end()]) == byte_bpe.detokenize(ids)
    assert stream.end() == ""


def test_a_stream_waits_for_the_end_of_a_character(small):
    ids = ids_of(small, *map(w, "\U0001f981".encode()))
    stream = small.stream()
    assert [stream.add(index) for index in ids] == ["", "", "", "\U0001f981"]
    assert stream.add(ids[:3]) == ""
    assert stream.end() == "\ufffd"


def test_keras_serialization_copy_and_pickle_round_trip(small):
    assert small.graph is not None
    through_json = json.loads(json.dumps(keras.saving.serialize_keras_object(small)))
    for other in (
        keras.saving.deserialize_keras_object(through_json),
        ByteBPETokenizer.from_config(small.get_config()),
        copy.deepcopy(small),
        pickle.loads(pickle.dumps(small)),
    ):
        assert other.get_config() == small.get_config()
        assert other.tokenize(" abc") == ids_of(small, "\u0120ab", "c")


@pytest.mark.parametrize(
    ("vocabulary", "rule"),
    [
        (
            [],
            "each printable byte of ASCII. Missing: '\u0120', which represents byte 32",
        ),
        (LETTERS[1:], "Missing: '!', which represents byte 33"),
        ([*LETTERS, "a"], "unique. Received: 'a' with ids 64 and 256"),
        ([*LETTERS, ""], "must be a non-empty string.*: '' with id 256"),
        (
            [*LETTERS, "\ud800"],
            "must be .*valid Unicode. Received: '.ud800' with id 256",
        ),
        ([*LETTERS, 7], "must be a non-empty string.*: 7 with id 256"),
        ([*LETTERS, None], "last id of the vocabulary must have a token"),
        ([*LETTERS, *[None] * (1 << 20)], "must be < 1048576. Received: 1048831"),
    ],
)
def test_an_invalid_vocabulary_is_reported(vocabulary, rule):
    with pytest.raises(TokenizerError, match=rule.replace(".ud", r"\\ud")):
        ByteBPETokenizer(vocabulary, [])


@pytest.mark.parametrize(
    ("merges", "rule"),
    [
        (
            [("xy", "c")],
            r"tokens of the vocabulary, not 'xy'. Received: \('xy', 'c'\)",
        ),
        ([("a", "b"), ("ab", "c"), ("x", "zz")], "merge 2: .*vocabulary, not 'zz'"),
        ([("b", "c")], "must be in the vocabulary; 'bc' is not"),
        (
            [("a", "b"), ("a", "b")],
            "merge 1: A pair of tokens must have only one merge",
        ),
        ([("a", "b", "c")], "must be two tokens"),
        ([("a", "")], "must be two tokens"),
        ([("a", 3)], "must be two tokens"),
        ([("a", "\ud800")], "must be two tokens"),
        (["abc"], "must be two tokens"),
        ([("\u00fa", "\u52d5")], "vocabulary, not '\u52d5'"),
    ],
)
def test_an_invalid_merge_is_reported(merges, rule):
    with pytest.raises(TokenizerError, match=rule):
        ByteBPETokenizer(TOKENS, merges)


def test_several_merges_may_make_a_token():
    merges = [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc")]
    tokenizer = ByteBPETokenizer([*LETTERS, "ab", "bc", "abc"], merges)
    for text in ("abc", "abcbc", "xbcabc"):
        tokens = [tokenizer.id_to_token(i) for i in tokenizer.tokenize(text)]
        assert "".join(tokens) == text
        assert tokenizer.graph([text]).to_list() == [tokenizer.tokenize(text)]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"special_tokens": ["<pad>"]}, "must be in the vocabulary.*'<pad>'"),
        ({"special_tokens": ["ab"]}, "texts would contain it. Received: 'ab'"),
        ({"end_token": "a"}, "neither a byte nor the result of a merge.*'a'"),
    ],
)
def test_an_invalid_special_token_is_reported(options, rule):
    with pytest.raises(TokenizerError, match=rule):
        ByteBPETokenizer(TOKENS, MERGES, **options)


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda t: t.tokenize(3), "not iterable"),
        (lambda t: t.tokenize([3]), "must be str or bytes. Received: 3"),
        (lambda t: t.tokenize_batch("abc"), "an iterable of texts. Received: 'abc'"),
        (lambda t: t.id_to_token(261), "< the vocabulary size.*id=261"),
        (lambda t: t.detokenize([0, -1]), ">= 0.*id=-1"),
        (lambda t: t.stream().add(261), "id=261, vocabulary_size=261"),
        (lambda t: t.detokenize([0.5]), "cannot be interpreted as an integer"),
        (lambda t: t.required_id("bos"), "must be one of 'pad', .*Received: 'bos'"),
    ],
)
def test_invalid_arguments_are_value_errors_that_name_the_value(small, call, rule):
    with pytest.raises((ValueError, TypeError), match=rule):
        call(small)


@pytest.mark.slow
def test_the_rust_engine_needs_no_tensorflow():
    if importlib.util.find_spec("torch") is None:
        pytest.skip("Keras has no backend here but TensorFlow")
    program = (
        "import sys\n"
        "from tfzoo.text import ByteBPETokenizer\n"
        f"tokenizer = ByteBPETokenizer({TOKENS!r}, {MERGES!r})\n"
        "print(tokenizer.detokenize(tokenizer.tokenize('abc ab')))\n"
        "print('tensorflow' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-"],
        input=program,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "KERAS_BACKEND": "torch"},
    )
    assert result.stdout.split("\n")[:2] == ["abc ab", "False"]
