import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers import eagerly, random_weights
from tfzoo.data.pretraining import pretraining_dataset
from tfzoo.tasks import BertPretrainer


@pytest.fixture(scope="module")
def documents():
    rng = np.random.default_rng(0)
    words = "the cat dog sat ran on under mat tree good bad film".split()
    return [
        "\n".join(" ".join(rng.choice(words, 7)) for _ in range(8)) for _ in range(12)
    ]


@pytest.fixture
def pretrainer(make_encoder, tokenizer):
    return BertPretrainer(make_encoder(dropout=0.0), tokenizer)


@pytest.mark.slow
def test_one_batch_is_memorized(make_encoder, tokenizer, documents, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(documents))
    batch = next(
        iter(
            pretraining_dataset(
                [path],
                tokenizer,
                batch_size=8,
                max_sequence_length=32,
                max_predictions=5,
                progress=False,
            )
        )
    )
    encoder = make_encoder(dropout=0.0, hidden_dim=32, intermediate_dim=64)
    task = BertPretrainer(encoder, tokenizer)
    task.compile(learning_rate=1e-2, total_steps=150, jit_compile=False)
    inputs, targets, weights = batch
    task.fit(
        inputs, targets, sample_weight=weights, batch_size=8, epochs=150, verbose=0
    )
    result = task.evaluate(
        inputs,
        targets,
        sample_weight=weights,
        batch_size=8,
        verbose=0,
        return_dict=True,
    )
    assert result["masked_words_accuracy"] > 0.99
    assert result["next_sentence_accuracy"] > 0.99


def test_documents_train_and_both_losses_are_reported(pretrainer, documents):
    history = pretrainer.fit(
        documents, epochs=2, batch_size=8, validation_data=(documents,), verbose=0
    ).history
    for name in ("masked_words", "next_sentence"):
        for figure in (f"{name}_loss", f"{name}_accuracy", f"val_{name}_loss"):
            assert np.isfinite(history[figure]).all()


def test_the_next_sentence_can_be_switched_off(make_encoder, tokenizer, documents):
    task = BertPretrainer(make_encoder(pooler=False), tokenizer, next_sentence=False)
    assert list(task.output) == ["masked_words"]
    task.compile(run_eagerly=True)
    history = task.fit(documents, batch_size=32, verbose=0).history
    assert "masked_words_accuracy" in history or "accuracy" in history
    with pytest.raises(ValueError, match="pooler=False"):
        BertPretrainer(make_encoder(pooler=False), tokenizer)


def test_saved_copies_agree(pretrainer, documents, tmp_path):
    batch = next(iter(pretrainer.training_data(documents, batch_size=4)))
    expected = eagerly(pretrainer).predict(batch[0], verbose=0)
    pretrainer.save(tmp_path / "a.keras")
    pretrainer.save_to_preset(tmp_path / "a")
    for copy in (
        keras.saving.load_model(tmp_path / "a.keras"),
        BertPretrainer.from_preset(tmp_path / "a"),
    ):
        for name, logits in eagerly(copy).predict(batch[0], verbose=0).items():
            np.testing.assert_allclose(logits, expected[name], atol=1e-6)


def test_targets_are_refused(pretrainer, documents):
    with pytest.raises(ValueError, match="own targets"):
        pretrainer.fit(documents, [0] * len(documents))


@pytest.mark.parity
@pytest.mark.parametrize("name", ["BertPretrainer", "MaskedLM", "TextClassifier"])
def test_transformers_computes_the_same(make_encoder, tokenizer, tmp_path, name):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tfzoo import tasks

    options = {"labels": ["a", "b", "c"]} if name == "TextClassifier" else {}
    task = getattr(tasks, name)(make_encoder(), tokenizer, **options)
    random_weights(task, 0.2, seed=1)
    task.save_to_preset(tmp_path / "task")
    theirs, info = getattr(transformers, task.architecture).from_pretrained(
        tmp_path / "task", output_loading_info=True
    )
    assert not any(info.values())
    texts = ["the cat sat", "a very good film under a tree!", ""]
    words = transformers.AutoTokenizer.from_pretrained(tmp_path / "task")
    batch = words(texts, padding=True, return_tensors="pt")
    ours = task.encode_strings(texts)
    width = batch["input_ids"].shape[1]
    np.testing.assert_array_equal(ours["token_ids"][:, :width], batch["input_ids"])
    with torch.no_grad():
        out = theirs.eval()(**batch)
    if name != "TextClassifier":
        positions = np.tile(np.arange(width), (3, 1))
        ours["mask_positions"] = tf.constant(positions, tf.int32)
    logits = task(ours)
    real = batch["attention_mask"].numpy() == 1
    if name == "TextClassifier":
        assert theirs.config.id2label == {0: "a", 1: "b", 2: "c"}
        np.testing.assert_allclose(logits, out.logits, atol=1e-5)
        return
    theirs_words = out.logits if name == "MaskedLM" else out.prediction_logits
    ours_words = logits if name == "MaskedLM" else logits["masked_words"]
    np.testing.assert_allclose(
        ours_words.numpy()[real], theirs_words.numpy()[real], atol=2e-5
    )
    if name == "BertPretrainer":
        np.testing.assert_allclose(
            logits["next_sentence"], out.seq_relationship_logits, atol=1e-5
        )
