"""Published weights: their names, types and shapes, and what is saved."""

import json
import math
import subprocess
import sys
import types

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from helpers import random_weights
from tfzoo.checkpoints.renamed import in_todays_names
from tfzoo.errors import CheckpointError
from tfzoo.families import BertEncoder, GPTDecoder

WEIGHTS = "model.safetensors"
NORM = "embeddings.LayerNorm"
TABLE = "embeddings.word_embeddings.weight"
INNER = "encoder.layer.0.intermediate.dense.weight"


@pytest.fixture(scope="module")
def encoder():
    encoder = BertEncoder(
        20, 1, 2, 8, 24, max_sequence_length=10, activation="gelu", dropout=0.0
    )
    return random_weights(encoder, 0.3)


@pytest.fixture
def saved(encoder, tmp_path):
    """Directory of the encoder."""
    encoder.save_to_preset(tmp_path / "bert")
    return tmp_path / "bert"


def rewritten(directory, change):
    """The directory after a function changed the dict of its tensors."""
    tensors = safetensors.numpy.load_file(directory / WEIGHTS)
    (directory / WEIGHTS).unlink()
    safetensors.numpy.save_file(change(tensors), directory / WEIGHTS)
    return directory


def assert_equal_weights(one, other):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def renamed(rename):
    """A change that renames all tensors."""
    return lambda tensors: {rename(name): t for name, t in tensors.items()}


def old_norm(name):
    name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
    return name.replace("LayerNorm.bias", "LayerNorm.beta")


def with_buffers(tensors):
    ids = np.arange(10, dtype=np.int64)[None]
    return {
        **tensors,
        "embeddings.position_ids": ids,
        "embeddings.token_type_ids": 0 * ids,
    }


@pytest.mark.parametrize(
    "change",
    [
        renamed(lambda name: f"bert.{name}"),
        renamed(old_norm),
        renamed(lambda name: f"bert.{old_norm(name)}"),
        renamed(lambda name: old_norm(name) if "layer.0" in name else name),
        with_buffers,
        lambda t: {**t, "cls.seq_relationship.weight": np.ones((2, 8), np.float32)},
    ],
    ids=["prefix", "gamma", "both", "mixture", "buffers", "a head"],
)
def test_published_names_are_read(change, encoder, saved):
    assert_equal_weights(BertEncoder.from_preset(rewritten(saved, change)), encoder)


@pytest.mark.parametrize("norm", ["a.LayerNorm", "a.layer_norm", "a.0.sa_layer_norm"])
def test_old_names_of_any_layer_norm_are_read(norm):
    names = {f"{norm}.gamma", f"{norm}.beta", "other.gamma"}
    tensors = in_todays_names(types.SimpleNamespace(path="", names=names), "bert.")
    assert tensors.names == {f"{norm}.weight", f"{norm}.bias", "other.gamma"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_floating_point_dtypes_are_read(dtype, encoder, saved):
    rewritten(saved, lambda t: {n: a.astype(dtype) for n, a in t.items()})
    copy = BertEncoder.from_preset(saved)
    for ours, theirs in zip(copy.weights, encoder.weights, strict=True):
        expected = np.asarray(theirs)
        if "seed" not in ours.path:
            expected = expected.astype(dtype).astype(np.float32)
        np.testing.assert_array_equal(np.asarray(ours), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: {**t, f"bert.{TABLE}": t[TABLE]},
            "weight must be stored once.*bert",
        ),
        (
            lambda t: {**t, f"{NORM}.gamma": t[f"{NORM}.weight"]},
            f"{NORM}.weight: A weight must be stored once. Received: .*gamma",
        ),
        (
            lambda t: {f"bert.{n}" if "layer" in n else n: a for n, a in t.items()},
            "word_embeddings.weight: .*lacks",
        ),
        (lambda t: {**t, INNER: t[INNER].T.copy()}, f"{INNER}: .*be transposed"),
        (lambda t: {**t, INNER: t[INNER].ravel()}, rf"{INNER}: .*Received: \(192,\)"),
        (lambda t: {**t, INNER: (9 * t[INNER]).astype(int)}, f"{INNER}: .*int64"),
        (lambda t: {**t, INNER: t[INNER] > 0}, f"{INNER}: .*Received: bool"),
        (lambda t: {**t, INNER: t[INNER] / 0}, f"{INNER}: .*NaN or infinity"),
        (
            lambda t: {**t, INNER: t[INNER].astype(float) * 1e300},
            f"{INNER}: .*finite in the model's float32. Received: .* in float64",
        ),
        (lambda t: {**t, "what": t[INNER]}, "what: .*a tensor that the model lacks"),
        (lambda t: {n: a for n, a in t.items() if n != INNER}, f"{INNER}: .*lacks"),
    ],
)
@pytest.mark.filterwarnings("ignore:(divide|invalid):RuntimeWarning")
def test_an_invalid_tensor_is_named_in_one_line(change, message, saved):
    with pytest.raises(CheckpointError, match=message) as error:
        BertEncoder.from_preset(rewritten(saved, change))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", None])
def test_the_dtype_of_a_file_can_be_chosen(dtype, encoder, tmp_path):
    encoder.save_to_preset(tmp_path / "bert", dtype=dtype)
    dtype = dtype or "float32"
    config = json.loads((tmp_path / "bert" / "config.json").read_text())
    assert config["dtype"] == config["torch_dtype"] == dtype
    tensors = safetensors.numpy.load_file(tmp_path / "bert" / WEIGHTS)
    assert {str(t.dtype) for t in tensors.values()} == {dtype}
    table = np.asarray(encoder.weights[0]).astype(dtype)
    np.testing.assert_array_equal(tensors[TABLE], table)
    copy = BertEncoder.from_preset(tmp_path / "bert")
    copy.save_to_preset(tmp_path / "again", dtype=dtype)
    for file in ("bert", "again"):
        with safetensors.safe_open(tmp_path / file / WEIGHTS, "np") as opened:
            assert opened.metadata()["format"] == "pt"
    assert (tmp_path / "again" / WEIGHTS).read_bytes() == (
        tmp_path / "bert" / WEIGHTS
    ).read_bytes()


def test_weights_that_overflow_the_dtype_are_refused_and_nothing_is_left_behind(
    saved, tmp_path
):
    big = rewritten(saved, lambda t: {**t, INNER: t[INNER] * 1e6})
    encoder = BertEncoder.from_preset(big)
    with pytest.raises(ValueError, match=f"finite in dtype='float16'.*{INNER}"):
        encoder.save_to_preset(tmp_path / "half", dtype="float16")
    with pytest.raises(ValueError, match="dtype must be .*Received: 'int8'"):
        encoder.save_to_preset(tmp_path / "half", dtype="int8")
    for wrong in (0, 2.5, "5GB"):
        rule = f"max_shard_size must be an integer >= 1. Received: {wrong!r}"
        with pytest.raises(ValueError, match=rule):
            encoder.save_to_preset(tmp_path / "half", max_shard_size=wrong)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bert"]
    encoder.save_to_preset(tmp_path / "brain", dtype="bfloat16")


def test_a_weight_that_overflows_float32_is_named(saved):
    big = rewritten(saved, lambda t: {**t, INNER: t[INNER].astype("float64") + 1e300})
    with pytest.raises(CheckpointError, match=f"{INNER}: .*the model's float32"):
        BertEncoder.from_preset(big)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", None])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_weights_that_are_not_finite_are_never_saved(policy, dtype, tmp_path):
    model = GPTDecoder(11, 1, 2, 8, 16, max_sequence_length=4, dtype=policy)
    wrong = model.transformer_layers[0].self_attention.key.kernel
    for value in (np.nan, np.inf, -np.inf):
        wrong.assign(np.full(wrong.shape, value))
        with pytest.raises(ValueError, match="NaN or infinity in h.0.attn.c_attn"):
            model.save_to_preset(tmp_path / "gpt", dtype=dtype)
        assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("limit", [1000, None])
def test_shards_respect_the_size_limit_and_are_read_back(
    encoder, saved, tmp_path, limit
):
    whole = safetensors.numpy.load_file(saved / WEIGHTS)
    if limit is None:  # two shards
        limit = sum(t.nbytes for t in whole.values()) - 1
    encoder.save_to_preset(tmp_path / "shards", max_shard_size=limit)
    index = json.loads((tmp_path / "shards" / f"{WEIGHTS}.index.json").read_text())
    assert index["weight_map"].keys() == whole.keys()
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in whole.values())
    files = sorted((tmp_path / "shards").glob("*.safetensors"))
    assert [f.name for f in files] == sorted({*index["weight_map"].values()})
    assert files[0].name == f"model-00001-of-{len(files):05d}.safetensors"
    for file in files:
        tensors = safetensors.numpy.load_file(file)
        total = sum(t.nbytes for t in tensors.values())
        assert len(tensors) == 1 or total <= limit
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(tensor, whole[name])
            assert index["weight_map"][name] == file.name
    assert_equal_weights(BertEncoder.from_preset(tmp_path / "shards"), encoder)


@pytest.mark.parity
@pytest.mark.parametrize(
    "options", [{"max_shard_size": 1000}, {"dtype": "bfloat16"}, {"dtype": "float16"}]
)
def test_transformers_opens_shards_and_half_precision(options, encoder, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    encoder.save_to_preset(tmp_path / "bert", **options)
    model, info = transformers.BertModel.from_pretrained(
        tmp_path / "bert", output_loading_info=True
    )
    assert not any(info.values()), info
    dtype = options.get("dtype", "float32")
    assert model.dtype == getattr(torch, dtype)
    table = model.state_dict()[TABLE].float().numpy()
    expected = np.asarray(encoder.weights[0])
    expected = expected.astype(getattr(ml_dtypes, dtype, dtype)).astype(np.float32)
    np.testing.assert_array_equal(table, expected)


def test_reading_a_loaded_weight_copies_nothing(saved):
    weight = BertEncoder.from_preset(saved).weights[0].value
    readings = [weight.read_value() for _ in range(2)]
    one, other = (np.asarray(memoryview(r)).ctypes.data for r in readings)
    assert one == other


# CPU seconds and bytes to open a model, after imports and a first model
OPENING = """
import json, sys, time
from tfzoo import BertEncoder
def kilobytes(name):
    return int(open("/proc/self/status").read().split(name)[1].split()[0])
BertEncoder(9, 1, 1, 8, 8)
open("/proc/self/clear_refs", "w").write("5")  # resets the peak
before = kilobytes("VmRSS:")
start, started = time.perf_counter(), time.process_time()
encoder = BertEncoder.from_preset(sys.argv[1])
seconds = time.perf_counter() - start, time.process_time() - started
extra = (kilobytes("VmHWM:") - before) * 1024
print(json.dumps([*seconds, extra, 4 * encoder.count_params()]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_bert_base_opens_in_seconds_and_little_memory(tmp_path):
    BertEncoder.from_preset("bert_base").save_to_preset(tmp_path / "base")
    runs = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", OPENING, str(tmp_path / "base")],
            capture_output=True,
            text=True,
            check=True,
        )
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    seconds, cpu_seconds, extra, size = map(min, zip(*runs, strict=True))
    print(f"{seconds:.2f} s, {cpu_seconds:.2f} s of the CPU, {extra / 1e6:.0f} MB")
    assert math.isclose(size, 438e6, rel_tol=0.01)
    assert extra <= 1.2 * size + 100e6
    assert cpu_seconds <= 3  # of two threads; wall time depends on other processes
