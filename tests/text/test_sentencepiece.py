"""SentencePiece in Python: the libraries' ids, special tokens, training."""

import pytest
import sentencepiece
from tokenizers import Tokenizer

from sentencepiece_models import LINES, MORE_LINES, trained, unigram_json
from tfzoo.errors import TokenizerError
from tfzoo.text import Layout, SentencePieceTokenizer

OPTIONS = [{}, {"algorithm": "bpe", "byte_fallback": True, "start_token": "<s>"}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_training_gives_the_same_model_again(options):
    assert trained(**options).model == trained.__wrapped__(**options).model


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
