import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.errors import CheckpointError, DataError, TokenizerError
from tfzoo.tasks import CausalLM, MaskedLM, from_preset
from tfzoo.text import ByteBPETokenizer


@pytest.fixture
def model(make_gpt, byte_tokenizer):
    return CausalLM(make_gpt(dropout=0.0), byte_tokenizer)


@pytest.fixture(scope="module")
def evaluated(make_gpt, byte_tokenizer):
    """A compiled model, only for evaluation."""
    model = CausalLM(make_gpt(dropout=0.0), byte_tokenizer)
    model.compile()
    return model


def prepared(model, text):
    """(inputs, targets) of one text, made by hand."""
    ids = [model.tokenizer.end_id, *model.tokenizer.tokenize(text)]
    ids = np.array([[*ids, model.tokenizer.end_id]], np.int32)
    inputs = {"token_ids": ids[:, :-1], "padding_mask": np.ones_like(ids[:, :-1])}
    return inputs, ids[:, 1:]


@pytest.mark.slow
def test_a_sentence_can_be_learned_from_raw_text(model):
    text = "the cat sat on the mat"
    before = model.perplexity(text)["perplexity"]
    model.compile(learning_rate=1e-2)
    history = model.fit([text] * 64, epochs=30, batch_size=8, verbose=0).history
    assert history["loss"][-1] < 0.5 < 3 < history["loss"][0]
    assert history["accuracy"][-1] > 0.9
    assert model.perplexity(text)["perplexity"] < 1.5 < before


def test_the_loss_is_per_token_and_perplexity_is_its_exponential(evaluated):
    model = evaluated
    inputs, targets = prepared(model, "the cat sat")
    logits = np.asarray(model(inputs), np.float64)
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    loss = -np.take_along_axis(logits, targets[..., None], -1).mean()
    found = model.evaluate(["the cat sat"], verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(loss, rel=1e-5)
    assert found["perplexity"] == pytest.approx(np.exp(loss), rel=1e-5)


def test_perplexity_does_not_depend_on_the_batches(evaluated, texts):
    whole, parts = (
        evaluated.evaluate(texts[0], batch_size=size, verbose=0, return_dict=True)
        for size in (64, 5)
    )
    assert whole["perplexity"] == pytest.approx(np.exp(whole["loss"]), rel=1e-4)
    assert parts["perplexity"] == pytest.approx(whole["perplexity"], rel=1e-4)
    assert parts["accuracy"] == pytest.approx(whole["accuracy"], abs=1e-6)


@pytest.mark.slow
def test_lists_datasets_and_prepared_ids_are_evaluated_equally(model):
    texts = ["the cat sat", "a dog ran on"]
    model.compile()
    expected = model.evaluate(texts, verbose=0)
    strings = tf.data.Dataset.from_tensor_slices(texts).batch(2)
    np.testing.assert_allclose(model.evaluate(strings, verbose=0), expected, rtol=1e-4)
    parts = [prepared(model, text) for text in texts]
    sums = counts = 0
    for inputs, targets in parts:
        loss = model.evaluate(inputs, targets, verbose=0)[0]
        sums, counts = sums + loss * targets.size, counts + targets.size
    assert sums / counts == pytest.approx(expected[0], rel=1e-4)


@pytest.mark.slow
def test_a_dataset_of_strings_is_trained_on_in_its_own_rows(model):
    strings = tf.data.Dataset.from_tensor_slices(["the cat", "x" * 99, ""]).batch(3)
    ((inputs, targets, weights),) = model.map_strings(strings)
    inputs, expected = prepared(model, "the cat")
    np.testing.assert_array_equal(targets[0, : expected.size], expected[0])
    lengths = weights.numpy().sum(1).tolist()
    assert lengths == [expected.size, 32, 1]
    assert targets[2, 0] == model.tokenizer.end_id
    model.compile(learning_rate=1e-3)
    history = model.fit(strings, validation_data=strings, epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]
    assert np.isfinite(history["val_perplexity"]).all()


def test_borders_keep_documents_apart_and_can_be_turned_off(make_gpt, byte_tokenizer):
    texts = ["the cat sat", "a dog ran"]
    losses = {}
    for borders in (True, False):
        model = CausalLM(make_gpt(), byte_tokenizer, document_borders=borders)
        model.compile(run_eagerly=True)
        losses[borders] = model.evaluate(texts, verbose=0)[0]
    counts = [prepared(model, text)[1].size for text in texts]
    alone = [model.evaluate([text], verbose=0)[0] for text in texts]
    assert losses[True] == pytest.approx(np.average(alone, weights=counts), rel=1e-4)
    assert abs(losses[False] - losses[True]) > 1e-3


def test_the_data_is_a_function_of_seed_and_step(model, texts):
    def batches(**options):
        data = model.training_data(texts[0], batch_size=8, epochs=2, **options)
        return [keras.tree.flatten(batch) for batch in data]

    whole, rest = batches(seed=3), batches(seed=3, start_step=2)
    assert len(whole) - 2 == len(rest) > 0
    for a, b in zip(whole[2:], rest, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    assert (whole[0][1] != batches(seed=4)[0][1]).numpy().any()


def test_predictions_are_logits_in_the_order_of_the_texts(byte_gpt):
    model = byte_gpt()
    texts = ["the cat sat on the mat", "a", ""]
    logits = model.predict(texts, batch_size=2, verbose=0)
    assert logits.dtype == np.float32 and len(logits) == 3
    for text, row in zip(texts, logits, strict=True):
        inputs, _ = prepared(model, text)
        expected = np.asarray(model(inputs))[0]
        np.testing.assert_allclose(row[: len(expected)], expected, atol=1e-5)
    strings = tf.data.Dataset.from_tensor_slices(texts).batch(3)
    np.testing.assert_allclose(model.predict(strings, verbose=0), logits, atol=1e-5)
    assert model.predict([]).shape == (0, 0, model.backbone.vocabulary_size)


@pytest.mark.slow
def test_a_keras_file_is_complete(model, tmp_path):
    model.compile(learning_rate=3e-4)
    model.fit(["the cat sat"], verbose=0)
    model.save(tmp_path / "gpt.keras")
    copy = keras.saving.load_model(tmp_path / "gpt.keras")
    text = "the cat sat"
    assert copy.score(text)["log_probability"] == model.score(text)["log_probability"]
    assert copy.get_config() == model.get_config()
    assert copy.optimizer.schedule.peak_learning_rate == 3e-4


def test_a_preset_is_complete(make_gpt, byte_tokenizer, tmp_path):
    options = dict(
        max_sequence_length=20,
        end_token_ids=[279, 5],
        chat_template="{{ messages[0].content }}",
        document_borders=False,
    )
    model = CausalLM(make_gpt(), byte_tokenizer, **options)
    model.save_to_preset(
        tmp_path / "gpt", training_data="some text", metrics={"perplexity": 3.5}
    )
    text = "the cat sat on the mat"
    expected = model.score(text)["log_probability"]
    for open_preset in (CausalLM.from_preset, from_preset):
        copy = open_preset(tmp_path / "gpt")
        assert type(copy) is CausalLM
        assert copy.task_arguments() == options
        assert copy.score(text)["log_probability"] == expected
    card = (tmp_path / "gpt" / "README.md").read_text()
    assert "some text" in card and "3.5" in card and "gpt2" in card
    config = json.loads((tmp_path / "gpt" / "config.json").read_text())
    assert config["architectures"] == ["GPT2LMHeadModel"]
    assert config["eos_token_id"] == [279, 5] and "end_token_ids" not in config["tfzoo"]


def test_a_size_name_has_random_weights_and_the_tokenizers_vocabulary(byte_tokenizer):
    model = CausalLM.from_preset("gpt_tiny", tokenizer=byte_tokenizer, dropout=0.0)
    assert model.backbone.vocabulary_size == byte_tokenizer.vocabulary_size
    assert model.backbone.num_layers == 2 and model.backbone.dropout == 0.0
    with pytest.raises(ValueError, match="requires a tokenizer.*'gpt_tiny'"):
        CausalLM.from_preset("gpt_tiny")


def test_a_preset_of_another_architecture_is_refused(model, tmp_path, byte_tokenizer):
    model.save_to_preset(tmp_path / "gpt")
    with pytest.raises(
        CheckpointError, match="model_type: .*supports only bert, .*'gpt2'"
    ):
        MaskedLM.from_preset(tmp_path / "gpt")
    with pytest.raises(CheckpointError, match="bert_tiny: .*sizes are gpt_tiny"):
        CausalLM.from_preset("bert_tiny", tokenizer=byte_tokenizer)


def test_in_float32_is_a_copy_with_equal_weights(make_gpt, byte_tokenizer):
    half = CausalLM(make_gpt(dtype="mixed_bfloat16"), byte_tokenizer)
    exact = half.in_float32()
    assert exact.backbone.dtype_name == "float32"
    text = "the cat sat"
    a, b = half.score(text), exact.score(text)
    assert a["log_probability"] == pytest.approx(b["log_probability"], rel=0.02)
    assert exact.in_float32() is exact


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.slow
def test_half_precision_trains(make_gpt, byte_tokenizer, dtype):
    model = CausalLM(make_gpt(dtype=dtype), byte_tokenizer)
    model.compile(learning_rate=1e-2)
    history = model.fit(["the cat sat on the mat"] * 32, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.slow
def test_xla_trains_on_multiples_of_lengths(model):
    strings = tf.data.Dataset.from_tensor_slices(["the cat", "a dog ran"]).batch(2)
    model.compile(learning_rate=1e-3, jit_compile=True)
    ((inputs, _, _),) = model.map_strings(strings)
    assert inputs["token_ids"].shape[1] == 32
    assert np.isfinite(model.fit(strings, verbose=0).history["loss"]).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(x=["a"], y=[1]), ValueError, "their own targets"),
        (dict(x=["a"], sample_weight=[1.0]), ValueError, "their own targets"),
        (dict(x=[]), DataError, "The input must have at least one token"),
        (dict(x=["", ""]), DataError, "The input must have at least one token"),
    ],
)
def test_invalid_training_data_is_reported(model, arguments, error, message):
    with pytest.raises(error, match=message):
        model.fit(**arguments, verbose=0)


def test_an_incompatible_tokenizer_is_refused(make_gpt, byte_tokenizer):
    with pytest.raises(ValueError, match="backbone.vocabulary_size=20"):
        CausalLM(make_gpt(vocabulary_size=20), byte_tokenizer)
    with pytest.raises(ValueError, match=r"in \[3, 32\].*Received: 33"):
        CausalLM(make_gpt(), byte_tokenizer, max_sequence_length=33)
    config = byte_tokenizer.get_config()
    plain = [t for t in config["vocabulary"] if t != byte_tokenizer.end_token]
    without = ByteBPETokenizer(plain, config["merges"])
    with pytest.raises(TokenizerError, match="must contain the end token"):
        CausalLM(make_gpt(), without)


@pytest.mark.parity
def test_transformers_opens_a_preset_and_gives_the_same_loss(model, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model.save_to_preset(tmp_path / "gpt")
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "gpt", output_loading_info=True
    )
    assert not any(info.values())
    inputs, _ = prepared(model, "the cat sat on the mat")
    ids = torch.tensor(inputs["token_ids"]).long()
    with torch.no_grad():
        loss = theirs.eval()(input_ids=ids, labels=ids).loss.item()
    score = model.score("the cat sat on the mat")
    assert -score["log_probabilities"].mean() == pytest.approx(loss, rel=1e-5)
