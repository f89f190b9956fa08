"""The mean of the weights of presets."""

import json
import logging

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from tfzoo.checkpoints.averaging import average_presets
from tfzoo.checkpoints.checksums import tell_changes
from tfzoo.checkpoints.preset_files import read_config
from tfzoo.checkpoints.safetensors_files import INDEX, WEIGHTS, ShardedSafetensors
from tfzoo.errors import CheckpointError, OutputError

CONFIG = {"model_type": "toy", "architectures": ["ToyModel"], "hidden_size": 4}


def tensors(value):
    """Tensors of several dtypes, whose mean in their own dtype would be inexact."""
    rng = np.random.default_rng(value)
    return {
        "kernel": rng.normal(size=(3, 4)).astype("float32"),
        "half": rng.normal(size=5).astype(ml_dtypes.bfloat16),
        "small": rng.normal(size=5).astype("float16") * 1e4,
        "positions": np.arange(4),
    }


@pytest.fixture
def preset(tmp_path):
    def write(name, content, config=CONFIG, **files):
        directory = tmp_path / name
        directory.mkdir()
        safetensors.numpy.save_file(content, directory / WEIGHTS)
        (directory / "config.json").write_text(json.dumps(config))
        for file, text in files.items():
            path = directory / file.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return directory

    return write


def test_weights_are_the_mean_of_all_in_float64(preset, tmp_path):
    presets = [preset(f"p{i}", tensors(i)) for i in range(3)]
    average_presets(presets, tmp_path / "mean")
    found = safetensors.numpy.load_file(tmp_path / "mean" / WEIGHTS)
    given = [tensors(i) for i in range(3)]
    assert found.keys() == given[0].keys()
    for name, array in found.items():
        mean = np.mean([t[name].astype(np.float64) for t in given], axis=0)
        assert array.dtype == given[0][name].dtype
        np.testing.assert_array_equal(array, mean.astype(array.dtype))


def test_everything_else_is_that_of_the_first(preset, tmp_path):
    files = dict(
        tokenizer_dot_json="{}",
        README_dot_md="# Toy",
        pooling__config_dot_json="[]",
        pytorch_model_dot_bin="old",
        _dot_gitattributes="",
    )
    presets = [preset("first", tensors(0), **files), preset("second", tensors(1))]
    average_presets(presets, tmp_path / "mean")
    mean = tmp_path / "mean"
    names = {str(p.relative_to(mean)) for p in mean.rglob("*") if p.is_file()}
    others = {"tokenizer.json", "README.md", "pooling/config.json"}
    assert names == {WEIGHTS, "config.json", *others}
    config = json.loads((mean / "config.json").read_text())
    assert {name: config[name] for name in CONFIG} == CONFIG
    assert config["tfzoo"]["sha256"].keys() == {"config.json", *others}
    card = (mean / "README.md").read_text()
    assert card.startswith("# Toy\n") and "mean of those of `first`, `second`" in card


def test_shards_are_read_and_written(preset, tmp_path):
    presets = [preset(f"p{i}", tensors(i)) for i in range(2)]
    average_presets(presets, tmp_path / "whole")
    average_presets([presets[0]] * 2, tmp_path / "shards", max_shard_size=40)
    average_presets([tmp_path / "shards", presets[1]], tmp_path / "mean")
    assert (tmp_path / "shards" / INDEX).exists()
    assert not (tmp_path / "mean" / INDEX).exists()
    assert ShardedSafetensors(tmp_path / "shards").names == tensors(0).keys()
    one, other = (
        safetensors.numpy.load_file(tmp_path / name / WEIGHTS)
        for name in ("whole", "mean")
    )
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": None}, "p1/model.safetensors: kernel: .*p0/.* one that this file"),
        ({"more": np.zeros(1)}, "p0/model.safetensors: more: .*p1/.* one that this"),
        (
            {"kernel": np.zeros((4, 3), "float32")},
            r"p1/.*: kernel: The shape must be \(3, 4\).* Received: \(4, 3\)",
        ),
        (
            {"kernel": np.zeros((3, 4), "float16")},
            "p1/.*: kernel: The dtype must be float32.* Received: float16",
        ),
        ({"half": np.full(5, np.nan, ml_dtypes.bfloat16)}, "p1/.*: half: .*finite"),
        ({"positions": np.zeros(4, int)}, "p1/.*: positions: .* must be equal in all"),
    ],
)
def test_weights_of_other_models_are_named(preset, tmp_path, change, message):
    changed = {**tensors(1), **change}
    changed = {name: array for name, array in changed.items() if array is not None}
    presets = [preset("p0", tensors(0)), preset("p1", changed)]
    with pytest.raises(CheckpointError, match=message):
        average_presets(presets, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


@pytest.mark.parametrize("field", ["model_type", "architectures"])
def test_presets_of_another_kind_are_named(preset, tmp_path, field):
    other = {**CONFIG, field: ["Other"] if field == "architectures" else "other"}
    presets = [preset("p0", tensors(0)), preset("p1", tensors(1), other)]
    with pytest.raises(CheckpointError, match=f"p1/config.json: {field}: Must be "):
        average_presets(presets, tmp_path / "mean")


def test_fewer_than_two_presets_no_weights_and_an_existing_output_are_refused(
    preset, tmp_path
):
    presets = [preset("p0", tensors(0)), preset("p1", tensors(1))]
    for few in ("p0", presets[:1], []):
        with pytest.raises(ValueError, match="presets must be a list of at least two"):
            average_presets(few, tmp_path / "mean")
    with pytest.raises(OutputError, match="already exists"):
        average_presets(presets, presets[0])
    (presets[1] / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="p1: The directory must contain model"):
        average_presets(presets, tmp_path / "mean")


def test_what_is_written_has_checksums_that_match(preset, tmp_path, caplog):
    presets = [preset(f"p{i}", tensors(i), vocab_dot_txt="a") for i in range(2)]
    average_presets(presets, tmp_path / "mean")
    path = tmp_path / "mean" / "config.json"
    with caplog.at_level(logging.WARNING, logger="tfzoo"):
        tell_changes(read_config(tmp_path / "mean"), path, is_ours=True)
        assert caplog.records == []
        (tmp_path / "mean" / "vocab.txt").write_text("b")
        tell_changes(read_config(tmp_path / "mean"), path, is_ours=True)
    assert "vocab.txt" in caplog.text
