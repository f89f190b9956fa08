"""SentencePiece in a graph: equal to the engine in Python on all texts."""

import json
import random
import time

import numpy as np
import pytest
import tensorflow as tf

from sentencepiece_models import LINES, SHARED, real, trained, unigram_json
from tfzoo.errors import TokenizerError
from tfzoo.text import SentencePieceTokenizer, tokenizer_from_preset
from tfzoo.text.sentencepiece.exact_sums import running_sums

ODD = ["", " ", "a", "  a  b ", "\u2581", " \u2581 a\u2581", "\0", "a\0b", "::<m>"]
ODD += ["e\u0301 \u2581\ufb01", "\ufdfa\x01", "\x01a", "aaaaaaa" * 9, "a\u2028b\u3000"]
ODD += ["\u2122\x01x", "\u65e5\u65e5 \U0001f600", "\u2017a", "a  b::in", "<unk>"]
KINDS = {
    "unigram": lambda: trained(),
    "folded": lambda: trained(normalization="nmt_nfkc_cf"),
    "symbols": lambda: trained(
        user_defined_symbols=("<m>", "::", "in", "\ufb01", "a  b"), byte_fallback=True
    ),
    "bpe": lambda: trained(
        algorithm="bpe",
        user_defined_symbols=("<m>", "::", "in", "\ufb01"),
        byte_fallback=True,
    ),
    "identity": lambda: trained(algorithm="bpe", normalization="identity"),
    "words": lambda: SentencePieceTokenizer(unigram_json()),
    "whole": lambda: SentencePieceTokenizer(unigram_json(split=False)),
}


def library_model(pieces, *, is_bpe=False):
    """A model with these pieces; one of BPE keeps repeated spaces."""
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    if is_bpe:
        proto.trainer_spec.model_type = proto.trainer_spec.BPE
        proto.normalizer_spec.remove_extra_whitespaces = False
    proto.pieces.add(piece="<unk>", type=2)
    for piece, score in pieces.items():
        proto.pieces.add(piece=piece, score=score)
    return SentencePieceTokenizer(proto.SerializeToString())


def json_model(pieces):
    model = unigram_json(split=False)
    model["model"]["vocab"] = [["<unk>", 0.0], *map(list, pieces.items())]
    return SentencePieceTokenizer(model)


def assert_equal_ids(tokenizer, texts):
    for start in range(0, len(texts), 1000):
        batch = texts[start : start + 1000]
        found = tokenizer.graph(tf.constant(batch)).to_list()
        assert found == tokenizer.tokenize(batch)


FAST = ("symbols", "bpe", "words")
PARAMS = [pytest.param(k, marks=[pytest.mark.slow] * (k not in FAST)) for k in KINDS]


@pytest.fixture(scope="module", params=PARAMS)
def tokenizer(request):
    return KINDS[request.param]()


def test_ids_and_places_equal_those_in_python(tokenizer, hostile):
    texts = [*ODD, *hostile[:300], *LINES[:40]]
    found = tokenizer.graph.places(tf.constant(texts))
    assert found["token_ids"].to_list() == tokenizer.tokenize(texts)
    starts, ends = found["starts"].to_list(), found["ends"].to_list()
    for text, first, last in zip(texts, starts, ends, strict=True):
        encoding = tokenizer.encode(text)
        is_text = [not special for special in encoding.special_tokens_mask]
        offsets = [o for o, kept in zip(encoding.offsets, is_text, strict=True) if kept]
        assert list(zip(first, last, strict=True)) == offsets, text


def test_words_of_a_batch_are_tokenized_as_in_their_texts(tokenizer):
    """A repeated word is looked at once, also where spaces around it are removed."""
    source = random.Random(0)
    words = "the of day a b ab aab 1 ! === \u2581 \u2581\u2581 \0 <unk> :: in".split(
        " "
    )
    words += [
        "",
        "",
        "",
        "\u00a0",
        "\t",
        "\u3000",
        "\u00a8",
        "\u2028",
        "\u0600",
        "\u0301",
    ]
    words += ["\u200b", "\u200d", "\ufdfa", "\ufe70", "\u037a", "e\u0301", "na\xefve"]
    texts = [
        "".join(source.choice(words) + " " * (source.random() < 0.6) for _ in range(n))
        for n in list(range(15)) * 40
    ]
    assert_equal_ids(tokenizer, texts)


def test_any_ids_become_the_same_text_as_in_python(tokenizer):
    source = np.random.default_rng(0)
    size = tokenizer.vocabulary_size
    rows = [list(source.integers(size, size=n % 9)) for n in range(300)]
    spaces = [tokenizer.token_to_id("\u2581"), tokenizer.unknown_id, 0]
    rows += [[*spaces[:n], *rows[50]] for n in range(4)]
    rows += [[*ids[:3], *tokenizer.special_ids, *ids[3:]] for ids in rows[:30]]
    found = tokenizer.graph.detokenize(tf.ragged.constant(rows, tf.int32)).numpy()
    assert [text.decode() for text in found] == tokenizer.detokenize(rows)
    wrong = [[-1, *ids, size, 2**31 - 1] for ids in rows]  # add nothing in a graph
    again = tokenizer.graph.detokenize(tf.ragged.constant(wrong, tf.int32)).numpy()
    assert again.tolist() == found.tolist()
    for index in (-1, size):
        with pytest.raises(ValueError, match=f"id={index}, vocabulary_size={size}"):
            tokenizer.detokenize([0, index])
        with pytest.raises(ValueError, match=f"id={index}, vocabulary_size={size}"):
            tokenizer.stream().add(index)


@pytest.mark.parametrize(
    "make", [library_model, pytest.param(json_model, marks=pytest.mark.slow)]
)
def test_nearly_equal_segmentations_are_decided_as_by_the_library(make):
    """Thirds in float32: which sum is larger depends on all that stands before."""
    pieces = {"a": -1 / 3, "b": -2 / 3, "ab": -1.0, "ba": -1.0, "aab": -4 / 3}
    pieces |= {"bb": -4 / 3, "abb": -5 / 3, "\u2581": -1 / 3, "\u2581a": -2 / 3}
    source = np.random.default_rng(0)
    texts = ["".join(source.choice(list("aabb x"), n)) for n in (50, 500, 5, 3000) * 3]
    tokenizer = make(pieces)
    assert tokenizer.graph(tf.constant(texts)).to_list() == tokenizer.tokenize(texts)
    for text in texts[:4]:
        alone = tokenizer.graph(tf.constant([text])).to_list()
        assert alone == [tokenizer.tokenize(text)]
    assert tokenizer.graph(tf.constant([], tf.string)).to_list() == []
    foreign = tokenizer.graph.detokenize(tf.constant([[-1, 10_000]])).numpy()
    assert foreign.tolist() == [b""]


@pytest.mark.parametrize("scale", [300, 40_000])
def test_low_sums_start_again_as_in_the_library(scale):
    """It subtracts a sum below -100,000 from all, which decides later ties."""
    pieces = {"a": -1, "b": -2, "ab": -3, "ba": -3, "aab": -4, "bb": -4, "abb": -5}
    tokenizer = library_model({t: s * scale / 3 for t, s in pieces.items()})
    source = np.random.default_rng(0)
    texts = ["".join(source.choice(list("aabbab"), n)) for n in (9, 5000, 0, 2000)]
    texts.append(" ".join("".join(source.choice(list("ab"), 4)) for _ in range(900)))
    assert tokenizer.graph(tf.constant(texts)).to_list() == tokenizer.tokenize(texts)


@pytest.mark.slow
def test_a_megabyte_of_ties_is_decided_as_by_the_library():
    pieces = {"a": -1, "b": -2, "ab": -3, "ba": -3, "aab": -4, "bb": -4, "abb": -5}
    tokenizer = library_model({t: s / 3 for t, s in pieces.items()})
    source = np.random.default_rng(0)
    text = "".join(source.choice(list("aabbc"), 1 << 20))
    assert tokenizer.graph(tf.constant([text])).to_list() == [tokenizer.tokenize(text)]


def test_pieces_of_several_spaces_are_merged_as_by_the_library():
    scores = {"\u2581" * 2: -1, "\u2581" * 4: -2, "\u2581a": -3, "a": -4, "\u2581": -5}
    tokenizer = library_model(scores, is_bpe=True)
    texts = [f"a{' ' * n}a{' ' * (n % 3)}" for n in range(12)]
    assert tokenizer.graph(tf.constant(texts)).to_list() == tokenizer.tokenize(texts)
    assert 2 in tokenizer.tokenize(texts)[6]


def test_unknown_characters_of_two_texts_are_not_joined():
    tokenizer = library_model({"a": -1.0})
    texts = ["x", "xx", "ax", "xa", "", "x x"]
    assert tokenizer.graph(tf.constant(texts)).to_list() == tokenizer.tokenize(texts)


def test_sums_are_rounded_like_a_loop():
    values = np.random.default_rng(0).normal(size=900).astype(np.float32) * 1000
    splits = np.array([0, 3, 700, 701, 900], np.int32)
    found = running_sums(tf.constant(values), tf.constant(splits)).numpy()
    for start, end in zip(splits, splits[1:], strict=False):
        total = np.float32(0)
        for index in range(start, end):
            assert found[index] == total
            total += values[index]


def test_a_mask_in_a_text_is_recognized_as_in_python():
    model = unigram_json()
    vocabulary = [*SentencePieceTokenizer(model).vocabulary, "<mask>"]
    tokenizer = SentencePieceTokenizer(model, vocabulary, mask_token="<mask>")
    texts = ["The <mask> day", "<mask>", "a <mask><mask> b", ""]
    found = tokenizer.graph.encode(tf.constant(texts), mask_token=True)
    expected = tokenizer.encode_batch(texts, mask_token=True)
    assert found["token_ids"].flat_values.numpy().tolist() == list(expected.token_ids)


@pytest.mark.slow
def test_a_saved_graph_needs_no_more_than_tensorflow(tmp_path):
    tokenizer = trained(algorithm="bpe", normalization="identity")
    module = tf.Module()
    module.call = tf.function(
        lambda texts: tokenizer.graph(texts).flat_values,
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    found = loaded.call(tf.constant(LINES[:5])).numpy()
    assert found.tolist() == sum(tokenizer.tokenize(LINES[:5]), [])


def test_a_model_with_unused_pieces_is_refused_by_name():
    tokenizer = trained(algorithm="bpe", normalization="identity")
    from tfzoo.text.sentencepiece.model_file import parsed

    proto = parsed(tokenizer.model)
    proto.pieces[20].type = 5
    with pytest.raises(TokenizerError, match="no unused pieces for a graph"):
        _ = SentencePieceTokenizer(proto.SerializeToString()).graph


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t5", "opus-mt-en-mg", "spm-unigram-1k-botchan"])
def test_real_tokenizers_give_the_reference_ids(name, tmp_path, make_hostile):
    tokenizer, items = real(name, tmp_path)
    texts = [item["text"] for item in items]
    key = "ids_special" if "ids_special" in items[0] else "ids"
    expected = [item[key] for item in items]
    assert [tokenizer.encode(text).token_ids for text in texts] == expected
    found = tokenizer.graph.encode(tf.constant(texts))["token_ids"]
    assert found.to_list() == expected
    ids = tf.ragged.constant(expected, tf.int32)
    decoded = [text.decode() for text in tokenizer.graph.detokenize(ids).numpy()]
    assert decoded == tokenizer.detokenize(expected)
    if "decoded" in items[0]:
        assert decoded == [item["decoded"] for item in items]
    assert_equal_ids(tokenizer, make_hostile(10_000, seed=7))


@pytest.mark.slow
def test_the_tokenizer_of_a_real_llama_gives_the_reference_ids(make_hostile):
    place = SHARED / "models" / "stories260K-llama"
    if not place.is_dir():
        pytest.skip(f"no {place}")
    tokenizer = tokenizer_from_preset(place)
    prompts = json.loads((place / "expected.json").read_text())["prompts"]
    with np.load(place / "expected.npz") as arrays:
        rows, mask = arrays["input_ids"], arrays["attention_mask"].astype(bool)
    expected = [row[kept].tolist() for row, kept in zip(rows, mask, strict=True)]
    assert [tokenizer.encode(text).token_ids for text in prompts] == expected
    found = tokenizer.graph.encode(tf.constant(prompts))["token_ids"]
    assert found.to_list() == expected
    decoded = tokenizer.graph.detokenize(found).numpy()
    assert [text.decode() for text in decoded] == prompts
    assert tokenizer.detokenize(expected) == prompts
    assert_equal_ids(tokenizer, make_hostile(10_000, seed=7))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unigram", "words", "bpe"])
def test_time_is_linear_in_a_text_without_spaces(kind):
    graph, seconds = KINDS[kind]().graph, []
    for size in (125_000, 250_000):
        text = tf.constant(["thequickbrownfox"[: 3 + size % 5] * (size // 4)])
        ids = graph(text)
        start = time.perf_counter()
        ids = graph(text)
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
        graph.detokenize(ids)
        seconds.append(time.perf_counter() - start)
    assert seconds[2] <= 2.5 * seconds[0]
    assert seconds[3] <= 2.5 * max(seconds[1], 0.05)
