"""Frozen layers stay frozen in files, and the optimizer with them."""

import json

import keras
import numpy as np
import pytest

from tfzoo.errors import CheckpointError
from tfzoo.families import BertEncoder, GPTDecoder
from tfzoo.layers import TransformerLayer
from tfzoo.models.frozen import weight_variables
from tfzoo.tasks import CausalLM, MaskedLM, TextClassifier, TextEmbedder


def backbone(task):
    task.backbone.trainable = False


def one_layer(task):
    task.get_layer("transformer_layer_1").trainable = False


def inner_layer(task):
    task.get_layer("transformer_layer_1").self_attention.trainable = False


def embeddings(task):
    for layer in task.layers:
        if "embedding" in layer.name:
            layer.trainable = False


def all_but_one_layer(task):
    task.backbone.trainable = False
    task.get_layer("transformer_layer_1").trainable = True


def one_weight(task):
    task.get_layer("embeddings_norm").beta.trainable = False


def whole(task):
    task.trainable = False


def nothing(task):
    pass


KINDS = [
    backbone,
    one_layer,
    inner_layer,
    embeddings,
    all_but_one_layer,
    one_weight,
    whole,
    nothing,
]


def trained(model):
    return [v.path for v in model.trainable_variables]


@pytest.fixture
def task(make_encoder, tokenizer):
    return TextClassifier(make_encoder(num_layers=2), tokenizer, ["no", "yes"])


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_layers_are_frozen_after_loading(task, tmp_path, kind):
    everything = len(task.trainable_variables)
    kind(task)
    assert (len(trained(task)) < everything) == (kind is not nothing)
    task.save(tmp_path / "a.keras")
    task.save_to_preset(tmp_path / "a")
    for copy in (
        keras.saving.load_model(tmp_path / "a.keras"),
        TextClassifier.from_preset(tmp_path / "a"),
        TextClassifier.from_config(task.get_config()),
    ):
        assert trained(copy) == trained(task)
        assert copy.trainable == task.trainable
        assert copy.backbone.trainable or not trained(task.backbone)
        for a, b in zip(task.layers, copy.layers, strict=True):
            assert a.trainable == b.trainable or not weight_variables(a), a.name


@pytest.mark.parametrize("kind", [backbone, one_layer, embeddings, all_but_one_layer])
def test_frozen_layers_are_frozen_in_a_clone(task, kind):
    kind(task)
    copy = keras.models.clone_model(task)
    assert trained(copy) == trained(task)


def test_a_frozen_layer_in_a_custom_model_is_frozen_after_loading(tmp_path):
    inputs = keras.Input((4, 8))
    layer = TransformerLayer(2, 16)
    model = keras.Model(inputs, layer(inputs))
    layer.trainable = False
    model.save(tmp_path / "a.keras")
    assert not trained(model)
    assert not trained(keras.saving.load_model(tmp_path / "a.keras"))


@pytest.mark.parametrize(
    ("before", "options"),
    [
        (True, {}),
        (False, {"run_eagerly": True}),
        pytest.param(False, {}, marks=pytest.mark.slow),
        pytest.param(True, {"run_eagerly": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_trained_variables_change_only_with_compile(
    make_encoder, tokenizer, before, options, tmp_path
):
    task = TextClassifier(make_encoder(), tokenizer, ["no", "yes"])
    task.backbone.trainable = before
    task.compile(keras.optimizers.SGD(0.1), **options)
    task.fit(["the cat"], ["no"], verbose=0)
    task.save(tmp_path / "a.keras")
    for model in (task, keras.saving.load_model(tmp_path / "a.keras")):
        model.backbone.trainable = not before
        with pytest.raises(ValueError, match="compile must be called again"):
            model.fit(["the cat"], ["no"], verbose=0)
    task.compile(keras.optimizers.SGD(0.1), **options)
    old = np.concatenate([w.ravel() for w in task.backbone.get_weights()])
    task.fit(["the cat"], ["no"], verbose=0)
    new = np.concatenate([w.ravel() for w in task.backbone.get_weights()])
    assert (old != new).any() == (not before)


def test_an_optimizer_built_for_more_variables_trains_the_rest(task):
    optimizer = keras.optimizers.SGD(0.1)
    for trainable in (True, False):
        task.backbone.trainable = trainable
        task.compile(optimizer, run_eagerly=True)
        old = [w.copy() for w in task.get_weights()]
        task.fit(["the cat"], ["no"], verbose=0)
    changed = [
        variable.path.split("/")[0]
        for variable, before in zip(task.weights, old, strict=True)
        if (np.array(variable) != before).any()
    ]
    assert {*changed} == {"classifier"}


def test_another_task_is_not_frozen(task, tmp_path):
    task.backbone.trainable = False
    task.save_to_preset(tmp_path / "a")
    other = MaskedLM.from_preset(tmp_path / "a")
    assert trained(other) == [v.path for v in weight_variables(other)]


@pytest.mark.parametrize("build", [TextEmbedder, MaskedLM])
def test_a_backbone_in_any_task_stays_frozen(make_encoder, tokenizer, tmp_path, build):
    task = build(make_encoder(), tokenizer)
    task.backbone.trainable = False
    task.save(tmp_path / "a.keras")
    assert trained(keras.saving.load_model(tmp_path / "a.keras")) == trained(task)
    task.save_to_preset(tmp_path / "a")
    assert trained(build.from_preset(tmp_path / "a")) == trained(task)


def test_a_decoder_stays_frozen(make_gpt, byte_tokenizer, tmp_path):
    task = CausalLM(make_gpt(num_layers=2), byte_tokenizer)
    one_layer(task)
    task.save(tmp_path / "a.keras")
    task.save_to_preset(tmp_path / "a")
    assert trained(keras.saving.load_model(tmp_path / "a.keras")) == trained(task)
    assert trained(CausalLM.from_preset(tmp_path / "a")) == trained(task)


@pytest.mark.parametrize("model_class", [BertEncoder, GPTDecoder])
def test_a_lone_backbone_stays_frozen(model_class, tmp_path):
    sizes = dict(num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16)
    model = model_class(11, **sizes, trainable=False)
    assert trained(model) == []
    model.save(tmp_path / "a.keras")
    assert trained(keras.saving.load_model(tmp_path / "a.keras")) == []
    model = model_class(11, **sizes)
    one_layer(model)
    model.save(tmp_path / "b.keras")
    assert trained(keras.saving.load_model(tmp_path / "b.keras")) == trained(model)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [backbone, one_layer, nothing])
def test_training_resumes_with_the_optimizer_in_the_file(task, texts, tmp_path, kind):
    kind(task)
    task.compile(learning_rate=1e-2, total_steps=100)
    task.fit(*texts, verbose=0)
    task.save(tmp_path / "a.keras")
    copy = keras.saving.load_model(tmp_path / "a.keras")
    mine, theirs = task.optimizer.variables, copy.optimizer.variables
    assert [v.path.split("/", 1)[-1] for v in mine] == [
        v.path.split("/", 1)[-1] for v in theirs
    ]
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_missing_frozen_layer_is_reported(task, tmp_path):
    task.save_to_preset(tmp_path / "a")
    path = tmp_path / "a" / "config.json"
    config = json.loads(path.read_text())
    for value, message in [
        (["transformer_layer"], "tfzoo.frozen: Must be names of layers.*_layer'"),
        ("classifier", "tfzoo.frozen: Not a valid value"),
        ([5], "tfzoo.frozen: Not a valid value"),
    ]:
        config["tfzoo"]["frozen"] = value
        path.write_text(json.dumps(config))
        with pytest.raises(CheckpointError, match=message):
            TextClassifier.from_preset(tmp_path / "a")
