import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers import eagerly
from tfzoo.errors import CheckpointError
from tfzoo.tasks import BertPretrainer, TextClassifier, from_preset

LABELS = ["no", "yes"]


@pytest.fixture
def fresh(make_encoder, tokenizer):
    return TextClassifier(make_encoder(dropout=0.0), tokenizer, LABELS)


@pytest.fixture(scope="module")
def classifier(make_encoder, tokenizer):
    """A model whose weights no test changes."""
    return TextClassifier(make_encoder(dropout=0.0), tokenizer, LABELS)


@pytest.fixture
def of_whole_words(make_encoder, whole_words):
    task = TextClassifier(make_encoder(dropout=0.0), whole_words, LABELS)
    task.compile(run_eagerly=True)
    return task


def test_it_learns_from_raw_strings_and_returns_labels(fresh, texts):
    classifier, (x, y) = fresh, texts
    classifier.compile(learning_rate=5e-3)
    history = classifier.fit(x, y, epochs=20, batch_size=16, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 2
    assert classifier.evaluate(x, y, verbose=0, return_dict=True)["accuracy"] > 0.95
    answer = classifier.classify("the good cat")
    assert answer["label"] == "yes" and 0.5 < answer["score"] <= 1
    assert [a["label"] for a in classifier.classify(["bad dog", "good dog"])] == LABELS


def test_metrics_are_those_of_a_binary_task(classifier, texts):
    result = classifier.evaluate(*texts, verbose=0, return_dict=True)
    assert {"loss", "accuracy", "precision", "recall", "f1", "matthews"} <= set(result)


@pytest.mark.slow
def test_lists_arrays_datasets_and_ids_train_equally(make_encoder, tokenizer, texts):
    x, y = texts[0][:8], texts[1][:8]
    index = np.array([LABELS.index(label) for label in y], np.int32)
    whole = tokenizer.encode_batch(x, max_length=32)
    ids = np.zeros((8, 32), np.int32)
    mask = np.zeros((8, 32), np.int32)
    for row in range(8):
        part = whole.token_ids[whole.row_splits[row] : whole.row_splits[row + 1]]
        ids[row, : len(part)], mask[row, : len(part)] = part, 1
    prepared = {"token_ids": ids, "segment_ids": ids * 0, "padding_mask": mask}
    batches = {"batch_size": 8}
    ways = {
        "list": ((x, y), batches),
        "array": ((np.array(x), index), batches),
        "dict": (({"text": x}, y), batches),
        "dataset": ((tf.data.Dataset.from_tensors((x, y)), None), {}),
        "dataset of indices": ((tf.data.Dataset.from_tensors((x, index)), None), {}),
        "ids": ((prepared, index), batches),
    }
    weights = {}
    for name, (data, options) in ways.items():
        task = TextClassifier(make_encoder(dropout=0.0), tokenizer, LABELS)
        rng = np.random.default_rng(5)
        for v in task.trainable_variables[-2:]:
            v.assign(rng.normal(size=v.shape) * 0.1)
        task.compile(keras.optimizers.SGD(0.1))
        task.fit(*data, epochs=2, verbose=0, shuffle=False, **options)
        weights[name] = np.concatenate([w.ravel() for w in task.get_weights()])
    for name, flat in weights.items():
        np.testing.assert_allclose(flat, weights["list"], atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_validation_data_may_be_raw(fresh, texts):
    classifier, (x, y) = fresh, texts
    for data in [(x, y), tf.data.Dataset.from_tensor_slices((x, y)).batch(7)]:
        history = classifier.fit(x[:8], y[:8], validation_data=data, verbose=0)
        assert "val_accuracy" in history.history


def test_predict_keeps_the_order_of_texts(make_encoder, whole_words, texts):
    classifier = TextClassifier(make_encoder(), whole_words, LABELS)
    x, _ = texts
    together = classifier.predict(x, batch_size=7, verbose=0)
    assert together.shape == (60, 2) and together.dtype == np.float32
    for i in (0, 17, 59):
        alone = classifier.predict([x[i]], verbose=0)[0]
        np.testing.assert_allclose(together[i], alone, atol=1e-5)
    dataset = tf.data.Dataset.from_tensor_slices(x).batch(13)
    np.testing.assert_allclose(
        classifier.predict(dataset, verbose=0), together, atol=1e-5
    )


def test_empty_inputs_give_empty_outputs(classifier):
    assert classifier.predict([], verbose=0).shape == (0, 2)
    assert classifier.predict({"token_ids": np.zeros((0, 4))}).shape == (0, 2)
    assert classifier.classify([]) == []


def test_unusual_texts_are_classified(classifier):
    odd = ["", " ", "\0", "x" * 1_000_000, "the " * 500, b"\xff\xfe", "[MASK] [CLS]"]
    answers = classifier.classify(odd)
    assert len(answers) == len(odd)
    assert all(np.isfinite(a["score"]) for a in answers)


def test_pairs_differ_from_single_texts(make_encoder, tokenizer):
    task = TextClassifier(make_encoder(), tokenizer, LABELS, text_pair=True)
    a, b = ["the cat", "a dog"], ["sat on a mat", "ran"]
    task.compile(run_eagerly=True)
    task.fit((a, b), [0, 1], verbose=0)
    logits = task.predict({"text": a, "text_pair": b}, verbose=0)
    turned = task.predict({"text": b, "text_pair": a}, verbose=0)
    assert np.abs(logits - turned).max() > 1e-4
    answer = task.classify("the cat", "sat on a mat")
    assert answer == task.classify(["the cat"], ["sat on a mat"])[0]
    with pytest.raises(ValueError, match="text_pair=True. Received: single texts"):
        task.predict(a)


@pytest.mark.slow
def test_several_labels(make_encoder, tokenizer, texts):
    labels = ["animal", "bad", "good"]
    x = texts[0]
    y = [
        [
            name
            for name, on in zip(
                labels, ("cat" in t, "bad" in t, "good" in t), strict=True
            )
            if on
        ]
        for t in x
    ]
    task = TextClassifier(
        make_encoder(dropout=0.0, num_layers=2),
        tokenizer,
        labels,
        task="multi_label",
    )
    task.compile(learning_rate=5e-3)
    task.fit(x, y, epochs=12, batch_size=16, verbose=0)
    answer = task.classify("good cat sat on a mat")
    assert "good" in answer["labels"] and "bad" not in answer["labels"]
    assert set(answer["scores"]) == set(labels)
    hot = np.array([[name in row for name in labels] for row in y], int)
    assert task.evaluate(x, hot, verbose=0) == task.evaluate(x, y, verbose=0)


def test_a_regression_returns_the_predicted_number(make_encoder, tokenizer):
    task = TextClassifier(make_encoder(), tokenizer, task="regression")
    texts = ["the cat sat", "a dog"]
    scores = [answer["score"] for answer in task.classify(texts)]
    np.testing.assert_allclose(scores, task.predict(texts, verbose=0)[:, 0])


@pytest.mark.slow
def test_a_regression_learns_and_is_evaluated(make_encoder, tokenizer, texts):
    keras.utils.set_random_seed(0)  # of the head
    x, y = texts[0], [1.0 if "good" in t else -1.0 for t in texts[0]]
    task = TextClassifier(make_encoder(dropout=0.0), tokenizer, task="regression")
    task.compile(learning_rate=5e-3)
    task.fit(x, y, epochs=20, batch_size=16, verbose=0)
    result = task.evaluate(x, y, verbose=0, return_dict=True)
    scores = [a["score"] for a in task.classify(x)]
    assert result["pearson"] == pytest.approx(np.corrcoef(scores, y)[0, 1], abs=1e-4)
    assert result["pearson"] > 0.9 and result["spearman"] > 0.8
    assert result["loss"] == pytest.approx(np.mean((np.array(scores) - y) ** 2), 1e-3)


def test_a_weight_of_zero_ignores_a_text(classifier, texts):
    x, y = texts[0][:6], texts[1][:6]
    kept = classifier.evaluate(x[:3], y[:3], verbose=0)
    weighted = classifier.evaluate(x, y, sample_weight=[1, 1, 1, 0, 0, 0], verbose=0)
    np.testing.assert_allclose(kept, weighted, atol=1e-5)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["yes", "maybe"], "'maybe'"),
        ([0, 2], "Received: 2"),
        ([0, -1], "Received: -1"),
        (["yes"], "Received: 2 and 1"),
        (None, "y=None"),
    ],
)
def test_invalid_targets_are_reported(classifier, y, message):
    with pytest.raises(ValueError, match=message):
        classifier.fit(["a cat", "a dog"], y)


def test_an_unknown_label_in_a_dataset_stops_training(of_whole_words):
    data = tf.data.Dataset.from_tensors((["a", "cat"], ["yes", "maybe"]))
    with pytest.raises(ValueError, match="one of the labels.*'maybe' in row 1, batch"):
        of_whole_words.fit(data, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(labels=["a"]), "at least 2"),
        (dict(labels=["a", "a"]), "distinct names"),
        (dict(labels=[1, 2]), "must be strings"),
        (dict(labels=["a", "b"], task="regression"), "labels must be None"),
        (dict(labels=["a", "b"], task="tagging"), "'tagging'"),
        (dict(labels=["a", "b"], max_sequence_length=99), r"in \[3, 32\]"),
    ],
)
def test_invalid_arguments_are_reported(make_encoder, tokenizer, arguments, message):
    with pytest.raises(ValueError, match=message):
        TextClassifier(make_encoder(), tokenizer, **arguments)


def test_an_incompatible_backbone_is_reported(make_encoder, tokenizer):
    with pytest.raises(ValueError, match="pooler=False"):
        TextClassifier(make_encoder(pooler=False), tokenizer, LABELS)
    with pytest.raises(ValueError, match="backbone.vocabulary_size=7"):
        TextClassifier(make_encoder(vocabulary_size=7), tokenizer, LABELS)


def test_a_dataset_of_unknown_size_requires_steps(of_whole_words, texts):
    classifier = of_whole_words
    data = tf.data.Dataset.from_tensors(texts).repeat()
    with pytest.raises(ValueError, match="total_steps"):
        classifier.fit(data)
    with pytest.raises(
        ValueError, match="steps must be set, because the batches never end"
    ):
        classifier.evaluate(data)
    classifier.fit(data, steps_per_epoch=1, verbose=0)


def test_a_keras_file_is_complete(fresh, texts, tmp_path):
    classifier = fresh
    classifier.compile(learning_rate=1e-3, label_smoothing=0.1, run_eagerly=True)
    classifier.fit(*texts, verbose=0)
    classifier.save(tmp_path / "task.keras")
    copy = keras.saving.load_model(tmp_path / "task.keras")
    np.testing.assert_allclose(
        copy.predict(texts[0], verbose=0),
        classifier.predict(texts[0], verbose=0),
        atol=0,
    )
    assert copy.labels == ("no", "yes")
    assert copy.evaluate(*texts, verbose=0) == classifier.evaluate(*texts, verbose=0)
    ours = [np.asarray(v) for v in classifier.optimizer.variables]
    for mine, theirs in zip(ours, copy.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    copy.fit(*texts, verbose=0)


def test_a_preset_is_complete(fresh, texts, tmp_path):
    expected = eagerly(fresh).predict(texts[0], verbose=0)
    fresh.save_to_preset(
        tmp_path / "task", training_data="60 sentences", metrics={"accuracy": 0.5}
    )
    for copy in (
        TextClassifier.from_preset(tmp_path / "task"),
        from_preset(str(tmp_path / "task")),
    ):
        found = eagerly(copy).predict(texts[0], verbose=0)
        np.testing.assert_array_equal(found, expected)
        assert (copy.labels, copy.task) == (("no", "yes"), "classification")
    card = (tmp_path / "task" / "README.md").read_text()
    assert "60 sentences" in card and "| accuracy | 0.5 |" in card


def test_a_pretrained_backbone_gets_a_new_head_which_is_logged(
    make_encoder, tokenizer, texts, tmp_path, caplog
):
    pretrainer = BertPretrainer(make_encoder(), tokenizer)
    pretrainer.save_to_preset(tmp_path / "bert")
    task = TextClassifier.from_preset(tmp_path / "bert", labels=LABELS, dropout=0.0)
    assert "New, random weights: classifier/output/bias, classifier" in caplog.text
    assert task.backbone.dropout == 0.0
    np.testing.assert_array_equal(
        task.backbone.token_embedding.embeddings,
        pretrainer.backbone.token_embedding.embeddings,
    )


def test_other_labels_give_a_new_head(classifier, tmp_path, caplog):
    classifier.save_to_preset(tmp_path / "task")
    task = TextClassifier.from_preset(tmp_path / "task", labels=["a", "b", "c"])
    assert eagerly(task).predict(["x"], verbose=0).shape == (1, 3)
    assert "classifier/output/kernel" in caplog.text


def test_a_size_name_requires_a_tokenizer(tokenizer):
    with pytest.raises(ValueError, match="tokenizer=None"):
        TextClassifier.from_preset("bert_tiny", labels=LABELS)
    task = TextClassifier.from_preset("bert_tiny", tokenizer=tokenizer, labels=LABELS)
    assert task.backbone.vocabulary_size == tokenizer.vocabulary_size


def test_more_tokens_than_embeddings_are_refused(classifier, tmp_path):
    classifier.save_to_preset(tmp_path / "task")
    path = tmp_path / "task" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "vocab_size": 10}))
    with pytest.raises(CheckpointError, match="vocab_size"):
        TextClassifier.from_preset(tmp_path / "task")


def test_an_unknown_preset_is_reported():
    with pytest.raises(CheckpointError, match="nowhere: .* directory, hf.*size"):
        TextClassifier.from_preset("nowhere", labels=LABELS)


def test_the_saved_model_gives_the_same_answers(classifier, texts, tmp_path):
    path = classifier.export_version(tmp_path / "served")
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    answers = served(text=tf.constant(texts[0]))
    logits = tf.nn.softmax(classifier.predict(texts[0], verbose=0))
    np.testing.assert_allclose(answers["probabilities"], logits, atol=1e-5)
    names = [a["label"].encode() for a in classifier.classify(texts[0])]
    assert answers["label"].numpy().tolist() == names


@pytest.mark.slow
def test_half_precision_is_served_in_float32(make_encoder, tokenizer, texts, tmp_path):
    half = TextClassifier(make_encoder(dtype="mixed_bfloat16"), tokenizer, LABELS)
    path = half.export_version(tmp_path / "served")
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    exact = TextClassifier(make_encoder(), tokenizer, LABELS)
    exact.set_weights(half.get_weights())
    logits = exact.predict(texts[0], verbose=0)
    np.testing.assert_allclose(
        served(text=tf.constant(texts[0]))["probabilities"],
        tf.nn.softmax(logits),
        atol=1e-5,
    )


@pytest.mark.slow
def test_float16_trains_with_a_scaled_loss(make_encoder, tokenizer, texts):
    task = TextClassifier(make_encoder(dtype="mixed_float16"), tokenizer, LABELS)
    task.compile(learning_rate=1e-3)
    history = task.fit(*texts, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert isinstance(task.optimizer, keras.optimizers.LossScaleOptimizer)
