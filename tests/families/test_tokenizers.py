"""Texts have the layout of the family, whatever that of the tokenizer."""

import dataclasses
import json

import pytest
import tensorflow as tf

from helpers import SMALL, random_weights
from tfzoo.errors import TokenizerError
from tfzoo.families import BACKBONES, BertEncoder, GPTDecoder, RobertaEncoder
from tfzoo.tasks import (
    CausalLM,
    QuestionAnswerer,
    TextClassifier,
    TextEmbedder,
    from_preset,
)
from tfzoo.text import (
    ROBERTA_TOKENS,
    ByteBPETokenizer,
    Layout,
    WordPieceTokenizer,
    tokenizer_from_preset,
)
from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS
from tfzoo.text.tokenizer_classes import CLASSES

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]
LETTERS = sorted(CHARACTERS)
SIZES = {**SMALL, "num_layers": 1, "vocabulary_size": 300}
BERT = Layout("cls", "sep", between=("sep",))
OTHER = Layout("cls", "sep", between=("sep", "sep"))


@pytest.fixture(scope="module")
def pieces():
    return WordPieceTokenizer(WORDS)


@pytest.fixture(scope="module")
def roberta_bytes():
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *LETTERS, "<mask>", "<|endoftext|>"]
    return ByteBPETokenizer(tokens, [], **ROBERTA_TOKENS)


@pytest.mark.parametrize(
    ("model_type", "name"),
    [
        ("bert", "BertTokenizer"),
        ("distilbert", "DistilBertTokenizer"),
        ("roberta", "RobertaTokenizer"),
        ("gpt2", "GPT2Tokenizer"),
    ],
)
def test_a_family_has_the_layout_of_its_published_tokenizer(model_type, name):
    layouts = BACKBONES[model_type].family.tokenizers.values()
    assert [*layouts] == [CLASSES[name].layout]


def test_a_model_uses_its_familys_layout_and_a_lone_tokenizer_that_of_the_file(
    pieces, tmp_path, caplog
):
    tokenizer = pieces.with_layout(OTHER)
    (tmp_path / "alone").mkdir()
    tokenizer.save_to_preset(tmp_path / "alone")
    assert tokenizer_from_preset(tmp_path / "alone").layout == OTHER
    task = TextClassifier(BertEncoder(**SIZES), tokenizer, ["no", "yes"])
    assert task.tokenizer.layout == BERT and tokenizer.layout == OTHER
    told = "bert uses the layout cls a sep, cls a sep b:1 sep:1 instead of"
    assert [told in record.getMessage() for record in caplog.records] == [True]
    task.save_to_preset(tmp_path / "bert")
    assert tokenizer_from_preset(tmp_path / "bert").layout == BERT
    path = tmp_path / "bert" / "tokenizer.json"
    content = json.loads((tmp_path / "alone" / "tokenizer.json").read_text())
    path.write_text(json.dumps(content))
    assert tokenizer_from_preset(tmp_path / "bert").layout == OTHER
    opened = from_preset(tmp_path / "bert").tokenizer
    assert opened.layout == BERT
    assert opened.encode("a", "b").token_ids == [2, 5, 3, 6, 3]


def test_a_backbone_is_saved_with_a_tokenizer_of_its_layout(pieces, tmp_path):
    backbone = BertEncoder(**SIZES)
    backbone.save_to_preset(tmp_path / "x", tokenizer=pieces.with_layout(OTHER))
    assert tokenizer_from_preset(tmp_path / "x").layout == BERT


def test_gpt2_has_no_tokens_around_texts_with_any_tokenizer(
    roberta_bytes, tmp_path, caplog
):
    assert roberta_bytes.encode("a").token_ids[0] == roberta_bytes.cls_id
    model = CausalLM(GPTDecoder(**SIZES), roberta_bytes)
    assert not caplog.records  # no other layout was requested
    plain = roberta_bytes.tokenize("a")
    assert model.tokenizer.encode("a").token_ids == plain
    assert model.tokenizer.begin_id == roberta_bytes.end_id
    model.save_to_preset(tmp_path / "gpt")
    config = json.loads((tmp_path / "gpt" / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "GPT2Tokenizer"
    for _ in range(2):
        alone = tokenizer_from_preset(tmp_path / "gpt")
        assert alone.get_config() == model.tokenizer.get_config()
        (tmp_path / "gpt" / "tokenizer.json").unlink(missing_ok=True)


def test_a_tokenizer_of_an_undeclared_class_keeps_its_layout(
    pieces, roberta_bytes, tmp_path
):
    sizes = {**SIZES, "padding_id": 0}
    embedder = TextEmbedder(RobertaEncoder(**sizes), pieces)
    assert embedder.tokenizer is pieces
    embedder = TextEmbedder(BertEncoder(**SIZES), roberta_bytes)
    assert embedder.tokenizer is roberta_bytes
    embedder.save_to_preset(tmp_path / "x")
    assert from_preset(tmp_path / "x").tokenizer.layout == roberta_bytes.layout


def test_a_tokenizer_with_the_familys_layout_is_unchanged(pieces):
    assert TextEmbedder(BertEncoder(**SIZES), pieces).tokenizer is pieces
    plain = ByteBPETokenizer([*LETTERS, "<|endoftext|>"], [])
    assert CausalLM(GPTDecoder(**SIZES), plain).tokenizer is plain


@pytest.mark.parametrize("backbone", [BertEncoder, RobertaEncoder])
def test_an_encoder_refuses_a_tokenizer_without_tokens_around_texts(backbone):
    plain = ByteBPETokenizer([*LETTERS, "<pad>"], [], pad_token="<pad>")
    sizes = {**SIZES, "padding_id": 256} if backbone is RobertaEncoder else SIZES
    with pytest.raises(TokenizerError, match="must contain the cls token for this"):
        TextEmbedder(backbone(**sizes), plain)


def test_the_token_after_a_text_of_a_decoder_must_be_its_end_token(
    roberta_bytes, monkeypatch
):
    layouts = {ByteBPETokenizer: Layout(last="cls")}
    family = dataclasses.replace(GPTDecoder.family, tokenizers=layouts)
    monkeypatch.setattr(GPTDecoder, "family", family)
    with pytest.raises(ValueError, match="end token, or none.* Received: .* cls token"):
        CausalLM(GPTDecoder(**SIZES), roberta_bytes)


def test_a_served_model_reads_windows_of_any_layout(pieces, monkeypatch, tmp_path):
    layout = Layout("cls", between=("sep",), repeats_first=True)
    family = dataclasses.replace(
        BertEncoder.family, tokenizers={WordPieceTokenizer: layout}
    )
    monkeypatch.setattr(BertEncoder, "family", family)
    backbone = random_weights(BertEncoder(**SIZES))
    task = QuestionAnswerer(backbone, pieces, max_question_length=3, stride=1)
    questions, contexts = ["a", "", "b a b b"], ["a b " * 9, "b", "b b a " * 5]
    questions, contexts = [*questions, "a"], [*contexts, "b a\u0301 \u200b b"]
    path = task.export_version(tmp_path / "served")
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    answers = served(question=tf.constant(questions), context=tf.constant(contexts))
    for row, expected in enumerate(task.answer(questions, contexts)):
        assert answers["answer"][row].numpy().decode() == expected["answer"]
        assert answers["start"][row] == expected["start"]
        assert answers["end"][row] == expected["end"]
        assert float(answers["score"][row]) == pytest.approx(
            expected["score"], abs=1e-5
        )
