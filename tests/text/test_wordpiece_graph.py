"""The graph engine against the Rust engine, text by text."""

import itertools
import subprocess
import sys
import time
import unicodedata

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.text import WordPieceTokenizer
from tfzoo.text.wordpiece import codepoint_tables

CORE_OPS = set(
    """AddV2 Any BitwiseAnd BitwiseOr BroadcastTo Cast ConcatV2 Const Cumsum DecodeRaw
    Equal ExpandDims Fill FloorDiv FloorMod GatherV2 Greater Identity Invert Less
    LogicalAnd LogicalNot LogicalOr LowerBound Max Maximum Minimum Mul Neg NotEqual
    OnesLike Pack Pad PadV2 PartitionedCall Placeholder Prod RaggedRange
    RaggedTensorToTensor Range Reshape RightShift SegmentMin SelectV2 Shape Size Slice
    Squeeze StatelessIf StatelessWhile StaticRegexReplace StridedSlice StringLength Sub
    Substr Sum TensorListConcatV2 TensorListReserve TensorListSetItem TensorScatterAdd
    TensorScatterUpdate Tile TopKV2 UnicodeDecode UnsortedSegmentJoin Where
    ZerosLike""".split()
)


def assert_equal_ids(tokenizer, texts):
    for start in range(0, len(texts), 4096):
        part = texts[start : start + 4096]
        expected = tokenizer.tokenize(part)
        received = tokenizer.graph([_bytes(text) for text in part]).to_list()
        for text, ids, other in zip(part, expected, received, strict=True):
            assert ids == other, ascii(text)


def _bytes(text):
    return text.encode() if isinstance(text, str) else text


@pytest.mark.parametrize("name", ["uncased", "cased"])
def test_hostile_texts_get_the_ids_of_the_rust_engine(cased_and_uncased, hostile, name):
    tokenizer = cased_and_uncased[name]
    assert_equal_ids(tokenizer, hostile)
    unknown = sum(
        ids.count(tokenizer.unknown_id) for ids in tokenizer.tokenize(hostile)
    )
    assert unknown < 0.01 * sum(map(len, tokenizer.tokenize(hostile)))


@pytest.mark.parametrize("name", ["uncased", "cased"])
def test_offsets_equal_those_of_the_rust_engine(cased_and_uncased, hostile, name):
    tokenizer = cased_and_uncased[name]
    texts = [text for text in hostile if _in_canonical_order(text)]
    assert len(texts) > 0.8 * len(hostile)
    places = tokenizer.graph.places([_bytes(text) for text in texts])
    places = {key: ragged.to_list() for key, ragged in places.items()}
    for i, text in enumerate(texts):
        token_ids, _, offsets, words, _ = (x[1:-1] for x in tokenizer.encode(text))
        first = [a != b for a, b in itertools.pairwise([None, *words])]
        assert places["token_ids"][i] == token_ids
        pairs = zip(places["starts"][i], places["ends"][i], strict=True)
        assert list(pairs) == offsets, ascii(text)
        assert places["starts_word"][i] == first, ascii(text)


def _in_canonical_order(text):
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    text = "".join(
        c for c in text if unicodedata.category(c)[0] != "C"
    )  # removed first
    alone = "".join(unicodedata.normalize("NFD", character) for character in text)
    return alone == unicodedata.normalize("NFD", text)


def test_no_texts_and_texts_without_tokens_have_no_offsets(cased_and_uncased):
    graph = cased_and_uncased["uncased"].graph
    for texts, empty in (([], []), (["", " \n"], [[], []])):
        places = graph.places(tf.constant(texts, tf.string))
        assert [ragged.to_list() for ragged in places.values()] == [empty] * 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lowercase", "strip_accents", "split_cjk"),
    list(itertools.product([True, False], repeat=3)),
)
def test_ten_thousand_hostile_texts_with_all_options(
    make_hostile, make_vocabulary, lowercase, strip_accents, split_cjk
):
    texts = make_hostile(12_000, seed=1)
    tokenizer = WordPieceTokenizer(
        make_vocabulary(texts),
        lowercase=lowercase,
        strip_accents=strip_accents,
        split_cjk=split_cjk,
    )
    assert_equal_ids(tokenizer, texts)


@pytest.mark.slow
@pytest.mark.parametrize("lowercase", [True, False])
def test_every_code_point_gets_the_ids_of_the_rust_engine(lowercase):
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    known = [c for c in characters[: 0x30000 - 0x800] if c not in "\n\r"]
    known += [f"##{c}" for c in known]
    tokenizer = WordPieceTokenizer(["[UNK]", *known], lowercase=lowercase)
    assert_equal_ids(tokenizer, [f"a{c}b {c}" for c in characters])


def test_marks_are_put_in_canonical_order(make_vocabulary):
    tables = codepoint_tables.normalization(lowercase=True, strip_accents=True)
    survive = np.flatnonzero(tables.mark_order)
    (apart,) = np.nonzero(tables.single == ~codepoint_tables.VANISHES_BETWEEN_MARKS)
    assert len(survive) > 20
    assert len(apart) > 100
    source = np.random.default_rng(0)
    pools = [
        survive,
        survive,
        apart,
        [0x300, 0x323, 0x345, 0x334],
        [0x41, 0x20, 0x200D],
    ]
    texts = [
        "".join(
            chr(source.choice(pools[source.integers(len(pools))]))
            for _ in range(source.integers(1, 8))
        )
        for _ in range(3000)
    ]
    tokenizer = WordPieceTokenizer(make_vocabulary(texts))
    assert_equal_ids(tokenizer, texts)
    assert tokenizer.graph(["a\u1b44\u1baa"]).to_list() != [[]]


@given(texts=st.lists(st.text() | st.binary(), max_size=4))
def test_any_text_gets_the_ids_of_the_rust_engine(cased_and_uncased, texts):
    assert_equal_ids(cased_and_uncased["uncased"], texts)


@pytest.mark.parametrize(
    "texts", [[], [""], ["", "a", "", ""], [" "], ["\0"], ["\0a\0b"], ["\ufeff"]]
)
def test_empty_texts_and_batches_keep_their_rows(cased_and_uncased, texts):
    tokenizer = cased_and_uncased["uncased"]
    assert tokenizer.graph(texts).to_list() == tokenizer.tokenize(texts)
    encoded = tokenizer.graph.encode(texts, texts, max_length=5)
    assert encoded["token_ids"].nrows() == len(texts)


def test_a_word_of_over_a_hundred_characters_is_unknown(cased_and_uncased):
    tokenizer = cased_and_uncased["uncased"]
    texts = ["a" * 100, "a" * 101, "\u00e9" * 100, "e\u0301" * 101, "a" * 101 + " a"]
    assert_equal_ids(tokenizer, texts)
    assert tokenizer.graph(["a" * 101]).to_list() == [[tokenizer.unknown_id]]
    assert len(tokenizer.graph(["a" * 100])[0]) > 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["a" * 1_000_000, "the" * 33 + " ", "!", "\u1112\u1161"]
)
def test_the_time_for_a_megabyte_is_proportional(cased_and_uncased, text):
    graph = cased_and_uncased["uncased"].graph
    seconds = []
    for size in (100_000, 1_000_000):
        whole = (text * (size // len(text) + 1))[:size]
        graph([whole])
        start = time.process_time()
        graph([whole])
        seconds.append(time.process_time() - start)
    assert seconds[1] < 40 * max(seconds[0], 0.02)


@pytest.mark.parametrize("max_length", [None, 3, 4, 7, 8, 20])
@pytest.mark.parametrize("pair", [False, True])
def test_encode_equals_encode_batch(cased_and_uncased, hostile, max_length, pair):
    tokenizer = cased_and_uncased["uncased"]
    texts = hostile[:200]
    pairs = hostile[200:400] if pair else None
    expected = tokenizer.encode_batch(texts, pairs, max_length=max_length)
    received = tokenizer.graph.encode(
        [_bytes(text) for text in texts],
        [_bytes(text) for text in pairs] if pair else None,
        max_length=max_length,
    )
    for name in ("token_ids", "segment_ids"):
        assert received[name].dtype == tf.int32
        np.testing.assert_array_equal(
            received[name].flat_values, getattr(expected, name)
        )
        np.testing.assert_array_equal(received[name].row_splits, expected.row_splits)


@pytest.mark.parametrize("mask", ["[MASK]", "(?:.*)", "\u2593\u2593"])
def test_the_mask_token_is_recognized_only_if_requested(mask):
    words = ["a", "b", "[", "]", "m", "##m", "mask", "\u00e9"]
    tokenizer = WordPieceTokenizer(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", mask, *words], mask_token=mask
    )
    texts = [
        f"a {mask} b",
        f"a{mask}b{mask}{mask}",
        f"{mask[:-1]}\ue000{mask[-1]} \ue000 {mask[:-1]}",
        f"\u00e9\u0301{mask}\u0301a",
        f"\0{mask}\0",
        b"\xe2" + mask.encode() + b"\xff",
        mask.lower(),
        "",
    ]
    expected = tokenizer.encode_batch(texts, mask_token=True)
    received = tokenizer.graph.encode([_bytes(t) for t in texts], mask_token=True)
    np.testing.assert_array_equal(received["token_ids"].flat_values, expected.token_ids)
    assert tokenizer.mask_id in expected.token_ids
    plain = tokenizer.graph.encode([f"a {mask} b"])["token_ids"].to_list()
    assert plain == [tokenizer.encode(f"a {mask} b").token_ids]
    is_one_word = mask == "\u2593\u2593"  # not punctuation: like any other word
    assert (tokenizer.mask_id in plain[0]) == is_one_word


def test_detokenize_equals_the_rust_engine(cased_and_uncased, hostile):
    tokenizer = cased_and_uncased["uncased"]
    ids = tokenizer.graph.encode([_bytes(text) for text in hostile[:300]])["token_ids"]
    texts = [text.decode() for text in tokenizer.graph.detokenize(ids).numpy()]
    assert texts == tokenizer.detokenize(ids.to_list())
    padded = tokenizer.graph.detokenize(ids.to_tensor(tokenizer.pad_id))
    assert [text.decode() for text in padded.numpy()] == texts
    assert tokenizer.graph.detokenize(ids[:0]).shape == (0,)


def test_all_operations_are_core_operations_on_the_cpu(cased_and_uncased):
    graph = cased_and_uncased["uncased"].graph
    text = tf.TensorSpec([None], tf.string)

    def everything(first, second):
        ids = graph.encode(first, second, max_length=8, mask_token=True)["token_ids"]
        return graph.detokenize(ids), graph(first).to_tensor(), ids.to_tensor()

    concrete = tf.function(everything, autograph=False).get_concrete_function(
        text, text
    )
    definition = concrete.graph.as_graph_def()
    nodes = list(definition.node)
    for function in definition.library.function:
        nodes.extend(function.node_def)
    assert {node.op for node in nodes} <= CORE_OPS
    on_cpu = {"UnicodeDecode", "StaticRegexReplace", "GatherV2", "UnsortedSegmentJoin"}
    for node in nodes:
        assert node.op not in on_cpu or node.device == "/device:CPU:*", node.name


@pytest.mark.slow
def test_an_export_needs_only_tensorflow(tmp_path, cased_and_uncased):
    tokenizer = cased_and_uncased["uncased"]

    def serve(texts):
        encoded = tokenizer.graph.encode(texts, max_length=16)
        return {name: ids.to_tensor() for name, ids in encoded.items()}

    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serve", serve, [tf.TensorSpec([None], tf.string, name="texts")]
    )
    archive.write_out(str(tmp_path / "here"), verbose=False)
    (tmp_path / "here").rename(tmp_path / "moved")
    program = (
        "import sys, tensorflow as tf\n"
        "model = tf.saved_model.load(sys.argv[1])\n"
        "ids = model.serve(tf.constant(['The Caf\\u00e9!']))['token_ids']\n"
        "print(ids.numpy().tolist())"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "moved")],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = tokenizer.encode("The Caf\u00e9!").token_ids
    assert result.stdout.strip() == str([expected])
    assert sum(f.stat().st_size for f in (tmp_path / "moved").rglob("*")) < 8_000_000


def test_a_graph_first_used_in_a_dataset_can_be_used_elsewhere(make_vocabulary):
    tokenizer = WordPieceTokenizer(make_vocabulary(["the zoo"]))
    dataset = tf.data.Dataset.from_tensor_slices(["the zoo", "zoo"]).batch(2)
    inside = next(iter(dataset.map(tokenizer.graph))).to_list()
    assert inside == tokenizer.graph(["the zoo", "zoo"]).to_list()
    assert inside == tokenizer.tokenize(["the zoo", "zoo"])


@pytest.mark.parametrize(
    "vocabulary", [["[UNK]"], ["[UNK]", "##"], ["[UNK]", "a" * 101, "##" + "b" * 100]]
)
def test_unusual_vocabularies_work(vocabulary):
    tokenizer = WordPieceTokenizer(vocabulary)
    assert_equal_ids(tokenizer, ["", "a ## b", "a" * 101, "a" + "b" * 99, "b" * 100])


@pytest.mark.slow
def test_the_graph_of_thirty_thousand_tokens_is_built_quickly():
    letters = "abcdefghijklmnopqrstuvwxyz\u00e9\u4e00\u4e8c"
    tokens = ["".join(letters) for letters in itertools.product(letters, repeat=3)]
    tokenizer = WordPieceTokenizer(
        ["[UNK]", *tokens, *(f"##{t}" for t in tokens[:8000])]
    )
    start = time.process_time()
    assert tokenizer.graph is not None
    assert time.process_time() - start < 5
