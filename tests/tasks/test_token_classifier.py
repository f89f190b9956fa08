import gzip
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers import eagerly
from tfzoo.errors import CheckpointError
from tfzoo.tasks import MaskedLM, TokenClassifier, from_preset
from tfzoo.training.entities import entity_spans

LABELS = ["O", "B-pet", "I-pet"]


@pytest.fixture
def model(make_encoder, tokenizer):
    return TokenClassifier(make_encoder(dropout=0.0, pooler=False), tokenizer, LABELS)


@pytest.fixture
def of_whole_words(make_encoder, whole_words):
    return TokenClassifier(make_encoder(dropout=0.0), whole_words, LABELS)


@pytest.fixture(scope="module")
def sentences():
    """40 sentences in which every `cat` and the word after it are a pet."""
    rng = np.random.default_rng(0)
    words = "the a cat dog sat ran on under mat tree zebra".split()
    x = [list(rng.choice(words, rng.integers(1, 12))) for _ in range(40)]
    y = []
    for row in x:
        before = [None, *row]
        y.append(
            [
                "B-pet" if word == "cat" else "I-pet" if last == "cat" else "O"
                for last, word in zip(before, row, strict=False)
            ]
        )
    return [list(map(str, row)) for row in x], y


@pytest.fixture(scope="module")
def trained(tokenizer, sentences):
    from tfzoo.families import BertEncoder

    keras.utils.set_random_seed(0)
    encoder = BertEncoder(
        tokenizer.vocabulary_size,
        1,
        2,
        32,
        64,
        dropout=0.0,
        max_sequence_length=40,
        pooler=False,
    )
    model = TokenClassifier(encoder, tokenizer, LABELS)
    model.compile(learning_rate=1e-2)
    model.fit(*sentences, batch_size=8, epochs=25, verbose=0)
    return model


def test_it_learns_from_words_and_finds_the_entities(trained, sentences):
    result = trained.evaluate(*sentences, verbose=0, return_dict=True)
    assert set(result) == {"loss", "accuracy", "precision", "recall", "f1"}
    assert result["accuracy"] > 0.97 and result["f1"] > 0.9
    for answer, words, labels in zip(
        trained.tag(sentences[0][:8]), *(s[:8] for s in sentences), strict=True
    ):
        assert [w["word"] for w in answer["words"]] == words
        assert [w["label"] for w in answer["words"]] == labels
        assert [
            (e["label"], e["start"], e["end"] - 1) for e in answer["entities"]
        ] == entity_spans(labels)
        for entity in answer["entities"]:
            assert entity["text"] == " ".join(words[entity["start"] : entity["end"]])
            scores = [w["score"] for w in answer["words"]]
            mean = np.mean(scores[entity["start"] : entity["end"]])
            assert entity["score"] == pytest.approx(mean)


def test_words_of_a_text_and_their_offsets_are_the_tokenizers(trained):
    text = "The  Cat ran,\u200b on"
    answer = trained.tag(text)
    words = [(w["word"], w["start"], w["end"]) for w in answer["words"]]
    assert words == [
        ("The", 0, 3),
        ("Cat", 5, 8),
        ("ran", 9, 12),
        (",", 12, 13),
        ("on", 15, 17),
    ]
    assert answer["words"][1]["label"] == "B-pet"
    entity = answer["entities"][0]
    assert (entity["label"], entity["start"]) == ("pet", 5)
    assert entity["text"] == text[5 : entity["end"]] and entity["end"] >= 12
    assert trained.tag([text.encode()]) == [answer]
    assert trained.tag([]) == []
    assert trained.tag("") == {"words": [], "entities": []}


@pytest.mark.parity
def test_transformers_pipeline_finds_the_same_entities(trained, tmp_path):
    transformers = pytest.importorskip("transformers")
    trained.save_to_preset(tmp_path / "pets")
    pipe = transformers.pipeline(
        "token-classification", str(tmp_path / "pets"), aggregation_strategy="first"
    )
    texts = ["the cat ran on, a zebra sat.", "cat cat dog", "zebra"]
    for theirs, ours in zip(pipe(texts), trained.tag(texts), strict=True):
        found = [(e["entity_group"], e["start"], e["end"]) for e in theirs]
        assert found == [(e["label"], e["start"], e["end"]) for e in ours["entities"]]
        scores = [e["score"] for e in theirs]
        ours = [e["score"] for e in ours["entities"]]
        assert np.allclose(scores, ours, atol=1e-5)


def test_words_and_a_string_of_them_are_equal_inputs(model, sentences):
    model.compile(run_eagerly=True)
    x, y = sentences
    joined = [" ".join(row) for row in x]
    assert model.evaluate(x, y, verbose=0) == model.evaluate(joined, y, verbose=0)
    np.testing.assert_array_equal(model.predict(x), model.predict(joined))
    invalid = b"the \xff cat"
    replaced = invalid.decode("utf-8", "replace")
    np.testing.assert_array_equal(model.predict([invalid]), model.predict([replaced]))


@pytest.mark.parametrize("are_named", [True, False], ids=["names", "numbers"])
def test_lists_and_ragged_datasets_give_the_same_batches(
    model, whole_words, sentences, are_named
):
    """Ragged numbers use a tokenizer without words of several tokens: it is faster."""
    x, y = sentences
    numbers = [[LABELS.index(label) for label in row] for row in y]
    if not are_named:
        model = TokenClassifier(model.backbone, whole_words, LABELS)
        x = [["on" if word == "zebra" else word for word in row] for row in x]
        y = numbers
    listed = model.training_data(x[:8], numbers[:8], batch_size=8, shuffle=False)
    order = np.argsort([len(i) for i in model._encode(x[:8])[1].to_list()])
    data = tf.data.Dataset.from_tensor_slices(
        (tf.ragged.constant(x[:8]), tf.ragged.constant(y[:8]))
    ).ragged_batch(8)
    (batch,), (expected,) = list(model.map_strings(data)), list(listed)
    for a, b in zip(
        keras.tree.flatten(batch), keras.tree.flatten(expected), strict=True
    ):
        np.testing.assert_array_equal(a.numpy()[np.array(order)], b)


@pytest.mark.slow
def test_datasets_train_evaluate_and_predict(model, sentences):
    x, y = sentences
    data = tf.data.Dataset.from_tensor_slices(
        (tf.ragged.constant(x), tf.ragged.constant(y))
    ).ragged_batch(16)
    history = model.fit(data, validation_data=data, verbose=0).history
    assert {"f1", "val_f1", "val_accuracy"} <= set(history)
    np.testing.assert_allclose(model.predict(data), model.predict(x), atol=1e-5)


def test_prepared_ids_train_and_predict(model, tokenizer):
    ids = {"token_ids": np.ones((3, 5), np.int32)}
    ids |= {"padding_mask": ids["token_ids"], "segment_ids": 0 * ids["token_ids"]}
    model.compile(run_eagerly=True)
    model.fit(ids, np.zeros((3, 5), np.int32), verbose=0)
    assert model.predict(ids, verbose=0).shape == (3, 5, 3)


def test_only_ignored_tokens_of_prepared_ids_have_weight_0(model):
    y = [[0, -1, 1], [2, -100, 0]]
    ids = {"token_ids": np.ones((2, 3), np.int32)}
    targets, weights = model.targets_of_ids(y, ids)
    assert targets.tolist() == [[0, 0, 1], [2, 0, 0]]
    assert weights.tolist() == [[1, 0, 1], [1, 0, 1]]


@pytest.mark.parametrize("road", ["arrays", "a dataset", "a generator"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: np.where(y == 2, np.nan, y), "one of the labels.*nan in row 1"),
        (lambda y: np.where(y == 2, None, y), "Received: None in row 1"),
        (lambda y: [[0, 0, 0, 0], [0]], "4 tokens and 1 labels in row 1"),
    ],
    ids=["nan", "none", "short"],
)
def test_invalid_targets_of_tokens_are_reported_with_their_row(
    model, road, change, message
):
    model.compile(optimizer="sgd", run_eagerly=True)
    ids = model.encode_strings(tf.constant(["the cat", "a dog"]))
    ids = {name: value.numpy() for name, value in ids.items()}
    data = (ids, change(np.array([[0, 1, 0, 0], [0, 0, 2, 0]])))
    if road == "a dataset":
        if not isinstance(data[1], np.ndarray) or data[1].dtype == object:
            pytest.skip("no tensor holds these")
        data = (tf.data.Dataset.from_tensors(data),)
    elif road == "a generator":
        data = (iter([data]),)
    with pytest.raises(ValueError, match=message) as error:
        model.fit(*data, verbose=0)
    assert "\n" not in str(error.value)


def test_predict_returns_the_logits_of_the_words_in_order(model, sentences):
    x = [*sentences[0][:6], [], ["cat"] * 60]
    logits = model.predict(x, batch_size=3)
    assert logits.shape == (8, 60, 3) and logits.dtype == np.float32
    for row, words in zip(logits, x, strict=True):
        alone = model.predict([words])
        np.testing.assert_allclose(row[: len(words)], alone[0], atol=1e-5)
        assert np.isnan(row[len(words) :]).all()
    assert np.isfinite(logits[7, :30]).all() and np.isnan(logits[7, 30:]).all()
    assert model.predict([]).shape == (0, 0, 3)


def test_words_beyond_the_maximum_are_neither_counted_nor_labeled(model):
    long = [["cat"] * 60]
    words = model.tag(long)[0]["words"]
    assert [w["label"] for w in words[30:]] == [None] * 30
    assert all(w["label"] in LABELS for w in words[:30])
    weights = [w for _, _, w in model.training_data(long, [["O"] * 60])]
    assert float(tf.reduce_sum(weights[0])) == 30


def test_a_weight_of_zero_ignores_a_sentence(model, sentences):
    x, y = sentences[0][:4], sentences[1][:4]
    model.compile(loss="auto", run_eagerly=True)
    with_all = model.evaluate(
        x, y, sample_weight=[1, 1, 0, 0], verbose=0, return_dict=True
    )
    alone = model.evaluate(x[:2], y[:2], verbose=0, return_dict=True)
    assert with_all == pytest.approx(alone, abs=1e-5)


def test_labels_without_entities_have_only_accuracy(make_encoder, tokenizer):
    model = TokenClassifier(make_encoder(pooler=False), tokenizer, ["DET", "NOUN"])
    model.compile(run_eagerly=True)
    result = model.evaluate([["a", "cat"]], [[0, 1]], verbose=0, return_dict=True)
    assert set(result) == {"loss", "accuracy"}
    assert set(model.tag("a cat")) == {"words"}


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([["a", "cat"]], [["O"]], "2 words and 1 labels in row 0"),
        ([["a"]], [["dog"]], "one of the labels .*Received: 'dog'"),
        ([["a"]], [[3]], "one of the labels .*Received: 3"),
        ([["a"]], None, "y=None"),
        ([["a"]], [], "the same length. Received: 1 and 0"),
    ],
)
def test_labels_that_do_not_match_the_words_are_reported(model, x, y, message):
    with pytest.raises(ValueError, match=message):
        model.fit(x, y, verbose=0)


@pytest.mark.parametrize(
    "y",
    [
        np.array([["O", "B-pet"], ["O", "O"]]),
        np.array([[0, 1], [0, 0]]),
        tf.constant([[0, 1], [0, 0]]),
    ],
    ids=["names", "indices", "tensor"],
)
def test_labels_of_words_may_be_an_array(model, y):
    sentences = [["a", "cat"], ["a", "mat"]]
    assert model.targets.encode(y, sentences).tolist() == [0, 1, 0, 0]


def test_sentences_of_two_words_are_not_pairs_in_batches(of_whole_words):
    model = of_whole_words
    model.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    x, y = [["a", "cat"], ["a", "mat"]], [[0, 1], [0, 0]]
    want = model.evaluate(x, y, verbose=0)
    for batch in ((x, y), (np.array(x), np.array(y))):
        found = model.evaluate(iter([batch]), verbose=0)
        np.testing.assert_allclose(found, want, atol=1e-5)
    with pytest.raises(
        ValueError, match="same components.*int32.*after.*string.*batch 1"
    ):
        model.evaluate(iter([(x, [["O", "O"]] * 2), (x, y)]), verbose=0)


def test_a_dataset_of_dense_strings_is_refused(model):
    data = tf.data.Dataset.from_tensor_slices((["a"], ["O"])).batch(1)
    with pytest.raises(ValueError, match="ragged batches"):
        model.fit(data, verbose=0)


def test_a_ragged_batch_with_mismatched_labels_is_refused(of_whole_words):
    data = tf.data.Dataset.from_tensor_slices(
        (tf.ragged.constant([["a", "cat"]]), tf.ragged.constant([["O"]]))
    ).ragged_batch(1)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="Every word must have one label"
    ):
        list(of_whole_words.map_strings(data))


def test_saved_copies_agree(trained, sentences, tmp_path):
    trained.save(tmp_path / "a.keras")
    trained.save_to_preset(tmp_path / "a")
    expected = trained.predict(sentences[0])
    for copy in (
        keras.saving.load_model(tmp_path / "a.keras"),
        TokenClassifier.from_preset(tmp_path / "a"),
        from_preset(tmp_path / "a"),
    ):
        assert copy.labels == tuple(LABELS)
        for a, b in zip(trained.get_weights(), copy.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        found = eagerly(copy).predict(sentences[0])
        np.testing.assert_allclose(found, expected, atol=1e-5)
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config["architectures"] == ["BertForTokenClassification"]
    assert config["id2label"] == {"0": "O", "1": "B-pet", "2": "I-pet"}


def test_another_checkpoint_gives_the_backbone_and_a_new_head(
    model, make_encoder, tokenizer, tmp_path, caplog
):
    MaskedLM(make_encoder(), tokenizer).save_to_preset(tmp_path / "words")
    TokenClassifier.from_preset(tmp_path / "words", labels=LABELS)
    assert "New, random weights: token_classifier/bias" in caplog.text
    caplog.clear()
    model.save_to_preset(tmp_path / "pets")
    TokenClassifier.from_preset(tmp_path / "pets", labels=["O", "B-x", "I-x"])
    assert "New, random weights: token_classifier/bias" in caplog.text


def test_invalid_labels_in_a_config_are_reported(model, tmp_path):
    model.save_to_preset(tmp_path / "pets")
    path = tmp_path / "pets" / "config.json"
    config = json.loads(path.read_text())
    del config["tfzoo"]
    path.write_text(json.dumps({**config, "id2label": {"0": "O", "7": "x"}}))
    with pytest.raises(CheckpointError, match="id2label: Must have the keys 0, 1"):
        TokenClassifier.from_preset(tmp_path / "pets")


@pytest.mark.slow
def test_the_saved_model_gives_the_same_answers(trained, tmp_path):
    path = trained.export_version(tmp_path / "served")
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    texts = ["The  Cat ran,\u200b on", "", "a zebra " * 40, "na\u00efve cat\u0301s"]
    answers = served(text=tf.constant(texts))
    for row, answer in enumerate(trained.tag(texts)):
        count = int(answers["num_words"][row])
        assert count == len(answer["words"])
        for ours, theirs in (("word", "words"), ("label", "labels")):
            expected = [word[ours].encode() for word in answer["words"]]
            assert answers[theirs][row, :count].numpy().tolist() == expected
        for ours, theirs in (("start", "starts"), ("end", "ends"), ("score", "scores")):
            expected = [word[ours] for word in answer["words"]]
            found = answers[theirs][row, :count]
            np.testing.assert_allclose(found, expected, atol=1e-5)
    labels = path / "assets.extra" / "labels.txt"
    assert labels.read_text().splitlines() == LABELS


def wnut(path):
    """Sentences and labels in a file of the emerging entities."""
    words, labels = [[]], [[]]
    for line in gzip.open(path, "rt", encoding="utf-8"):
        word, _, label = line.rstrip("\n").partition("\t")
        if word:
            words[-1].append(word)
            labels[-1].append(label)
        elif words[-1]:
            words.append([])
            labels.append([])
    return [w for w in words if w], [x for x in labels if x]


@pytest.mark.slow
def test_emerging_entities_are_learned_from_random_weights(shared_data):
    from tfzoo.text import WordPieceTokenizer

    x, y = wnut(shared_data / "wnut17" / "wnut17train.conll.gz")
    held_out = wnut(shared_data / "wnut17" / "emerging.dev.conll.gz")
    tokenizer = WordPieceTokenizer.train(
        [" ".join(words) for words in x], vocabulary_size=4000, progress=False
    )
    labels = sorted({label for row in [*y, *held_out[1]] for label in row})
    keras.utils.set_random_seed(0)
    model = TokenClassifier.from_preset(
        "bert_tiny", tokenizer=tokenizer, labels=labels, max_sequence_length=64
    )
    model.compile(learning_rate=1e-3)
    history = model.fit(x, y, epochs=6, verbose=0).history
    assert history["f1"][-1] > 0.25  # every word O: 0
    assert model.evaluate(*held_out, verbose=0, return_dict=True)["f1"] > 0.04
