"""A family defined in this file, whose texts end with a token and start without one.

No task may assume the other special tokens of BERT.
"""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from helpers import random_weights
from tfzoo.checkpoints import fields
from tfzoo.checkpoints.names import linear, norm, plain
from tfzoo.errors import TokenizerError
from tfzoo.families.family import BACKBONES, Family, Head, declared
from tfzoo.families.preset_backbone import PresetBackbone
from tfzoo.layers import PositionEmbedding
from tfzoo.models.arguments import own_arguments
from tfzoo.models.encoder import Encoder, id_inputs
from tfzoo.tasks import (
    MaskedLM,
    QuestionAnswerer,
    TextClassifier,
    TextEmbedder,
    TokenClassifier,
    from_preset,
)
from tfzoo.text import ByteBPETokenizer, Layout

LAYOUT = Layout(last="end", between=("end",), second_segment=0)
LAYER = "transformer_layer_{i}"
TOY = Family(
    model_type="tfzoo_toy_encoder",
    class_name="ToyEncoderModel",
    prefix="toy.",
    fields={
        "vocabulary_size": fields.size("vocab"),
        "num_layers": fields.size("depth"),
        "num_heads": fields.size("heads"),
        "hidden_dim": fields.size("width"),
        "intermediate_dim": fields.size("inner"),
        "dropout": fields.share("dropout", 0.0),
        "max_sequence_length": fields.size("context"),
        "activation": fields.activation("act", "gelu"),
        "attention_dropout": fields.share("attention_dropout", 0.0),
    },
    fixed={},
    names={
        **plain("token_embedding/embeddings", "table"),
        **plain("position_embedding/embeddings", "places"),
        **norm("embeddings_norm", "norm"),
        **linear(f"{LAYER}/self_attention/query", "blocks.{i}.q"),
        **linear(f"{LAYER}/self_attention/key", "blocks.{i}.k"),
        **linear(f"{LAYER}/self_attention/value", "blocks.{i}.v"),
        **linear(f"{LAYER}/self_attention/output", "blocks.{i}.o"),
        **norm(f"{LAYER}/self_attention_norm", "blocks.{i}.norm_1"),
        **linear(f"{LAYER}/feed_forward/intermediate", "blocks.{i}.up"),
        **linear(f"{LAYER}/feed_forward/output", "blocks.{i}.down"),
        **norm(f"{LAYER}/feed_forward_norm", "blocks.{i}.norm_2"),
    },
    heads={
        "TextClassifier": Head("ToyClasses", linear("classifier/output", "classes")),
        "TokenClassifier": Head("ToyTags", linear("token_classifier", "tags")),
        "MaskedLM": Head("ToyGaps", plain("masked_lm_head/bias", "gaps")),
        "QuestionAnswerer": Head("ToyAnswers", linear("answer_span", "answers")),
    },
    tied={},
    tokenizers={ByteBPETokenizer: LAYOUT},
    sizes={},
)


class ToyEncoder(PresetBackbone, Encoder):
    sentence_transform = "relu"

    def __init__(
        self,
        vocabulary_size,
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=24,
        dropout=0.0,
        max_sequence_length=32,
        activation="gelu",
        attention_dropout=None,
        dtype=None,
        **kwargs,
    ):
        arguments = own_arguments(locals())
        positions = PositionEmbedding(
            max_sequence_length, dtype=dtype, name="position_embedding"
        )
        super().__init__(
            arguments,
            id_inputs("token_ids", "padding_mask"),
            lambda x: x + positions(x),
            dtype=dtype,
            **kwargs,
        )


@pytest.fixture(scope="module", autouse=True)
def toy():
    """The class, registered while the tests of this file run."""
    yield declared(TOY)(ToyEncoder)
    del BACKBONES["tfzoo_toy_encoder"]


TEXTS = ["the dog runs fast.", "", "a cat, asleep", "a dog " * 30]


@pytest.fixture(scope="module")
def tokenizer():
    return ByteBPETokenizer.train(
        TEXTS * 3,
        vocabulary_size=280,
        end_token="</s>",
        pad_token="<pad>",
        mask_token="<mask>",
        progress=False,
    )


@pytest.fixture
def encoder(toy, tokenizer):
    return random_weights(toy(tokenizer.vocabulary_size))


def ended(tokenizer, text, most=32):
    """The ids of a text as the family reads it."""
    return [*tokenizer.tokenize(text)[: most - 1], tokenizer.end_id]


def outputs_of(backbone, ids):
    ids = np.array([ids], np.int32)
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    return backbone(inputs)["sequence_output"][0].numpy()


def test_vectors_include_the_end_token(encoder, tokenizer, tmp_path):
    embedder = TextEmbedder(encoder, tokenizer)
    expected = []
    for text in TEXTS:
        vector = outputs_of(encoder, ended(tokenizer, text)).mean(0)
        expected.append(vector / np.linalg.norm(vector))
    np.testing.assert_allclose(embedder.embed(TEXTS), expected, atol=1e-5)
    path = embedder.export_version(tmp_path / "served")
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    answer = served(text=tf.constant(TEXTS))
    np.testing.assert_allclose(answer["embedding"], expected, atol=1e-5)
    embedder.save_to_preset(tmp_path / "toy")
    other = from_preset(tmp_path / "toy")
    assert type(other) is TextEmbedder and other.tokenizer.layout == LAYOUT
    np.testing.assert_allclose(other.embed(TEXTS), expected, atol=1e-5)


def test_pairs_are_trained_and_classified_with_an_end_token_after_each(
    encoder, tokenizer
):
    task = TextClassifier(encoder, tokenizer, labels=["no", "yes"], text_pair=True)
    pairs = {"text": TEXTS[:3], "text_pair": TEXTS[1:]}
    ids = [*ended(tokenizer, TEXTS[0]), *ended(tokenizer, TEXTS[1])]
    inputs = task.encode_strings({name: tf.constant(x) for name, x in pairs.items()})
    assert inputs["token_ids"][0, : len(ids)].numpy().tolist() == ids
    logits = task.predict(pairs, verbose=0)
    batches = tf.data.Dataset.from_tensor_slices(pairs).batch(2)
    np.testing.assert_allclose(task.predict(batches, verbose=0), logits, atol=1e-5)
    task.compile(learning_rate=1e-2, run_eagerly=True)
    losses = task.fit(pairs, ["no", "yes", "no"], epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_tags_agree_for_words_texts_and_the_served_model(encoder, tokenizer, tmp_path):
    task = TokenClassifier(encoder, tokenizer, labels=["A", "B", "C"])
    words = [" the dog runs".split(), " a cat".split()]
    first = task.predict(words, verbose=0)
    kernel, bias = map(np.asarray, task.get_layer("token_classifier").weights)
    for row, sentence in enumerate(words):
        pieces = [tokenizer.tokenize(f" {word}") for word in sentence]
        ids = [i for piece in pieces for i in piece] + [tokenizer.end_id]
        starts = np.cumsum([0, *map(len, pieces[:-1])])
        expected = outputs_of(encoder, ids)[starts] @ kernel + bias
        np.testing.assert_allclose(first[row, : len(sentence)], expected, atol=1e-4)
    batches = tf.data.Dataset.from_tensors(tf.ragged.constant(words))
    np.testing.assert_allclose(task.predict(batches, verbose=0), first, atol=1e-5)
    path = task.export_version(tmp_path / "served")
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    answer = served(text=tf.constant(TEXTS))
    for row, found in enumerate(task.tag(TEXTS)):
        count = len(found["words"])
        assert answer["num_words"][row] == count
        for name, ours in (("words", "word"), ("labels", "label")):
            received = [x.decode() for x in answer[name][row, :count].numpy()]
            assert received == [word[ours] for word in found["words"]]


def test_the_end_token_is_never_masked(encoder, tokenizer):
    task = MaskedLM(encoder, tokenizer)
    batches = task.training_data(TEXTS, batch_size=4, epochs=30, shuffle=True)
    masked = np.concatenate([words[weights > 0] for _, words, weights in batches])
    assert len(masked) > 100 and tokenizer.end_id not in masked
    ids = [*tokenizer.tokenize("the"), tokenizer.mask_id, *ended(tokenizer, " runs")]
    ids = np.array([ids], np.int32)
    place = np.array([[np.argmax(ids[0] == tokenizer.mask_id)]], np.int32)
    expected = task(
        {"token_ids": ids, "padding_mask": ids * 0 + 1, "mask_positions": place}
    )
    found = task.predict([f"the {tokenizer.mask_token} runs"], verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_question_answering_requires_a_token_for_no_answer(encoder, tokenizer):
    with pytest.raises(ValueError, match="must have a first token.*Received: a end, a"):
        QuestionAnswerer(encoder, tokenizer)


def test_a_tokenizer_without_the_token_is_refused(toy, tokenizer):
    bare = ByteBPETokenizer([t for t in tokenizer.vocabulary if t != "</s>"], [])
    with pytest.raises(TokenizerError, match="must contain the end token <.endof"):
        TextEmbedder(toy(bare.vocabulary_size), bare)


def test_a_text_may_have_no_tokens(encoder, tokenizer, monkeypatch):
    monkeypatch.setattr(ToyEncoder, "family", dataclasses.replace(TOY, tokenizers={}))
    bare = tokenizer.with_layout(Layout(second_segment=0))
    assert bare.encode("", "").token_ids == []
    embedder = TextEmbedder(encoder, bare)
    assert embedder.embed(["", ""]).tolist() == [[0.0] * 16] * 2
    together = embedder.embed(["a dog", ""])
    np.testing.assert_allclose(together, embedder.embed(["a dog", "", ""])[:2])
    assert np.abs(together[0]).max() > 0 and not together[1].any()
    tagger = TokenClassifier(encoder, bare, labels=["A", "B"])
    assert [found["words"] for found in tagger.tag(["", ""])] == [[], []]
