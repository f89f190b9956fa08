"""RoBERTa and DistilBERT on raw strings, in every task: trained, used, served."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers import random_weights
from tfzoo.families import DistilBertEncoder, RobertaEncoder
from tfzoo.tasks import (
    MaskedLM,
    QuestionAnswerer,
    TextClassifier,
    TextEmbedder,
    TokenClassifier,
    from_preset,
)
from tfzoo.text import ROBERTA_TOKENS, ByteBPETokenizer

LABELS = ["O", "B-pet"]
HOSTILE = ["", " the  cat\n \n sat", "na\u00efve\u200b \U0001f468\u200d\U0001f469 cat!"]
SIZES = dict(num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=32, dropout=0.0)


@pytest.fixture(params=["roberta", pytest.param("distilbert", marks=pytest.mark.slow)])
def parts(request, texts, tokenizer):
    """An encoder whose weights are not all tiny, and its tokenizer."""
    keras.utils.set_random_seed(0)  # heads, shuffling
    if request.param == "roberta":
        tokenizer = ByteBPETokenizer.train(
            texts[0], vocabulary_size=340, progress=False, **ROBERTA_TOKENS
        )
        encoder = RobertaEncoder(
            tokenizer.vocabulary_size,
            max_sequence_length=48,
            padding_id=tokenizer.pad_id,
            **SIZES,
        )
    else:
        encoder = DistilBertEncoder(
            tokenizer.vocabulary_size, max_sequence_length=48, **SIZES
        )
    return random_weights(encoder, 0.2), tokenizer


def trained(task, *data, epochs=3):
    task.compile(learning_rate=1e-2)
    losses = task.fit(*data, batch_size=16, epochs=epochs, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    return task


@pytest.fixture
def served(tmp_path):
    """Function of a task and raw inputs that calls the exported, reopened task."""

    def ask(task, **inputs):
        task.save_to_preset(tmp_path / "saved")
        version = from_preset(tmp_path / "saved").export_version(tmp_path / "served")
        signature = tf.saved_model.load(str(version)).signatures["serving_default"]
        answers = signature(**{k: tf.constant(v) for k, v in inputs.items()})
        return {name: value.numpy() for name, value in answers.items()}

    return ask


@pytest.mark.slow
def test_pairs_are_classified(parts, texts, served):
    task = TextClassifier(*parts, labels=["no", "yes"], text_pair=True)
    pairs = {"text": texts[0], "text_pair": texts[0][::-1]}
    trained(task, pairs, texts[1], epochs=8)
    first, second = [*HOSTILE, "a" * 99], [*HOSTILE[::-1], "b " * 99]
    pairs = {"text": [*first, *texts[0]], "text_pair": [*second, *texts[0][::-1]]}
    probabilities = tf.nn.softmax(task.predict(pairs, verbose=0))
    found = served(task, **pairs)["probabilities"]
    np.testing.assert_allclose(found, probabilities, atol=1e-5)
    assert np.ptp(found[:, 0]) > 1e-3


@pytest.mark.slow
def test_masked_words_are_predicted(parts, texts, served):
    task = trained(MaskedLM(*parts), texts[0])
    mask = task.tokenizer.mask_token
    gaps = [f"the cat {mask} on", f"{mask}\n the {mask}"]
    found = served(task, text=gaps)
    for row, answers in enumerate(task.fill_mask(gaps, top_k=3)):
        for gap, words in enumerate(answers):
            for rank, word in enumerate(words):
                assert found["tokens"][row, gap, rank].decode() == word["token"]
                score = found["scores"][row, gap, rank]
                assert score == pytest.approx(word["score"], abs=1e-5)


@pytest.mark.slow
def test_words_are_labeled(parts, texts, served):
    words = [text.split() for text in texts[0]]
    labels = [["B-pet" if w in ("cat", "dog") else "O" for w in row] for row in words]
    task = trained(TokenClassifier(*parts, LABELS), words, labels)
    questions = [*HOSTILE, "  A cat\n\n(the dog) ran.\u3000 "]
    found = served(task, text=questions)
    for row, (text, answer) in enumerate(
        zip(questions, task.tag(questions), strict=True)
    ):
        count = found["num_words"][row]
        assert count == len(answer["words"])
        for i, word in enumerate(answer["words"]):
            assert found["words"][row, i].decode() == word["word"]
            assert text[word["start"] : word["end"]] == word["word"] != ""
            assert word["word"].strip("\n ") == word["word"]
            assert found["labels"][row, i].decode() == word["label"]
            assert found["starts"][row, i] == word["start"]
            assert found["ends"][row, i] == word["end"]
            assert found["scores"][row, i] == pytest.approx(word["score"], abs=1e-5)
    assert [w["word"] for w in answer["words"]][:4] == ["A", "cat", "(", "the"]


@pytest.mark.slow
def test_questions_are_answered(parts, texts, served):
    contexts = [text for text in texts[0] if "cat" in text.split()]
    records = [
        {
            "question": "what sat?",
            "context": f"{text} ",
            "answers": [{"text": "cat", "answer_start": f" {text} ".index(" cat ")}],
        }
        for text in contexts
    ]
    task = trained(QuestionAnswerer(*parts, max_answer_length=4), records)
    contexts = [*HOSTILE, "the dog on a mat " * 9, "\U0001f468 the cat sat"]
    questions = ["what sat?", "", "who?", "caf\u00e9?", "what"]
    found = served(task, question=questions, context=contexts)
    for row, answer in enumerate(task.answer(questions, contexts)):
        assert found["answer"][row].decode() == answer["answer"]
        assert found["start"][row] == answer["start"]
        assert found["end"][row] == answer["end"]
        assert found["score"][row] == pytest.approx(answer["score"], abs=1e-5)
        context = contexts[row]
        assert context[answer["start"] : answer["end"]] == answer["answer"]
    assert len({*found["answer"]}) > 2


@pytest.mark.slow
def test_texts_are_embedded(parts, texts, served):
    task = TextEmbedder(*parts)
    pairs = {"text": texts[0], "text_pair": texts[0][::-1]}
    trained(task, pairs)
    found = served(task, text=[*HOSTILE, *texts[0]])["embedding"]
    vectors = task.embed([*HOSTILE, *texts[0]])
    np.testing.assert_allclose(found, vectors, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
