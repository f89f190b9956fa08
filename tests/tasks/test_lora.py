"""Adapters on tasks: what trains, what is computed, saved, opened and merged."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers import random_weights
from tfzoo.errors import CheckpointError, OutputError
from tfzoo.families import DistilBertEncoder
from tfzoo.models.frozen import weight_variables
from tfzoo.tasks import (
    BertPretrainer,
    CausalLM,
    MaskedLM,
    QuestionAnswerer,
    TextClassifier,
    TextEmbedder,
    TokenClassifier,
)

IDS = np.arange(5, 17, dtype=np.int32).reshape(2, 6)
INPUTS = {"token_ids": IDS, "segment_ids": 0 * IDS, "padding_mask": 0 * IDS + 1}
MASKED = {**INPUTS, "mask_positions": np.array([[1, 2], [3, 4]], np.int32)}
ADAPTERS = {"lora_kernel_a", "lora_kernel_b"}


@pytest.fixture
def gpt(byte_gpt):
    return byte_gpt()


@pytest.fixture
def classifier(small_encoder, tokenizer):
    return TextClassifier(small_encoder(), tokenizer, ["no", "yes"])


def adapted(task, rank=2, seed=0, **options):
    """The task with adapters that make a difference."""
    task.enable_lora(rank, **options)
    rng = np.random.default_rng(seed)
    for variable in task.trainable_variables:
        variable.assign(variable + 0.3 * rng.normal(size=variable.shape))
    return task


def outputs(task, inputs=INPUTS):
    return keras.tree.map_structure(np.array, task(inputs, training=False))


def values(task):
    return {v.path: np.array(v) for v in weight_variables(task)}


def trained(task):
    return [v.path for v in task.trainable_variables]


TASKS = {
    TextClassifier: (dict(labels=["no", "yes"]), INPUTS, {"classifier"}),
    TokenClassifier: (dict(labels=["O", "B-A"]), INPUTS, {"token_classifier"}),
    QuestionAnswerer: ({}, INPUTS, {"answer_span"}),
    TextEmbedder: ({}, INPUTS, set()),
    MaskedLM: ({}, MASKED, set()),
    BertPretrainer: ({}, MASKED, set()),
}


@pytest.mark.parametrize("task_class", TASKS)
def test_adapters_of_every_task_are_saved_opened_and_merged(
    task_class, small_encoder, tokenizer, tmp_path
):
    arguments, inputs, heads = TASKS[task_class]

    def make():
        return random_weights(task_class(small_encoder(), tokenizer, **arguments))

    task, before = make(), outputs(make(), inputs)
    task.enable_lora(2, alpha=3)
    assert str(outputs(task, inputs)) == str(before)
    rest = {path.split("/")[0] for path in trained(task)} - {"transformer_layer_0"}
    assert rest == heads
    adapted(task := make(), alpha=3)
    expected = outputs(task, inputs)
    task.save_adapter(tmp_path / "adapter")
    task.save_to_preset(tmp_path / "merged")
    opened = make()
    opened.load_adapter(tmp_path / "adapter")
    assert trained(opened) == trained(task)
    task.merge_adapter()
    preset = task_class.from_preset(tmp_path / "merged")
    assert trained(task) == trained(preset) == trained(make())
    for other in (opened, task, preset):
        for name, wanted in enumerate(keras.tree.flatten(expected)):
            found = keras.tree.flatten(outputs(other, inputs))[name]
            np.testing.assert_allclose(found, wanted, atol=1e-5)
            assert np.abs(wanted - keras.tree.flatten(before)[name]).max() > 0.01


def test_a_gpt_scores_and_generates_with_its_adapters(gpt, tmp_path):
    options = dict(max_new_tokens=8, jit_compile=False)
    before = gpt.generate("the cat", **options)
    score = gpt.score("the cat")  # traces the functions without adapters
    adapted(gpt, targets=("query", "value", "output", "intermediate"))
    after = gpt.generate(["the cat"] * 5, **options)
    assert after == [gpt.generate("the cat", **options)] * 5 != [before] * 5
    scores = gpt.score("the cat")
    assert abs(scores["log_probability"] - score["log_probability"]) > 0.1
    copy = CausalLM.from_config(gpt.get_config())
    gpt.save_to_preset(tmp_path / "merged")
    gpt.merge_adapter()
    assert gpt.generate("the cat", **options) == after[0]
    assert gpt.score("the cat")["log_probability"] == pytest.approx(
        scores["log_probability"], abs=1e-5
    )
    opened = CausalLM.from_preset(tmp_path / "merged")
    assert opened.generate("the cat", **options) == after[0]
    assert trained(copy) == trained(opened)


def test_the_served_classifier_has_its_adapters(classifier, unsaved):
    adapted(classifier)
    served = unsaved(classifier)["token_ids"](
        **{name: tf.constant(value) for name, value in INPUTS.items()}
    )
    np.testing.assert_allclose(served["logits"], outputs(classifier), atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "options", "road"),
    [
        ("float32", {}, "list"),
        ("mixed_bfloat16", {"run_eagerly": True}, "ids"),
        ("mixed_float16", {"run_eagerly": True}, "list"),
        pytest.param("float32", {}, "tf.data", marks=pytest.mark.slow),
        pytest.param("float32", {"jit_compile": True}, "list", marks=pytest.mark.slow),
        pytest.param(
            "mixed_float16", {"jit_compile": True}, "list", marks=pytest.mark.slow
        ),
    ],
    ids=str,
)
def test_fit_changes_only_adapters_and_the_head(
    make_encoder, tokenizer, texts, dtype, options, road
):
    task = TextClassifier(make_encoder(dtype=dtype), tokenizer, ["no", "yes"])
    task.enable_lora(2)
    before, start = values(task), [np.array(v) for v in task.trainable_variables]
    task.compile(learning_rate=1e-2, total_steps=20, **options)
    data = dict(x=texts[0][:16], y=texts[1][:16], batch_size=8)
    if road == "tf.data":
        data = dict(
            x=tf.data.Dataset.from_tensor_slices((data["x"], data["y"])).batch(8)
        )
    elif road == "ids":
        data = dict(x=INPUTS, y=np.array([0, 1], np.int32))
    task.fit(**data, epochs=2, verbose=0)
    changed = {p for p, v in values(task).items() if (v != before[p]).any()}
    assert changed == {"classifier/output/kernel", "classifier/output/bias"}
    for old, new in zip(start, task.trainable_variables, strict=True):
        assert (old != np.array(new)).any(), new.path
    assert {v.path for v in weight_variables(task) if v.trainable} == changed


def test_adapters_learn(classifier, texts):
    classifier.enable_lora(4, ("query", "key", "value", "output", "intermediate"))
    classifier.compile(learning_rate=2e-2, total_steps=90)
    history = classifier.fit(*texts, batch_size=20, epochs=30, verbose=0).history
    assert history["accuracy"][-1] > 0.9 and history["loss"][-1] < 0.3


def test_every_argument_changes_the_output(classifier, small_encoder, tokenizer):
    def logits(rank=2, **options):
        task = TextClassifier(small_encoder(), tokenizer, ["no", "yes"])
        task.set_weights(classifier.get_weights())
        task.enable_lora(rank, **options)
        for v in task.trainable_variables:
            if v.name in ADAPTERS:
                v.assign(keras.ops.ones(v.shape) * 0.1)
        return outputs(task)

    usual = logits()
    assert (logits(alpha=2) == usual).all()
    for options in (dict(alpha=5), dict(rank=3), dict(targets="query")):
        assert np.abs(logits(**options) - usual).max() > 1e-3, options


@pytest.mark.parametrize(
    ("rank", "options", "message"),
    [
        (0, {}, "rank must be an integer >= 1. Received: 0"),
        (2.0, {}, "rank must be an integer >= 1. Received: 2.0"),
        (True, {}, "rank must be an integer >= 1. Received: True"),
        (16, {}, r"inputs and units of .*query, \(16, 16\). Received: 16"),
        (2, {"targets": ()}, r"query, value. Received: \[\]"),
        (2, {"targets": 5}, "query, value. Received: 5"),
        (2, {"targets": "q_proj"}, "layers: intermediate, .*query, value.*'q_proj'"),
        (2, {"targets": ["query", "uery"]}, "Received: 'uery'"),
        (2, {"alpha": 0}, "alpha must be a number > 0. Received: 0"),
        (2, {"alpha": float("nan")}, "alpha must be a number > 0. Received: nan"),
        (2, {"alpha": "2"}, "alpha must be a number > 0. Received: '2'"),
    ],
)
def test_an_invalid_argument_is_named_and_changes_nothing(
    classifier, rank, options, message
):
    before = trained(classifier)
    with pytest.raises(ValueError, match=message):
        classifier.enable_lora(rank, **options)
    assert trained(classifier) == before and not classifier.has_adapters


def test_adapters_come_once(classifier, tmp_path):
    for method, arguments in (
        ("save_adapter", [tmp_path / "a"]),
        ("merge_adapter", []),
    ):
        with pytest.raises(ValueError, match=f"{method} requires adapters"):
            getattr(classifier, method)(*arguments)
    classifier.enable_lora(3)
    for method, argument in (
        ("enable_lora", 2),
        ("load_adapter", tmp_path / "a"),
        ("load_weights", tmp_path / "a.weights.h5"),
    ):
        with pytest.raises(
            ValueError, match=f"{method} .*Received: adapters of rank 3"
        ):
            getattr(classifier, method)(argument)
    classifier.merge_adapter()
    classifier.enable_lora(2)


def test_existing_output_is_not_overwritten(classifier, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "note").write_text("mine")
    classifier.enable_lora(2)
    with pytest.raises(OutputError, match="never overwritten"):
        classifier.save_adapter(tmp_path / "a")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_an_adapter_that_is_not_finite_is_not_saved(classifier, tmp_path):
    classifier.enable_lora(2)
    variable = next(v for v in classifier.trainable_variables if v.name in ADAPTERS)
    variable.assign(np.full(variable.shape, np.nan))
    with pytest.raises(ValueError, match="finite.*query.lora_A.weight"):
        classifier.save_adapter(tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_other_trained_weights_are_not_lost_in_an_adapter(classifier, tmp_path):
    classifier.enable_lora(2)
    classifier.get_layer("embeddings_norm").beta.trainable = True
    with pytest.raises(ValueError, match="only a head.*'embeddings_norm/beta'"):
        classifier.save_adapter(tmp_path / "a")


def test_what_trains_changes_only_with_compile(classifier, texts):
    classifier.compile(learning_rate=1e-2, run_eagerly=True)
    classifier.fit(texts[0][:4], texts[1][:4], verbose=0)
    for change in (lambda: classifier.enable_lora(2), classifier.merge_adapter):
        change()
        with pytest.raises(ValueError, match="compile must be called again"):
            classifier.fit(texts[0][:4], texts[1][:4], verbose=0)
        classifier.compile(learning_rate=1e-2, run_eagerly=True)
        classifier.fit(texts[0][:4], texts[1][:4], verbose=0)


def test_predictions_follow_what_is_added_and_merged(classifier, texts):
    first = classifier.predict(texts[0][:3], verbose=0)
    adapted(classifier)
    second = classifier.predict(texts[0][:3], verbose=0)
    assert np.abs(first - second).max() > 0.01
    classifier.merge_adapter()
    third = classifier.predict(texts[0][:3], verbose=0)
    np.testing.assert_allclose(third, second, atol=1e-5)


@pytest.mark.parametrize("part", ["backbone", "transformer_layer_0", "embeddings_norm"])
def test_frozen_layers_get_adapters_and_are_frozen_again(classifier, part, tmp_path):
    layer = classifier.backbone if part == "backbone" else classifier.get_layer(part)
    layer.trainable = False
    before = trained(classifier)
    classifier.enable_lora(2)
    names = {path.rsplit("/", 1)[-1] for path in trained(classifier)}
    assert names == {*ADAPTERS, "kernel", "bias"}
    classifier.save_to_preset(tmp_path / "a")
    assert trained(TextClassifier.from_preset(tmp_path / "a")) == before
    assert trained(TextClassifier.from_config(classifier.get_config())) == before
    classifier.merge_adapter()
    assert trained(classifier) == before and not layer.trainable


def test_a_pooler_that_the_checkpoint_lacked_is_trained_and_saved(
    make_encoder, tokenizer, tmp_path
):
    MaskedLM(make_encoder(pooler=False), tokenizer).save_to_preset(tmp_path / "words")

    def opened():
        return TextClassifier.from_preset(tmp_path / "words", labels=["no", "yes"])

    with pytest.raises(ValueError, match="output, query, value. Received: 'pooler'"):
        opened().enable_lora(2, "pooler")
    task = adapted(opened())
    assert "pooler/kernel" in trained(task)
    task.save_adapter(tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["modules_to_save"] == ["classifier", "pooler"]
    copy = opened()
    copy.load_adapter(tmp_path / "adapter")
    assert trained(copy) == trained(task)
    np.testing.assert_array_equal(outputs(copy), outputs(task))


def test_a_new_head_that_would_stay_random_is_refused(
    make_encoder, tokenizer, tmp_path
):
    make_encoder().save_to_preset(tmp_path / "a", tokenizer=tokenizer)
    task = MaskedLM.from_preset(tmp_path / "a")
    with pytest.raises(ValueError, match="new, random weights masked_lm_head/bias"):
        task.enable_lora(2)
    task.compile(run_eagerly=True)
    task.fit(["the cat sat"], verbose=0)
    task.enable_lora(2)


def test_the_copy_in_float32_is_merged_at_full_precision(make_encoder, tokenizer):
    task = TextClassifier(make_encoder(dtype="mixed_bfloat16"), tokenizer, ["a", "b"])
    adapted(task)
    exact = TextClassifier(make_encoder(), tokenizer, ["a", "b"])
    exact.enable_lora(2)
    exact.set_weights(task.get_weights())
    copy = task.in_float32()
    assert copy is not task and not copy.has_adapters
    np.testing.assert_allclose(outputs(copy), outputs(exact), atol=1e-5)
    task.merge_adapter()
    np.testing.assert_allclose(outputs(task.in_float32()), outputs(copy), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_keras_file_has_the_merged_weights(
    make_encoder, tokenizer, texts, tmp_path, dtype
):
    encoder = make_encoder(dtype=dtype, dropout=0.0)
    classifier = TextClassifier(encoder, tokenizer, ["no", "yes"])
    adapted(classifier, targets=("query", "pooler"))
    classifier.compile(learning_rate=1e-2, run_eagerly=True)
    classifier.fit(texts[0][:4], texts[1][:4], verbose=0)
    classifier.save(tmp_path / "a.keras")
    copy = keras.saving.load_model(tmp_path / "a.keras")
    classifier.merge_adapter()
    assert trained(copy) == trained(classifier)
    for path, value in values(classifier).items():
        np.testing.assert_array_equal(values(copy)[path], value)
    np.testing.assert_array_equal(outputs(copy), outputs(classifier))


def test_a_distilbert_keeps_both_layers_of_its_head(tokenizer, tmp_path):
    encoder = random_weights(
        DistilBertEncoder(tokenizer.vocabulary_size, 1, 2, 16, 32, dropout=0.0)
    )

    def make():
        return random_weights(TextClassifier(encoder, tokenizer, ["no", "yes"]))

    task = adapted(make())
    task.save_adapter(tmp_path / "a")
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert config["modules_to_save"] == ["classifier", "pre_classifier"]
    assert config["task_type"] == "SEQ_CLS"
    assert config["target_modules"] == ["attention.q_lin", "attention.v_lin"]


@pytest.mark.parametrize(
    ("preset", "base", "revision"),
    [("hf://org/name@abc", "org/name", "abc"), ("a@b/c", "a@b/c", None)],
)
def test_the_base_is_noted(classifier, tmp_path, preset, base, revision):
    classifier.enable_lora(2)
    classifier.save_adapter(tmp_path / "a", base=preset)
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == base
    assert config["revision"] == revision


@pytest.fixture(scope="module")
def directory(small_encoder, tokenizer, tmp_path_factory):
    """An adapter of a classifier."""
    place = tmp_path_factory.mktemp("adapter") / "a"
    task = TextClassifier(small_encoder(), tokenizer, ["no", "yes"])
    task.enable_lora(2)
    task.save_adapter(place)
    return place


def test_an_adapter_of_another_model_is_refused_by_tensor(
    directory, gpt, small_encoder, tokenizer
):
    with pytest.raises(CheckpointError, match=r"self.query.lora_A.*dense layer of the"):
        gpt.load_adapter(directory)
    three = TextClassifier(small_encoder(), tokenizer, ["a", "b", "c"])
    before = values(three)
    with pytest.raises(CheckpointError, match=r"classifier.weight: .*\(3, 16\)"):
        three.load_adapter(directory)
    words = MaskedLM(small_encoder(), tokenizer)
    with pytest.raises(
        CheckpointError, match="classifier.bias: Besides adapters, only"
    ):
        words.load_adapter(directory)
    assert not three.has_adapters and not words.has_adapters
    assert all((v == before[p]).all() for p, v in values(three).items())


def test_a_dropout_of_peft_is_told(directory, classifier, tmp_path, caplog):
    shutil.copytree(directory, tmp_path / "a")
    path = tmp_path / "a" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "lora_dropout": 0.1}))
    classifier.load_adapter(tmp_path / "a")
    assert "lora_dropout=0.1 is not applied in training" in caplog.text


def test_training_continues_with_an_opened_adapter(directory, classifier, texts):
    classifier.load_adapter(directory)
    classifier.compile(learning_rate=1e-2, run_eagerly=True)
    before = [np.array(v) for v in classifier.trainable_variables]
    classifier.fit(texts[0][:8], texts[1][:8], batch_size=4, verbose=0)
    for old, new in zip(before, classifier.trainable_variables, strict=True):
        assert (old != np.array(new)).any(), new.path


def test_an_adapter_is_opened_from_the_hub(hub, small_encoder, tokenizer, tmp_path):
    def classifier():
        return TextClassifier(small_encoder(), tokenizer, ["no", "yes"])

    task = adapted(classifier())
    task.save_adapter(tmp_path / "adapter")
    files = {p.name: p.read_bytes() for p in (tmp_path / "adapter").iterdir()}
    adapter = hub.add("org/adapter", {**files, "model.safetensors": b"not needed"})
    copy = classifier()
    copy.load_adapter(f"hf://org/adapter@{adapter.refs['main']}")
    assert sorted(hub.sent) == ["adapter_config.json", "adapter_model.safetensors"]
    np.testing.assert_allclose(outputs(copy), outputs(task), atol=1e-6)
    with pytest.raises(CheckpointError, match="org/none: The repository does not"):
        classifier().load_adapter("hf://org/none")
    with pytest.raises(CheckpointError, match="must be a directory or hf://ORG/NAME"):
        classifier().load_adapter("keras_hub://bert")
    hub.add("org/model", {"config.json": b"{}"})
    with pytest.raises(CheckpointError, match="org/model: .* have adapter_config.json"):
        classifier().load_adapter("hf://org/model")
