"""Adapters in PEFT's format: what is read, written, and refused."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tfzoo.checkpoints.adapter_parts import ModuleAdapter, joined, modules_of, split
from tfzoo.checkpoints.names import linear, of_layers, side_by_side
from tfzoo.checkpoints.peft import AdapterFiles, write_adapter
from tfzoo.errors import CheckpointError, OutputError

PREFIX = "base_model.model."
MODULE = "h.0.attn.c_attn"
A, B = f"{PREFIX}{MODULE}.lora_A.weight", f"{PREFIX}{MODULE}.lora_B.weight"
CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}


def rng_array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.fixture
def write(tmp_path):
    """Function that writes the files of an adapter with changes."""

    def write(config=(), tensors=(), without=()):
        given = {A: rng_array(2, 3), B: rng_array(6, 2), **dict(tensors)}
        save_file(
            {name: array for name, array in given.items() if name not in without},
            tmp_path / "adapter_model.safetensors",
        )
        text = json.dumps({**CONFIG, **dict(config)})
        (tmp_path / "adapter_config.json").write_text(text)
        return tmp_path

    return write


def opened(directory):
    return AdapterFiles(directory).read(MODULE, 3, 6)


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({}, 2),
        ({"lora_alpha": 3}, 1.5),
        ({"lora_alpha": 3, "use_rslora": True}, 3 / 2**0.5),
        ({"alpha_pattern": {"c_attn": 1}}, 0.5),
        ({"alpha_pattern": {"attn": 1}}, 2),
        ({"r": 5, "rank_pattern": {"h.0.attn.c_attn": 2}}, 2),
        ({"alpha_pattern": {"attn.c_attn": 1, "c_attn": 9}}, 0.5),
        ({"use_dora": False, "bias": "none", "layer_replication": None}, 2),
        ({"a_future_option": None, "peft_version": "9.9"}, 2),
    ],
)
def test_the_scale_is_that_of_peft(write, config, scale):
    found = opened(write(config))
    assert found.scale == pytest.approx(scale)
    np.testing.assert_array_equal(found.down, rng_array(2, 3))
    np.testing.assert_array_equal(found.up, rng_array(6, 2))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type: Only 'LORA' is supported. Received: 'IA3'"),
        ({"peft_type": None}, "peft_type: Only 'LORA'"),
        ({"use_dora": True}, "use_dora: This option of PEFT is not supported"),
        ({"bias": "all"}, "bias: This option .* Received: 'all'"),
        ({"lora_bias": True}, "lora_bias: This option"),
        ({"layer_replication": [[0, 1]]}, "layer_replication: This option"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices: This option"),
        ({"a_future_option": 1}, "a_future_option: This option"),
        (
            {"init_lora_weights": "pissa"},
            "init_lora_weights: Only True.*'pissa'.*Convert",
        ),
        ({"init_lora_weights": ["loftq"]}, "init_lora_weights: Only True"),
        ({"use_rslora": "yes"}, "use_rslora: Must be true or false"),
        ({"r": 0}, "r: A rank must be an integer >= 1. Received: 0"),
        ({"r": 2.0}, "r: A rank must be an integer"),
        ({"r": True}, "r: A rank must be an integer"),
        ({"rank_pattern": {"c_attn": None}}, "r: A rank must be .* Received: None"),
        ({"rank_pattern": {"(a+)+": 2}}, "rank_pattern: Must map names of modules"),
        ({"alpha_pattern": ["c_attn"]}, "alpha_pattern: Must map names of modules"),
        ({"lora_alpha": 0}, "lora_alpha: Must not be 0"),
        ({"lora_alpha": "4"}, "lora_alpha: Must be a finite number"),
        ({"lora_alpha": float("inf")}, "lora_alpha: Must be a finite number"),
        ({"lora_alpha": float("nan")}, "lora_alpha: Must be a finite number"),
        ({"lora_alpha": 10**400}, "lora_alpha: Must be a finite number"),
        ({"lora_dropout": None}, "lora_dropout: Must be a finite number"),
        ({"r": 3}, r"lora_A.weight: The shape must be \(3, 3\): the rank.* \(2, 3\)"),
    ],
)
def test_a_config_that_is_not_supported_is_refused_by_field(write, config, message):
    with pytest.raises(CheckpointError, match=f"adapter_.*: .*{message}"):
        opened(write(config))


@pytest.mark.parametrize(
    ("tensors", "without", "message"),
    [
        ({}, [B], "lora_B.weight: The file lacks this tensor"),
        ({}, [A, B], "safetensors: The file must have an adapter"),
        ({B: rng_array(5, 2)}, [], r"lora_B.weight: The shape must be \(6, 2\)"),
        ({A: rng_array(2, 4)}, [], r"lora_A.weight: The shape must be \(2, 3\)"),
        ({A: np.full((2, 3), np.nan, "float32")}, [], "lora_A.weight: .*finite"),
        ({A: np.ones((2, 3), "int32")}, [], "lora_A.weight: .*floating-point"),
        ({"h.0.x": rng_array(1)}, [], "h.0.x: The name must begin with 'base_model.m"),
        (
            {f"{PREFIX}wte.lora_embedding_A": rng_array(1)},
            [],
            "wte.lora_embedding_A: Must be lora_A.weight or lora_B.weight",
        ),
        (
            {f"{PREFIX}{MODULE}.lora_magnitude_vector": rng_array(1)},
            [],
            "lora_magnitude_vector: Must be lora_A.weight",
        ),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(write, tensors, without, message):
    with pytest.raises(CheckpointError, match=f"adapter_model.*{message}"):
        opened(write(tensors=tensors, without=without))


def test_missing_files_and_pickles_are_named(write, tmp_path):
    with pytest.raises(CheckpointError, match="none: The directory of the adapter"):
        AdapterFiles(tmp_path / "none")
    with pytest.raises(CheckpointError, match="adapter_config.json: The file does not"):
        AdapterFiles(tmp_path)
    write()
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="safetensors: The file does not exist"):
        AdapterFiles(tmp_path)
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80")
    with pytest.raises(
        CheckpointError, match="adapter_model.bin: Pickle files are not"
    ):
        AdapterFiles(tmp_path)


def test_a_flipped_bit_is_an_error(tmp_path):
    adapter = ModuleAdapter(rng_array(2, 3), rng_array(6, 2), 2.0)
    write_adapter(tmp_path / "a", {MODULE: adapter}, [], known=[MODULE])
    path = tmp_path / "a" / "adapter_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="The checksum does not match"):
        opened(tmp_path / "a")


def test_what_is_written_is_what_is_read_and_nothing_is_overwritten(tmp_path):
    adapter = ModuleAdapter(rng_array(2, 3), rng_array(6, 2), 3.5)
    write_adapter(tmp_path / "a", {MODULE: adapter}, [], known=[MODULE], task_type="X")
    found = opened(tmp_path / "a")
    assert found.scale == 3.5
    np.testing.assert_array_equal(found.up, adapter.up)
    stored = load_file(tmp_path / "a" / "adapter_model.safetensors")
    np.testing.assert_array_equal(stored[A], adapter.down)
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert config["r"] == 2 and config["lora_alpha"] == 7
    assert type(config["lora_alpha"]) is int and config["task_type"] == "X"
    with pytest.raises(OutputError, match="never overwritten"):
        write_adapter(tmp_path / "a", {MODULE: adapter}, [], known=[MODULE])


def sizes(tmp_path, modules, known):
    write_adapter(tmp_path / "a", modules, [], known=known)
    return json.loads((tmp_path / "a" / "adapter_config.json").read_text())


def test_a_name_that_would_match_other_modules_is_written_whole(tmp_path):
    small = ModuleAdapter(rng_array(2, 3), rng_array(6, 2), 1.0)
    known = [f"l.{i}.{m}" for i in range(2) for m in ("out.dense", "x.out.dense", "q")]
    adapted = {"l.0.out.dense": small, "l.1.out.dense": small, "l.0.q": small}
    found = sizes(tmp_path, {**adapted, "l.1.q": small}, known)
    assert found["target_modules"] == ["l.0.out.dense", "l.1.out.dense", "q"]
    assert found["rank_pattern"] == found["alpha_pattern"] == {}


def test_other_ranks_are_in_the_patterns(tmp_path):
    small = ModuleAdapter(rng_array(2, 3), rng_array(6, 2), 1.0)
    large = ModuleAdapter(rng_array(4, 3), rng_array(6, 4), 1.5)
    known = ["l.0.q", "l.1.q", "l.0.k", "l.1.k"]
    found = sizes(tmp_path, {"l.0.q": large, "l.1.q": large, "l.0.k": small}, known)
    assert found["target_modules"] == ["l.0.k", "q"]
    assert (found["r"], found["lora_alpha"]) == (2, 2)
    assert found["rank_pattern"] == {"q": 4} and found["alpha_pattern"] == {"q": 6}


@pytest.mark.parametrize("present", [(0, 1, 2), (0, 2), (1,)])
def test_adapters_side_by_side_are_one_and_apart_again(present):
    parts = [
        ModuleAdapter(rng_array(2, 3, seed=i), rng_array(4, 2, seed=9 + i), 1.0 + i)
        if i in present
        else None
        for i in range(3)
    ]
    whole = joined(parts)
    expected = [
        np.zeros((4, 3)) if part is None else part.scale * part.up @ part.down
        for part in parts
    ]
    product = whole.scale * whole.up @ whole.down
    np.testing.assert_allclose(product, np.concatenate(expected), atol=1e-5)
    assert whole.up.shape == (12, 2 * len(present))
    for part, found in zip(parts, split(whole, 3), strict=True):
        assert (part is None) == (found is None)
        if part is not None:
            np.testing.assert_array_equal(found.down, part.down)
            again = found.scale * found.up
            np.testing.assert_allclose(again, part.scale * part.up, rtol=1e-6)


def test_a_shared_a_is_split_to_every_part():
    whole = ModuleAdapter(rng_array(2, 3), rng_array(6, 2), 2.0)
    found = split(whole, 3)
    np.testing.assert_array_equal(np.concatenate([f.up for f in found]), whole.up)
    assert all((f.down == whole.down).all() for f in found)
    untrained = split(whole._replace(up=np.zeros((6, 2), "float32")), 3)
    assert [f.up.shape for f in untrained] == [(2, 2)] * 3


def test_modules_are_those_with_dense_layers():
    names = of_layers(
        {
            **side_by_side([f"l{{i}}/{n}" for n in "qkv"], "h.{i}.attn"),
            **linear("l{i}/out", "h.{i}.proj"),
        },
        {"i": 1},
    )
    assert modules_of(names) == {
        "h.0.attn": ["l0/q", "l0/k", "l0/v"],
        "h.0.proj": ["l0/out"],
    }
