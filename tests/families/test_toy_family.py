"""A family of this file's own: everything works with it, and nothing else knows it.

Grouped queries, rotary positions, norms of queries and keys, a window, no biases, a
gated network, RMSNorm and an output layer of its own.
"""

import functools
import json

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from cheap_tokenizers import plain_bytes
from helpers import random_weights
from tfzoo.checkpoints import fields
from tfzoo.checkpoints.names import Stored, plain
from tfzoo.families.family import BACKBONES, Family, Head, declared
from tfzoo.families.preset_backbone import PresetBackbone
from tfzoo.layers import (
    Attention,
    GatedFeedForward,
    RMSNorm,
    Rotary,
    TransformerLayer,
)
from tfzoo.models import Decoder
from tfzoo.models.arguments import own_arguments
from tfzoo.tasks import CausalLM, from_preset

OURS, THEIRS = "transformer_layer_{i}", "blocks.{i}"


def kernel(path, name):
    return {f"{OURS}/{path}/kernel": Stored(f"{THEIRS}.{name}.w", transposed=True)}


TOY = Family(
    model_type="tfzoo_toy",
    class_name="ToyModel",
    prefix="toy.",
    fields={
        "vocabulary_size": fields.size("vocab"),
        "num_layers": fields.size("depth"),
        "num_heads": fields.size("heads"),
        "num_key_value_heads": fields.size("kv_heads"),
        "hidden_dim": fields.size("width"),
        "intermediate_dim": fields.size("inner"),
        "max_sequence_length": fields.size("context"),
        "window": fields.size("window"),
        "activation": fields.activation("act", "silu"),
    },
    fixed={"biases": False},
    names={
        **plain("token_embedding/embeddings", "table"),
        **plain("final_norm/gamma", "norm"),
        **kernel("self_attention/query", "q"),
        **kernel("self_attention/key", "k"),
        **kernel("self_attention/value", "v"),
        **kernel("self_attention/output", "o"),
        **plain(f"{OURS}/self_attention/query_norm/gamma", f"{THEIRS}.q_norm"),
        **plain(f"{OURS}/self_attention/key_norm/gamma", f"{THEIRS}.k_norm"),
        **plain(f"{OURS}/self_attention_norm/gamma", f"{THEIRS}.norm_1"),
        **kernel("feed_forward/gate", "gate"),
        **kernel("feed_forward/intermediate", "up"),
        **kernel("feed_forward/output", "down"),
        **plain(f"{OURS}/feed_forward_norm/gamma", f"{THEIRS}.norm_2"),
    },
    output_names=plain("output_embedding/embeddings", "scores"),
    heads={"CausalLM": Head("ToyForCausalLM")},
    tied={},
    sizes={
        "toy_tiny": dict(
            vocabulary_size=300,
            num_layers=2,
            num_heads=4,
            num_key_value_heads=2,
            hidden_dim=16,
            intermediate_dim=24,
            max_sequence_length=40,
            window=5,
        )
    },
)


class ToyDecoder(PresetBackbone, Decoder):
    def __init__(
        self,
        vocabulary_size,
        num_layers,
        num_heads,
        num_key_value_heads,
        hidden_dim,
        intermediate_dim,
        max_sequence_length,
        window,
        activation="silu",
        dtype=None,
        **kwargs,
    ):
        super().__init__(
            own_arguments(locals()),
            block=functools.partial(
                TransformerLayer,
                Attention(
                    num_heads,
                    num_key_value_heads=num_key_value_heads,
                    use_bias=False,
                    head_norm=RMSNorm(),
                    rotary=Rotary(100.0),
                    window=window,
                ),
                GatedFeedForward(intermediate_dim, activation, use_bias=False),
                norm=RMSNorm(),
                norm_first=True,
                dropout=0.0,
            ),
            final_norm=RMSNorm(),
            learned_positions=False,
            ties_output=False,
            dtype=dtype,
            **kwargs,
        )


@pytest.fixture(scope="module", autouse=True)
def toy():
    """The class, known while the tests of this file run."""
    before = dict(BACKBONES)
    yield declared(TOY)(ToyDecoder)
    BACKBONES.clear()
    BACKBONES.update(before)


@pytest.fixture(scope="module")
def tokenizer():
    return plain_bytes()


@pytest.fixture(scope="module")
def model(toy, tokenizer):
    backbone = CausalLM.backbone_of_size("toy_tiny", tokenizer)
    return CausalLM(random_weights(backbone, 0.4), tokenizer)


def test_its_output_layer_and_every_part_are_among_its_weights(model):
    shapes = {v.path: tuple(v.shape) for v in model.backbone.weights}
    size = model.backbone.vocabulary_size
    assert shapes["output_embedding/embeddings"] == (size, 16)
    assert shapes["transformer_layer_1/self_attention/key/kernel"] == (16, 8)
    assert not any(path.endswith(("bias", "beta")) for path in shapes)
    assert {*shapes} == {*TOY.backbone_names(2)}


def test_it_is_saved_in_its_own_names_and_opens_again(model, tmp_path):
    model.save_to_preset(tmp_path / "toy")
    config = json.loads((tmp_path / "toy" / "config.json").read_text())
    assert (config["model_type"], config["kv_heads"]) == ("tfzoo_toy", 2)
    tensors = safetensors.numpy.load_file(tmp_path / "toy" / "model.safetensors")
    assert tensors["toy.blocks.0.k.w"].shape == (8, 16) and "scores" in tensors
    other = from_preset(tmp_path / "toy")
    model.save(tmp_path / "toy.keras")
    loaded = keras.saving.load_model(tmp_path / "toy.keras")
    ids = np.array([model.tokenizer.tokenize("the dog runs")], np.int32)
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    for copy in (other, loaded):
        assert type(copy) is CausalLM and type(copy.backbone) is ToyDecoder
        assert copy.tokenizer.get_config() == model.tokenizer.get_config()
        np.testing.assert_array_equal(copy(inputs), model(inputs))


def test_it_learns(toy, tokenizer):
    backbone = CausalLM.backbone_of_size("toy_tiny", tokenizer)
    model = CausalLM(backbone, tokenizer)
    before = [np.array(v) for v in backbone.trainable_variables]
    model.compile(learning_rate=3e-2)
    texts = ["a cat sleeps"] * 32
    losses = model.fit(texts, batch_size=8, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2
    for old, variable in zip(before, backbone.trainable_variables, strict=True):
        assert np.abs(old - np.asarray(variable)).max() > 0, variable.path


def test_a_cached_step_computes_what_the_whole_does(model):
    backbone = model.backbone
    ids = np.random.default_rng(0).integers(0, 250, (2, 9)).astype(np.int32)
    whole = backbone({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    state = backbone.state(2)
    for i in range(9):
        here = np.full((2, 1), i, np.int32)
        seen = np.ones((1, 1, 1, i + 1), bool)
        hidden, new = backbone.step(ids[:, i : i + 1], here, state, seen)
        state = tf.nest.map_structure(lambda *x: tf.concat(x, 2), state, new)
        np.testing.assert_allclose(hidden[:, 0], whole[:, i], atol=1e-5)


def likeliest(model, prompt, count):
    """Ids that come one by one where nothing is cached."""
    ids = [*model.tokenizer.tokenize(prompt)]
    for _ in range(count):
        row = np.array([ids], np.int32)
        hidden = model.backbone({"token_ids": row, "padding_mask": row * 0 + 1})
        ids.append(int(np.argmax(model.backbone.logits(hidden)[0, -1])))
    return ids[-count:]


PROMPTS = ["the dog", "a", "a cat sleeps, a"]


def test_what_is_generated_is_the_likeliest_without_a_cache(model):
    found = model.generate(
        PROMPTS, max_new_tokens=12, jit_compile=False, return_dict_in_generate=True
    )
    for prompt, one in zip(PROMPTS, found, strict=True):
        expected = likeliest(model, prompt, 12)
        assert one.token_ids == expected[: len(one.token_ids)]
        assert len(one.token_ids) == 12 or one.token_ids[-1] == model.tokenizer.end_id


SEARCHES = [dict(num_beams=2), dict(penalty_alpha=0.6, top_k=3)]


@pytest.mark.parametrize("options", SEARCHES, ids=str)
def test_other_searches_generate_with_it(model, options):
    options = dict(max_new_tokens=8, jit_compile=False, **options)
    together = model.generate(PROMPTS, **options)
    assert [model.generate(prompt, **options) for prompt in PROMPTS] == together
    assert len({*together}) > 1


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, *SEARCHES], ids=str)
def test_xla_gives_the_same(model, options):
    options = dict(max_new_tokens=8, **options)
    compiled = model.generate(PROMPTS, jit_compile=True, **options)
    assert compiled == model.generate(PROMPTS, jit_compile=False, **options)


def test_an_assistant_changes_nothing(model, tokenizer):
    small = CausalLM.backbone_of_size("toy_tiny", tokenizer, num_layers=1)
    assistant = CausalLM(random_weights(small, 0.4, seed=1), tokenizer)
    options = dict(max_new_tokens=8, jit_compile=False)
    expected = model.generate(PROMPTS, **options)
    assert model.generate(PROMPTS, assistant_model=assistant, **options) == expected


def test_bfloat16_trains_and_steps_as_the_whole(toy, tokenizer):
    backbone = CausalLM.backbone_of_size("toy_tiny", tokenizer, dtype="mixed_bfloat16")
    model = CausalLM(backbone, tokenizer)
    model.compile(learning_rate=1e-3, run_eagerly=True)
    assert np.isfinite(model.fit(["a cat"] * 8, verbose=0).history["loss"]).all()
    ids = np.arange(9, dtype=np.int32)[None]
    whole = backbone({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    seen = np.tril(np.ones((9, 9), bool))[None, None]
    hidden, _ = backbone.step(ids, ids, backbone.state(1), seen)
    assert hidden.dtype == whole.dtype == "bfloat16"
    np.testing.assert_allclose(
        *(tf.cast(x, "float32") for x in (hidden, whole)), atol=0.05
    )


def test_it_is_served(model, tmp_path):
    path = model.export_version(tmp_path / "toy", max_new_tokens=8)
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    prompts = ["the dog", "", "a cat sleeps, a"]
    texts = served(prompt=tf.constant(prompts))["text"].numpy()
    expected = model.generate(prompts, max_new_tokens=8, jit_compile=False)
    assert [text.decode() for text in texts] == expected
