"""The graph engine against the Rust engine, text by text."""

import itertools
import random
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.text import ROBERTA_TOKENS, ByteBPETokenizer
from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS

CORE_OPS = set(
    """AddV2 All Any ArgMax BitwiseAnd BitwiseOr BroadcastTo Cast ConcatV2 Const Cumsum
    DecodeRaw DenseBincount Equal ExpandDims Fill FloorDiv FloorMod GatherV2 Greater
    GreaterEqual Identity If Less LessEqual LogicalAnd LogicalNot LogicalOr
    LowerBound Max Maximum Minimum Mul Neg NoOp NotEqual OnesLike Pack Pad PadV2
    PartitionedCall Placeholder Prod RaggedRange RaggedTensorToTensor Range
    ReduceJoin Reshape RightShift ScatterNd SegmentMin SelectV2 Shape Size Slice
    Squeeze StatefulPartitionedCall StatelessIf StatelessWhile StaticRegexFullMatch
    StaticRegexReplace
    StridedSlice StringLength StringSplitV2 Sub Sum TensorScatterAdd TensorScatterUpdate
    Tile TopKV2 Transpose UnicodeDecode UnicodeEncode UnicodeTranscode Unpack
    UnsortedSegmentJoin UpperBound Where While ZerosLike""".split()
)
END = "<|endoftext|>"


def assert_equal_ids(tokenizer, texts, **options):
    for start in range(0, len(texts), 4096):
        part = texts[start : start + 4096]
        expected = tokenizer.tokenize(part, **options)
        received = tokenizer.graph([_bytes(text) for text in part], **options)
        for text, ids, other in zip(part, expected, received.to_list(), strict=True):
            assert ids == other, ascii(text)[:200]


def _bytes(text):
    return text.encode() if isinstance(text, str) else text


def test_hostile_texts_get_the_ids_of_the_rust_engine(byte_bpe, hostile):
    assert_equal_ids(byte_bpe, hostile)


@pytest.mark.slow
def test_ten_thousand_hostile_texts_get_the_ids_of_gpt2(gpt2, make_hostile):
    assert_equal_ids(gpt2, make_hostile(12_000, seed=1))
    assert_equal_ids(gpt2, make_hostile(2_000, seed=2), end_token=True)


@pytest.mark.slow
def test_every_code_point_gets_the_ids_of_the_rust_engine(byte_bpe):
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    assert_equal_ids(byte_bpe, [f"a{c}1{c}!{c} {c}'{c}" for c in characters])


@given(texts=st.lists(st.text() | st.binary(), max_size=4))
def test_any_text_gets_the_ids_of_the_rust_engine(byte_bpe, texts):
    assert_equal_ids(byte_bpe, texts)
    assert_equal_ids(byte_bpe, texts, end_token=True)


def assert_equal_places(tokenizer, texts):
    places = tokenizer.graph.places([_bytes(text) for text in texts])
    places = {key: ragged.to_list() for key, ragged in places.items()}
    for i, text in enumerate(texts):
        token_ids, _, offsets, words, _ = (x[1:-1] for x in tokenizer.encode(text))
        first = [a != b for a, b in itertools.pairwise([None, *words])]
        assert places["token_ids"][i] == token_ids, ascii(text)
        pairs = zip(places["starts"][i], places["ends"][i], strict=True)
        assert list(pairs) == offsets, ascii(text)
        assert places["starts_word"][i] == first, ascii(text)


@pytest.fixture(scope="module", params=[False, True])
def spaced(request, roberta):
    """RoBERTa's tokenizer with tokens of several spaces, with and without prefix."""
    source = ["a  \n b   \t c"] * 3 + ["    " * 5] * 9
    tokenizer = ByteBPETokenizer.train(
        source, vocabulary_size=290, progress=False, **ROBERTA_TOKENS
    )
    return {"roberta": roberta, "spaces": tokenizer}, request.param


def test_offsets_equal_those_of_the_rust_engine(spaced, hostile):
    tokenizers, add_prefix_space = spaced
    texts = ["", " ", "  ", "    a", " a", "\u00e9", " \u00e9", "a  b\n c ", "\n  \n "]
    for tokenizer in tokenizers.values():
        config = tokenizer.get_config() | {"add_prefix_space": add_prefix_space}
        if add_prefix_space != tokenizer.add_prefix_space:
            tokenizer = ByteBPETokenizer(**config)
        assert_equal_places(tokenizer, [*texts, *hostile])


@given(texts=st.lists(st.text(" a\n\u00e9\U0001f468") | st.text() | st.binary()))
def test_offsets_of_any_text_equal_those_of_the_rust_engine(roberta, texts):
    assert_equal_places(roberta, texts)


@pytest.mark.parametrize("alphabet", ["ab", "lions", " \n", "'s ", "0", "\u52d5\u7269"])
def test_long_words_get_the_ids_of_the_rust_engine(byte_bpe, alphabet):
    source = random.Random(0)
    sizes = [*range(30, 200, 7), 1000, 5000]
    texts = ["".join(source.choices(alphabet, k=size)) for size in sizes]
    texts += [alphabet * (size // len(alphabet)) for size in sizes]
    assert_equal_ids(byte_bpe, texts)


@pytest.mark.slow
@pytest.mark.parametrize("letters", ["a", "ab", "=", "etaoinshrdlu", "\u4e16\u754c!"])
def test_long_words_get_the_ids_of_gpt2(gpt2, letters):
    source = random.Random(0)
    texts = ["".join(source.choices(letters, k=k)) for k in range(60, 4000, 61)]
    texts += [letters * (size // len(letters)) for size in range(60, 4000, 61)]
    assert_equal_ids(gpt2, texts)


@pytest.mark.parametrize(
    "texts",
    [[], [""], ["", "a", "", ""], [" "], ["\0"], ["\0a\0b"], ["\ufeff"], [END]],
)
@pytest.mark.parametrize("end_token", [False, True])
def test_empty_texts_and_batches_keep_their_rows(byte_bpe, texts, end_token):
    expected = byte_bpe.tokenize(texts, end_token=end_token)
    received = byte_bpe.graph(texts, end_token=end_token)
    assert received.to_list() == expected
    assert received.dtype == tf.int32
    assert received.nrows() == len(texts)


@pytest.mark.parametrize(
    "end",
    [
        END,
        "aa",
        pytest.param("(?:.*)", marks=pytest.mark.slow),
        pytest.param("\u2593\u2593", marks=pytest.mark.slow),
    ],
)
def test_the_end_token_is_recognized_only_if_requested(end):
    tokenizer = ByteBPETokenizer([*CHARACTERS, end], [], end_token=end)
    texts = [
        f"a {end} b",
        f"a{end}b{end}{end}",
        f"{end[:-1]}{end[-1]} \n{end}",
        f"\0{end}\0 ",
        b"\xe2" + end.encode() + b"\xff",
        end[1:],
        "",
    ]
    assert_equal_ids(tokenizer, texts)
    assert_equal_ids(tokenizer, texts, end_token=True)
    assert tokenizer.end_id not in tokenizer.graph(texts).flat_values.numpy()
    assert tokenizer.end_id in tokenizer.graph(texts[:1], end_token=True)[0].numpy()


@pytest.mark.slow
@pytest.mark.parametrize("text", ["a", "lions", "\u52d5\u7269", None])
def test_the_time_for_a_megabyte_without_a_space_is_proportional(byte_bpe, text):
    letters = "".join(random.Random(0).choices("etaoinshrdlu", k=1_000_000))
    whole = (letters if text is None else text * 1_000_000).encode()[:1_000_000]
    seconds = []
    for size in (500_000, 1_000_000):
        part = tf.constant([whole[:size]])
        byte_bpe.graph(part)
        start = time.process_time()
        ids = byte_bpe.graph(part)
        seconds.append(time.process_time() - start)
    assert ids.to_list() == [byte_bpe.tokenize(whole)]
    assert seconds[1] < 5 * seconds[0]


def test_ids_decode_as_in_python(byte_bpe):
    source = random.Random(0)
    size = byte_bpe.vocabulary_size
    rows = [
        [source.randrange(size) for _ in range(source.randrange(9))]
        for _ in range(2000)
    ]
    expected = byte_bpe.detokenize(rows)
    ragged = tf.ragged.constant(rows, dtype=tf.int32)
    texts = byte_bpe.graph.detokenize(ragged).numpy()
    assert [text.decode() for text in texts] == expected
    assert sum("\ufffd" in text for text in expected) > 500
    dense = byte_bpe.graph.detokenize(ragged.to_tensor(byte_bpe.end_id)).numpy()
    assert [text.decode() for text in dense] == expected


def test_ids_out_of_range_add_nothing_and_do_not_affect_other_rows(byte_bpe):
    size = byte_bpe.vocabulary_size
    a, b = byte_bpe.tokenize("ab")
    rows = tf.ragged.constant([[a, -1, size, 2**31 - 1, b], [b], [-(2**31)]])
    assert byte_bpe.graph.detokenize(rows).numpy().tolist() == [b"ab", b"b", b""]
    for shape in ((0, 3), (2, 0)):
        texts = byte_bpe.graph.detokenize(tf.zeros(shape, tf.int32))
        assert texts.numpy().tolist() == [b""] * shape[0]


def test_all_operations_are_core_operations_on_the_cpu(byte_bpe):
    def everything(texts):
        ids = byte_bpe.graph(texts, end_token=True)
        return byte_bpe.graph.detokenize(ids), byte_bpe.graph(texts).to_tensor()

    concrete = tf.function(everything, autograph=False).get_concrete_function(
        tf.TensorSpec([None], tf.string)
    )
    definition = concrete.graph.as_graph_def()
    nodes = list(definition.node)
    for function in definition.library.function:
        nodes.extend(function.node_def)
    assert {node.op for node in nodes} <= CORE_OPS
    assert not any("Table" in node.op or "Variable" in node.op for node in nodes)
    on_cpu = {"UnicodeDecode", "UnicodeTranscode", "GatherV2", "UnsortedSegmentJoin"}
    for node in nodes:
        assert node.op not in on_cpu or node.device == "/device:CPU:*", node.name


@pytest.mark.slow
def test_an_export_needs_only_tensorflow(tmp_path, byte_bpe):
    def serve(texts):
        return byte_bpe.graph(texts).to_tensor(-1)

    def back(ids):
        return byte_bpe.graph.detokenize(ids)

    archive = keras.export.ExportArchive()
    archive.add_endpoint("serve", serve, [tf.TensorSpec([None], tf.string)])
    archive.add_endpoint("back", back, [tf.TensorSpec([None, None], tf.int32)])
    archive.write_out(str(tmp_path / "here"), verbose=False)
    (tmp_path / "here").rename(tmp_path / "moved")
    program = (
        "import sys, tensorflow as tf\n"
        "model = tf.saved_model.load(sys.argv[1])\n"
        "ids = model.serve(tf.constant(['The Caf\\u00e9s!', '']))\n"
        "print(ids.numpy().tolist())\n"
        "print(ascii(model.back(ids).numpy()[0].decode()))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "moved")],
        capture_output=True,
        text=True,
        check=True,
    )
    ids = byte_bpe.tokenize("The Caf\u00e9s!")
    lines = result.stdout.strip().split("\n")
    assert lines == [str([ids, [-1] * len(ids)]), ascii("The Caf\u00e9s!")]


def test_a_graph_first_used_in_a_dataset_can_be_used_elsewhere():
    tokenizer = ByteBPETokenizer([*CHARACTERS, "zo", END], [("z", "o")])
    dataset = tf.data.Dataset.from_tensor_slices(["the zoo", "zoo"]).batch(2)
    inside = next(iter(dataset.map(tokenizer.graph))).to_list()
    assert inside == tokenizer.graph(["the zoo", "zoo"]).to_list()
    assert inside == tokenizer.tokenize(["the zoo", "zoo"])
    texts = dataset.map(lambda t: tokenizer.graph.detokenize(tokenizer.graph(t)))
    assert next(iter(texts)).numpy().tolist() == [b"the zoo", b"zoo"]


def test_unusual_merges_work():
    merges = [("a", "b"), ("ab", "ab"), ("b", "a"), ("c", "abab"), ("b", "c")]
    made = [first + second for first, second in merges]
    tokens = [*CHARACTERS, *made, "never", None, "\u52d5", END]
    source = random.Random(0)
    texts = ["".join(source.choices("abc", k=k)) for k in range(200)]
    assert_equal_ids(ByteBPETokenizer(tokens, merges), texts)
    assert_equal_ids(ByteBPETokenizer(CHARACTERS, []), ["", "abc \0\u00e9"])


@pytest.mark.slow
def test_the_graph_of_gpt2_is_built_quickly(gpt2_directory):
    tokenizer = ByteBPETokenizer.from_preset(gpt2_directory)
    start = time.process_time()
    assert tokenizer.graph is not None
    assert time.process_time() - start < 8
    assert np.array_equal(tokenizer.graph(["Hello world"])[0], [15496, 995])
