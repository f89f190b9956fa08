"""SentencePiece in Python: the libraries' ids, special tokens, training."""

import random

import pytest
import sentencepiece
import tensorflow as tf
from tokenizers import Tokenizer

from sentencepiece_models import LINES, MORE_LINES, bpe_json, trained, unigram_json
from tfzoo.errors import TokenizerError
from tfzoo.text import Layout, SentencePieceTokenizer
from tfzoo.text.sentencepiece.piece_model import BYTES

OPTIONS = [{}, {"algorithm": "bpe", "byte_fallback": True, "start_token": "<s>"}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_training_gives_the_same_model_again(options):
    assert trained(**options).model == trained.__wrapped__(**options).model
    name = "BPE" if options else "Unigram"
    size = trained(**options).vocabulary_size
    assert trained(**options).description == f"SentencePiece {name}, {size} tokens"


def test_a_model_has_the_ids_of_the_library(hostile):
    tokenizer = trained()
    library = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    texts = [t for t in [*LINES, *hostile[:200]] if isinstance(t, str)]
    assert tokenizer.tokenize(texts) == library.encode(texts)
    for ids in tokenizer.tokenize(texts[:20]):
        assert tokenizer.detokenize(ids) == library.decode(ids)


def test_a_json_model_has_the_ids_of_tokenizers(tmp_path):
    tokenizer = SentencePieceTokenizer(unigram_json(), unknown_token="<unk>")
    tokenizer.save_to_preset(tmp_path)
    other = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in [*LINES[:50], "a  b", "", "\u65e5\u65e5 x"]:
        expected = other.encode(text)
        assert tokenizer.tokenize(text) == expected.ids
        assert tokenizer.encode(text).offsets == expected.offsets
        assert tokenizer.detokenize(expected.ids) == other.decode(expected.ids)


def test_special_tokens_in_a_text_are_plain_text():
    tokenizer = trained()
    assert tokenizer.end_id not in tokenizer.tokenize("a</s>")
    json_model = unigram_json(pieces=["</s>"])
    tokenizer = SentencePieceTokenizer(json_model, end_token="</s>")
    assert tokenizer.end_id not in tokenizer.tokenize("a</s>")
    assert SentencePieceTokenizer(json_model).tokenize("</s>")[-1] == tokenizer.end_id


def test_layouts_put_the_tokens_of_t5_and_llama_around_texts():
    tokenizer = trained()
    ids = tokenizer.tokenize("The day.")
    assert tokenizer.encode("The day.").token_ids == [*ids, tokenizer.end_id]
    tokenizer = trained(**OPTIONS[1], end_token=None)
    assert tokenizer.layout == Layout("start", repeats_first=True)
    assert tokenizer.encode("a").token_ids[0] == tokenizer.start_id


def test_a_word_begins_at_a_space_and_bytes_are_one_character():
    tokenizer = trained(**OPTIONS[1])
    encoding = tokenizer.encode("The \u65e5!")
    spans = ["The \u65e5!"[start:end] for start, end in encoding.offsets]
    assert "".join(spans) == "The \u65e5!"
    kept = [word for word in encoding.word_ids if word is not None]
    assert sorted(set(kept)) == [0, 1]


def test_a_mask_is_recognized_with_the_space_before_it():
    tokenizer = SentencePieceTokenizer(
        trained().model,
        [*trained().vocabulary, "<mask>"],
        mask_token="<mask>",
    )
    found = tokenizer.encode_batch(["The <mask> day"], mask_token=True).token_ids
    expected = [*tokenizer.tokenize("The"), tokenizer.mask_id]
    assert list(found) == [*expected, *tokenizer.tokenize(" day")]


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"algorithm": "char"}, "algorithm must be one of unigram, bpe"),
        ({"normalization": "nfd"}, "normalization must be one of nmt_nfkc"),
        ({"vocabulary_size": 0}, "vocabulary_size must be an integer >= 1"),
    ],
)
def test_wrong_arguments_of_training_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        SentencePieceTokenizer.train(LINES, **({"vocabulary_size": 99} | wrong))


def test_training_on_nothing_or_for_too_few_pieces_is_an_error():
    with pytest.raises(TokenizerError, match="must not be empty"):
        SentencePieceTokenizer.train([], vocabulary_size=99, progress=False)
    with pytest.raises(TokenizerError, match="smaller than required_chars"):
        SentencePieceTokenizer.train(MORE_LINES, vocabulary_size=9, progress=False)


def test_a_copy_from_the_configuration_is_equal():
    for tokenizer in (trained(), SentencePieceTokenizer(unigram_json())):
        copy = SentencePieceTokenizer.from_config(tokenizer.get_config())
        assert copy.get_config() == tokenizer.get_config()


TEXTS = ["a</s>b", "</s>", "</s> a", "The day </s></s> is</s>", " a </s>  b", "", "a"]
TEXTS += ["\u65e5</s>\u65e5 x", "no end", "</s"]


SCHEMES = ("always", "never")


def with_end(scheme):
    """A Unigram model of `tokenizers` whose end token is one of its pieces."""
    model = unigram_json(pieces=["</s>"], split=scheme == "always")
    model["pre_tokenizer"]["prepend_scheme"] = scheme
    return SentencePieceTokenizer(model, end_token="</s>")


@pytest.mark.parametrize(
    "scheme", ["first", *(pytest.param(s, marks=pytest.mark.slow) for s in SCHEMES)]
)
def test_an_end_token_in_a_text_is_recognized_as_by_tokenizers(scheme, tmp_path):
    tokenizer = with_end(scheme)
    tokenizer.save_to_preset(tmp_path)
    other = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    expected = [encoding.ids for encoding in other.encode_batch(TEXTS)]
    assert tokenizer.tokenize(TEXTS, end_token=True) == expected
    found = tokenizer.graph(tf.constant(TEXTS), end_token=True)
    assert found.to_list() == expected
    assert tokenizer.graph.in_bounds(TEXTS, "end").to_list() == expected
    batch = tokenizer.tokenize_batch(TEXTS, end_token=True)
    assert batch.token_ids.tolist() == sum(expected, [])


def test_texts_around_an_end_token_are_texts_of_their_own_for_the_library():
    tokenizer, expected = trained(**OPTIONS[1]), []
    for text in TEXTS:
        first, *others = map(tokenizer.tokenize, text.split("</s>"))
        ids = [*first, *(i for ids in others for i in (tokenizer.end_id, *ids))]
        assert tokenizer.tokenize(text, end_token=True) == ids
        expected.append(ids)
    found = tokenizer.graph(tf.constant(TEXTS), end_token=True)
    assert found.to_list() == expected
    with pytest.raises(TokenizerError, match="must contain the end token"):
        trained(end_token=None).tokenize("a", end_token=True)


def llama():
    """A model of `tokenizers` with a piece for every byte, and a decoder for them."""
    return SentencePieceTokenizer(bpe_json(), start_token="<s>", end_token="</s>")


DECODED = [trained, lambda: trained(**OPTIONS[1]), lambda: with_end("always"), llama]


@pytest.mark.parametrize("make", DECODED)
def test_a_stream_gives_the_text_of_all_ids(make):
    tokenizer, source = make(), random.Random(0)
    bytes_ = list(filter(None, map(tokenizer.token_to_id, BYTES)))
    befores, rows, texts = [], [], []
    for number in range(300):
        size = source.randrange(9)
        ids = source.choices(range(tokenizer.vocabulary_size), k=size)
        if bytes_ and number % 3:  # characters, of which some lack a byte
            ids = [bytes_[byte] for byte in "\u65e5 \xe9\U0001f981".encode()]
            place = source.randrange(9)
            ids[place : place + size // 2] = source.choices(bytes_, k=size // 4)
        before = source.choices(range(tokenizer.vocabulary_size), k=number % 4)
        stream = tokenizer.stream(before)
        for _ in range(2):  # a stream may be used again
            text = "".join(map(stream.add, ids)) + stream.end()
            assert text == tokenizer.continuation(before, ids)
        if not before:
            assert text == tokenizer.detokenize(ids)
        befores.append(before), rows.append(ids), texts.append(text)
    ragged = (tf.ragged.constant(ids, tf.int32) for ids in (befores, rows))
    found = tokenizer.graph.continuations(*ragged).numpy()
    assert [text.decode() for text in found] == texts


@pytest.mark.parametrize("make", DECODED)
def test_a_continuation_is_what_follows_in_the_text_of_all_ids(make):
    tokenizer, text = make(), "a ab\u65e5 abc"
    ids = tokenizer.tokenize(text)
    for size in range(len(ids)):
        before = tokenizer.detokenize(ids[:size])
        if "\ufffd" in before:
            continue
        found = tokenizer.continuation(ids[:size], ids[size:])
        assert before + found == tokenizer.detokenize(ids)


def test_a_character_of_several_bytes_is_streamed_once_it_is_complete():
    tokenizer = trained(**OPTIONS[1])
    ids = [tokenizer.token_to_id(BYTES[byte]) for byte in "\u65e5\u65e5".encode()]
    stream = tokenizer.stream()
    assert list(map(stream.add, ids)) == ["", "", "\u65e5"] * 2
    assert tokenizer.bytes_of(ids) == "\u65e5\u65e5".encode()
    assert tokenizer.bytes_of(tokenizer.tokenize("a dog")) == b" a dog"
    assert stream.add(ids[:2]) + stream.end() == "\ufffd\ufffd"
    stream, letter = llama().stream(), llama().token_to_id("a")
    ids = [llama().token_to_id(BYTES[byte]) for byte in "\u65e5\u65e5".encode()]
    # `tokenizers` decodes bytes that stand together as a whole, or not at all.
    assert [stream.add(ids), stream.add(letter), stream.end()] == [
        "",
        "\u65e5\u65e5a",
        "",
    ]
    assert [stream.add(ids[:4]), stream.end()] == ["", "\ufffd" * 4]
