"""Marian's tokenizer: two SentencePiece models, one vocabulary, language codes."""

import json
import random

import pytest
import tensorflow as tf

from sentencepiece_models import LINES, SHARED, trained, write_ids, write_marian
from tfzoo.errors import TokenizerError
from tfzoo.text import SentencePieceTokenizer, tokenizer_from_preset

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
def separate(tmp_path_factory):
    directory = tmp_path_factory.mktemp("separate")
    write_marian(directory, *CODES, is_separate=True)
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


def test_either_language_has_its_own_vocabulary(separate, tmp_path):
    text = LINES[0]
    tokenizer = tokenizer_from_preset(separate)
    ids = json.loads((separate / "target_vocab.json").read_bytes())
    pieces = trained(normalization="nmt_nfkc_cf")
    pieces = [pieces.id_to_token(index) for index in pieces.tokenize(text)]
    expected = [*(ids.get(piece, ids["<unk>"]) for piece in pieces), ids["</s>"]]
    assert tokenizer.target.encode(text).token_ids == expected
    assert len(tokenizer.target.vocabulary) == len(ids) != len(tokenizer.vocabulary)
    known = tokenizer.target.detokenize([ids["\u2581the"], ids["\u2581a"]])
    assert known == "the a"
    graph = tokenizer.target.graph
    assert graph.encode(tf.constant([text]))["token_ids"].to_list() == [expected]
    tokenizer.save_to_preset(tmp_path)
    again = tokenizer_from_preset(tmp_path)
    assert again.get_config() == tokenizer.get_config()
    assert again.target.encode(text).token_ids == expected
    assert type(tokenizer).from_config(again.get_config()).target.vocabulary == (
        tokenizer.target.vocabulary
    )


@pytest.mark.parametrize("name", ["directory", "separate"])
def test_the_tokenizer_of_the_target_is_written_by_itself(name, tmp_path, request):
    target = tokenizer_from_preset(request.getfixturevalue(name)).target
    target.save_to_preset(tmp_path)
    again = tokenizer_from_preset(tmp_path)
    assert again.get_config() == target.get_config()
    assert again.target is again


def test_a_vocabulary_of_the_target_without_a_model_of_it_is_refused():
    with pytest.raises(ValueError, match="target_vocabulary needs a target_model"):
        SentencePieceTokenizer(trained().model, target_vocabulary=["<unk>"])


def test_a_vocabulary_that_no_file_can_have_is_not_written(tmp_path):
    vocabulary = trained().vocabulary[::-1]
    tokenizer = SentencePieceTokenizer(trained().model, vocabulary)
    with pytest.raises(ValueError, match=r"begins with \['"):
        tokenizer.save_to_preset(tmp_path)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("tokenizer_config.json", {"separate_vocabs": 1}, "true or false for Marian"),
        ("target_vocab.json", {"</s>": 0}, r"contain the unknown token.*'<unk>'"),
        ("target_vocab.json", {"</s>": "0"}, "map tokens to integers"),
        ("target_vocab.json", None, "target_vocab.json"),
    ],
)
def test_separate_vocabularies_that_break_a_rule_are_refused_with_it(
    name, content, message, tmp_path
):
    write_marian(tmp_path, is_separate=True)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(TokenizerError, match=message):
        tokenizer_from_preset(tmp_path)


def _same_as_transformers(transformers, directory, texts):
    other = transformers.MarianTokenizer.from_pretrained(directory)
    tokenizer = tokenizer_from_preset(directory)
    for ours, expected in (
        (tokenizer, other(texts)["input_ids"]),
        (tokenizer.target, other(text_target=texts)["input_ids"]),
    ):
        assert [ours.encode(text).token_ids for text in texts] == expected
        found = ours.graph.encode(tf.constant(texts))["token_ids"]
        assert found.to_list() == expected


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
@pytest.mark.parametrize("name", ["directory", "separate"])
def test_ids_are_those_of_transformers(name, request):
    transformers = pytest.importorskip("transformers")
    directory = request.getfixturevalue(name)
    _same_as_transformers(transformers, directory, [*TEXTS, *LINES[:20]])


@pytest.mark.parity
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
@pytest.mark.parametrize("is_separate", [False, True])
def test_ids_of_a_real_pair_are_those_of_transformers(is_separate, tmp_path):
    transformers = pytest.importorskip("transformers")
    directory = SHARED / "tokenizers" / "opus-mt-en-mg"
    if not directory.is_dir():
        pytest.skip(f"no {directory}")
    for name in ("source.spm", "target.spm", "vocab.json"):
        (tmp_path / name).write_bytes((directory / name).read_bytes())
    if is_separate:
        pieces = SentencePieceTokenizer((directory / "target.spm").read_bytes())
        vocabulary = ["</s>", "<unk>", *pieces.vocabulary[3:9000], "<pad>"]
        write_ids(tmp_path / "target_vocab.json", vocabulary)
        (tmp_path / "tokenizer_config.json").write_text('{"separate_vocabs": true}')
    malagasy = "Salama tompoko, manao ahoana ianao? Misaotra betsaka."
    _same_as_transformers(transformers, tmp_path, [malagasy, *TEXTS, *LINES])
