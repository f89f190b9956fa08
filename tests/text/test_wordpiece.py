"""The tokenizer in Python, against vectors of `tokenizers` and its decoder."""

import copy
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
from tokenizers import decoders

from tfzoo.errors import TokenizerError
from tfzoo.text import EncodedBatch, WordPieceTokenizer

VECTORS = json.loads(pathlib.Path(__file__).with_name("vectors.json").read_text())
SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(5)
WORDS = [
    "a",
    "##b",
    "the",
    "zoo",
    "##s",
    "!",
    "[",
    "]",
    "mask",
    "caf\u00e9",
    "cafe",
    "The",
]


@pytest.fixture(scope="module")
def tokenizer():
    return WordPieceTokenizer([*SPECIAL_TOKENS, *WORDS])


def ids_of(tokenizer, *tokens):
    return [tokenizer.token_to_id(token) for token in tokens]


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda c: str(c["options"]))
def test_ids_and_offsets_equal_those_in_the_vectors(case):
    tokenizer = WordPieceTokenizer(VECTORS["vocabulary"], **case["options"])
    ids = [item["ids"] for item in case["items"]]
    assert tokenizer.tokenize(VECTORS["texts"]) == ids
    assert tokenizer.graph(VECTORS["texts"]).to_list() == ids
    for text, item in zip(VECTORS["texts"], case["items"], strict=True):
        encoding = tokenizer.encode(text)
        assert encoding.token_ids[1:-1] == item["ids"]
        assert [list(pair) for pair in encoding.offsets[1:-1]] == item["offsets"]


def test_ids_are_those_of_the_published_vocabulary(shared_data):
    import gzip

    reference = (
        shared_data / "reference" / "bert-base-uncased_tokenization_part-even.json"
    )
    vocabulary = shared_data / "vocab" / "bert-base-uncased-vocab.txt.gz"
    if not (reference.is_file() and vocabulary.is_file()):
        pytest.skip(f"no reference vectors in {shared_data}")
    with gzip.open(vocabulary, "rt", encoding="utf-8", newline="\n") as file:
        tokenizer = WordPieceTokenizer(file.read().removesuffix("\n").split("\n"))
    items = json.loads(reference.read_text(encoding="utf-8"))["items"]
    texts, ids = [i["text"] for i in items], [i["ids"] for i in items]
    assert len(items) > 50
    assert tokenizer.tokenize(texts) == ids
    assert tokenizer.graph(texts).to_list() == ids
    offsets = [tokenizer.encode(text).offsets[1:-1] for text in texts]
    assert offsets == [list(map(tuple, item["offsets"])) for item in items]


@pytest.mark.parametrize(
    ("text", "options", "changed"),
    [
        ("The", {"lowercase": False}, ["The"]),
        ("CAF\u00c9", {"strip_accents": False}, ["caf\u00e9"]),
        ("\u52d5\u7269", {"split_cjk": False}, ["\u52d5\u7269"]),
        ("caf\u00e9", {"lowercase": False}, ["caf\u00e9"]),
        ("caf\u00e9", {"lowercase": False, "strip_accents": True}, ["cafe"]),
    ],
)
def test_every_option_changes_the_ids(text, options, changed):
    words = [*WORDS, "\u52d5", "\u7269", "\u52d5\u7269"]
    default = WordPieceTokenizer([*SPECIAL_TOKENS, *words])
    other = WordPieceTokenizer([*SPECIAL_TOKENS, *words], **options)
    assert other.tokenize(text) == ids_of(other, *changed)
    assert other.graph([text]).to_list() == [other.tokenize(text)]
    if options != {"lowercase": False, "strip_accents": True}:
        assert default.tokenize(text) != other.tokenize(text)


def test_special_tokens_may_have_other_names():
    tokenizer = WordPieceTokenizer(
        ["<pad>", "<unk>", "<s>", "</s>", "<mask>", "a"],
        pad_token="<pad>",
        unknown_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
        mask_token="<mask>",
    )
    assert tokenizer.special_ids == (0, 1, 2, 3, 4)
    assert tokenizer.encode("a z").token_ids == [2, 5, 1, 3]
    batch = tokenizer.encode_batch(["a <mask>"], mask_token=True)
    assert batch.token_ids.tolist() == [2, 5, 4, 3]


def test_special_tokens_in_a_text_are_plain_text(tokenizer):
    ids = tokenizer.tokenize("[MASK] [CLS]")
    assert ids == ids_of(tokenizer, "[", "mask", "]", "[", "[UNK]", "]")
    batch = tokenizer.encode_batch(["[MASK] [CLS]"], mask_token=True)
    expected = ids_of(tokenizer, "[CLS]", "[MASK]", "[", "[UNK]", "]", "[SEP]")
    assert batch.token_ids.tolist() == expected


def test_invalid_utf8_is_replaced_as_in_python(tokenizer):
    for text in (b"a\xffb the", b"\xe2\x82 zoo", b"\xed\xa0\x80a", b"\xf0\x9fthe", b""):
        assert tokenizer.tokenize(text) == tokenizer.tokenize(
            text.decode("utf-8", "replace")
        )
    assert tokenizer.tokenize([b"a\xff\xfeb"]) == [ids_of(tokenizer, "a", "##b")]


def test_a_lone_surrogate_counts_as_one_invalid_character(tokenizer):
    encoding = tokenizer.encode("a\ud800b the")
    assert encoding.token_ids[1:-1] == ids_of(tokenizer, "a", "##b", "the")
    assert encoding.offsets[1:-1] == [(0, 1), (2, 3), (4, 7)]
    assert tokenizer.tokenize(["\udfff"]) == [[]]


def test_an_encoding_has_the_offsets_and_words_of_tokens(tokenizer):
    encoding = tokenizer.encode("The  zoos!", "ab")
    tokens = [tokenizer.id_to_token(index) for index in encoding.token_ids]
    assert tokens == "[CLS] the zoo ##s ! [SEP] a ##b [SEP]".split()
    assert encoding.segment_ids == [0, 0, 0, 0, 0, 0, 1, 1, 1]
    places = [(0, 3), (5, 8), (8, 9), (9, 10), (0, 0), (0, 1), (1, 2), (0, 0)]
    assert encoding.offsets == [(0, 0), *places]
    assert encoding.word_ids == [None, 0, 1, 1, 2, None, 0, 0, None]
    assert encoding.special_tokens_mask == [1, 0, 0, 0, 0, 1, 0, 0, 1]


@pytest.mark.parametrize("max_length", [3, 4, 6, None])
def test_a_batch_has_the_encodings_of_its_texts(tokenizer, hostile, max_length):
    texts, pairs = hostile[:60], hostile[60:120]
    for seconds in (None, pairs):
        batch = tokenizer.encode_batch(texts, seconds, max_length=max_length)
        assert isinstance(batch, EncodedBatch)
        for index, text in enumerate(texts):
            second = None if seconds is None else seconds[index]
            one = tokenizer.encode(text, second, max_length=max_length)
            row = slice(*batch.row_splits[index : index + 2])
            assert batch.token_ids[row].tolist() == one.token_ids
            assert batch.segment_ids[row].tolist() == one.segment_ids


def test_texts_beyond_one_chunk_keep_their_order(tokenizer):
    texts = ["the " * (index % 3) for index in range(10_000)]
    batch = tokenizer.encode_batch(iter(texts))
    assert batch.lengths.tolist() == [2 + index % 3 for index in range(10_000)]
    assert [len(ids) for ids in tokenizer.tokenize(texts)] == [
        index % 3 for index in range(10_000)
    ]


def test_an_empty_batch_is_empty(tokenizer):
    assert tokenizer.tokenize([]) == []
    batch = tokenizer.encode_batch([], [], max_length=8)
    assert [len(array) for array in batch] == [0, 0, 1]
    assert tokenizer.encode_batch([""]).token_ids.tolist() == [CLS, SEP]


def test_detokenize_joins_tokens_like_the_decoder_of_tokenizers(tokenizer):
    decoder = decoders.WordPiece(prefix="##", cleanup=False)
    tokens = ["the", "zoo", "##s", "!", "[UNK]", "[MASK]", "a", "##b"]
    ids = ids_of(tokenizer, *tokens)
    expected = "the zoos ! [UNK] [MASK] ab"
    assert decoder.decode(tokens) == expected
    assert tokenizer.detokenize(ids) == expected
    assert tokenizer.detokenize(np.array([CLS, *ids, SEP, PAD, PAD])) == expected
    assert tokenizer.detokenize([ids[2:4], [], [PAD]]) == ["##s !", "", ""]
    assert tokenizer.detokenize([]) == ""


def test_special_and_continuing_tokens_are_marked(tokenizer):
    assert tokenizer.special.tolist() == [True] * 5 + [False] * len(WORDS)
    marked = np.flatnonzero(tokenizer.continues).tolist()
    assert marked == ids_of(tokenizer, "##b", "##s")
    assert tokenizer.vocabulary_size == len(tokenizer.vocabulary) == 17
    assert tokenizer.token_to_id("absent") is None


def test_keras_serialization_copy_and_pickle_round_trip(tokenizer):
    original = WordPieceTokenizer(
        ["<unk>", "A", "b"],
        lowercase=False,
        strip_accents=True,
        split_cjk=False,
        unknown_token="<unk>",
        mask_token="M",
    )
    assert original.graph is not None
    through_json = json.loads(json.dumps(keras.saving.serialize_keras_object(original)))
    for other in (
        keras.saving.deserialize_keras_object(through_json),
        WordPieceTokenizer.from_config(original.get_config()),
        copy.deepcopy(original),
        pickle.loads(pickle.dumps(original)),
    ):
        assert other.get_config() == original.get_config()
        assert other.tokenize("A b c") == [1, 2, 0]


@pytest.mark.parametrize(
    ("vocabulary", "rule"),
    [
        ([], "vocabulary must not be empty"),
        (["a", "b"], r"must contain the unknown token \[UNK\]"),
        (["[UNK]", "a", "b", "a"], "unique. Received: 'a' with ids 1 and 3"),
        (["[UNK]", ""], "line of valid Unicode. Received: '' with id 1"),
        (["[UNK]", "a\nb"], "line of valid Unicode. Received: 'a.nb' with id 1"),
        (["[UNK]", "\ud800"], "line of valid Unicode. Received: '.ud800' with id 1"),
        (["[UNK]", None], "line of valid Unicode. Received: None with id 1"),
        (["[UNK]", 7], "line of valid Unicode. Received: 7 with id 1"),
    ],
)
def test_an_invalid_vocabulary_is_reported(vocabulary, rule):
    rule = rule.replace(".n", r"\\n").replace(".ud", r"\\ud")
    with pytest.raises(TokenizerError, match=rule):
        WordPieceTokenizer(vocabulary)


def test_a_missing_special_token_is_reported():
    tokenizer = WordPieceTokenizer(["[UNK]", "[SEP]", "[CLS]", "a"])
    assert tokenizer.mask_id is None
    assert tokenizer.pad_id is None
    assert tokenizer.special_ids == (0, 2, 1)
    assert tokenizer.detokenize([2, 3, 1]) == "a"
    rule = r"must contain the mask token \[MASK\]"
    for engine in (tokenizer.encode_batch, tokenizer.graph.encode):
        with pytest.raises(TokenizerError, match=rule):
            engine(["a"], mask_token=True)
    bare = WordPieceTokenizer(["[UNK]", "a"])
    assert bare.tokenize("a") == [1]
    for engine in (bare.encode, bare.encode_batch, bare.graph.encode):
        with pytest.raises(TokenizerError, match=r"must contain the cls token \[CLS\]"):
            engine(["a"])


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda t: t.tokenize(3), "not iterable"),
        (lambda t: t.tokenize([3]), "must be str or bytes. Received: 3"),
        (lambda t: t.encode(None), "must be str or bytes. Received: None"),
        (lambda t: t.encode_batch("abc"), "an iterable of texts. Received: 'abc'"),
        (lambda t: t.encode_batch(["a"], ["a", "b"]), "1 texts, 2 text_pairs"),
        (lambda t: t.encode("a", max_length=1), ">= 2, .*max_length=1"),
        (lambda t: t.encode("a", "b", max_length=2), ">= 3, .*max_length=2"),
        (lambda t: t.id_to_token(17), "< the vocabulary size.*id=17"),
        (lambda t: t.detokenize([0, -1]), ">= 0.*id=-1"),
    ],
)
def test_invalid_arguments_are_value_errors_that_name_the_value(tokenizer, call, rule):
    with pytest.raises((ValueError, TypeError), match=rule):
        call(tokenizer)


@pytest.mark.slow
def test_the_rust_engine_needs_no_tensorflow():
    if importlib.util.find_spec("torch") is None:
        pytest.skip("Keras has no backend here but TensorFlow")
    program = (
        "import sys\n"
        "from tfzoo.text import WordPieceTokenizer\n"
        "tokenizer = WordPieceTokenizer(['[UNK]', '[CLS]', '[SEP]', 'a'])\n"
        "print(tokenizer.encode_batch(['a a']).token_ids.tolist())\n"
        "print('tensorflow' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "KERAS_BACKEND": "torch"},
    )
    assert result.stdout.split("\n")[:2] == ["[1, 3, 3, 2]", "False"]
