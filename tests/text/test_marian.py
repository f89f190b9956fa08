"""Marian's tokenizer: two SentencePiece models, one vocabulary, language codes."""

import random

import pytest
import tensorflow as tf

from sentencepiece_models import LINES, trained, write_marian
from tfzoo.text import tokenizer_from_preset

CODES = (">>fra<<", ">>mlg_Latn<<")
TEXTS = [">>fra<< The day", ">>fra<<", " >>fra<< a", ">>xyz<< a", ">> a << b", ">><<"]
TEXTS += [">>fra<<>>fra<< a", ">>fra< a", "a >>fra<< b", "", ">>", ">>a\n<<b", "a"]
TEXTS += ["a<unk>>>fra<< b", "a <unk> >>fra<< b", ">>a <unk> b<< c", ">>fra<<<unk>"]
TEXTS += ["<unk>", "<unk>>>fra<<", "<unk><unk> a", "<unk>a<unk>"]
TEXTS += [">>mlg_Latn<<\u2581\u65e5", ">>\0<<a", ">>a>>fra<<b", "<<>>fra<< a"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("marian")
    write_marian(directory, *CODES)
    return directory


@pytest.fixture(scope="module")
def tokenizer(directory):
    return tokenizer_from_preset(directory)


def test_the_pieces_of_two_models_have_one_vocabulary(tokenizer):
    source, text = trained(), LINES[0]
    pieces = [source.id_to_token(index) for index in source.tokenize(text)]
    ids = [*map(tokenizer.token_to_id, pieces), tokenizer.token_to_id("</s>")]
    assert tokenizer.encode(text).token_ids == ids
    index = tokenizer.token_to_id("\u65e5\u65e5")
    assert tokenizer.tokenize("\u65e5\u65e5")[-1] == index
    assert tokenizer.unknown_id in tokenizer.tokenize("a <unk> b")
    other = tokenizer.target.tokenize(text)
    assert tokenizer.detokenize(other) == text.lower()


def test_the_files_are_written_and_read_back_equal(tokenizer, tmp_path):
    tokenizer.save_to_preset(tmp_path)
    assert tokenizer_from_preset(tmp_path).get_config() == tokenizer.get_config()


def test_a_text_begins_with_its_language_code(tokenizer):
    french, unknown = tokenizer.token_to_id(">>fra<<"), tokenizer.unknown_id
    plain = tokenizer.tokenize(" The day")
    assert tokenizer.tokenize(">>fra<< The day") == [french, *plain]
    assert tokenizer.tokenize(">>xyz<< The day") == [unknown, *plain]
    assert french not in tokenizer.tokenize("a >>fra<< b")
    assert tokenizer.target.tokenize(">>fra<<")[0] == french
    encoding = tokenizer.encode(">>fra<< The day")
    assert encoding.offsets[:2] == [(0, 7), (8, 11)]
    assert encoding.word_ids[:3] == [0, 1, 2]
    assert tokenizer.detokenize([french, *plain]) == ">>fra<< The day"


def test_both_engines_have_the_same_ids_and_places(tokenizer, hostile):
    texts = [t for t in hostile[:100] if isinstance(t, str)]
    source, parts = random.Random(1), [">>", "<<", ">>fra<<", "<unk>", " ", "a", "\0"]
    texts += ["".join(source.choices(parts, k=k % 9)) for k in range(200)]
    texts = [*TEXTS, *LINES[:20], *texts, *(f">>fra<<{text}" for text in texts)]
    found = tokenizer.graph.places(tf.constant(texts))
    expected = [tokenizer.encode(text) for text in texts]
    assert found["token_ids"].to_list() == tokenizer.tokenize(texts)
    for text, one, *places in zip(
        texts,
        expected,
        *(found[name].to_list() for name in ("starts", "ends", "starts_word")),
        strict=True,
    ):
        starts, ends, begins = places
        assert [*zip(starts, ends, strict=True)] == one.offsets[:-1], text
        words = one.word_ids[:-1]
        expected_begins = [a != b for a, b in zip([-1, *words], words, strict=False)]
        assert begins == expected_begins, text


def test_any_ids_become_the_same_text_in_both_engines(tokenizer):
    source, size = random.Random(0), tokenizer.vocabulary_size
    blank = tokenizer.token_to_id("\u2581")
    rows = [source.choices(range(size), k=k % 9) for k in range(200)]
    rows += [[blank, *ids, blank, blank] for ids in rows[:40]]
    befores = [source.choices(range(size), k=k % 3) for k in range(len(rows))]
    texts = list(map(tokenizer.continuation, befores, rows))
    ragged = [tf.ragged.constant(ids, tf.int32) for ids in (befores, rows)]
    found = tokenizer.graph.continuations(*ragged).numpy()
    assert [text.decode() for text in found] == texts
    for before, ids, text in zip(befores, rows, texts, strict=True):
        stream = tokenizer.stream(before)
        assert "".join(map(stream.add, ids)) + stream.end() == text
    found = tokenizer.graph.detokenize(ragged[1]).numpy()
    assert [text.decode() for text in found] == tokenizer.detokenize(rows)


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_ids_are_those_of_transformers(tokenizer, directory):
    other = pytest.importorskip("transformers").MarianTokenizer.from_pretrained(
        directory
    )
    expected = other(TEXTS)["input_ids"]
    assert [tokenizer.encode(text).token_ids for text in TEXTS] == expected
    found = tokenizer.graph.encode(tf.constant(TEXTS))["token_ids"]
    assert found.to_list() == expected
    expected = other(text_target=TEXTS)["input_ids"]
    assert [tokenizer.target.encode(text).token_ids for text in TEXTS] == expected
