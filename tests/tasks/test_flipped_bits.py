"""A flipped bit in a directory written by tfzoo is an error or a warning."""

import json
import logging
import random
import shutil

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tfzoo.errors import CheckpointError, TfzooError
from tfzoo.families import BertEncoder
from tfzoo.tasks import CausalLM, TextClassifier, TextEmbedder, TokenClassifier

TASKS = ["classifier", "tagger", "embedder", "gpt"]


@pytest.fixture
def saved(request, make_encoder, make_gpt, tokenizer, byte_tokenizer, tmp_path):
    """A task of the requested kind, and the directory that it wrote."""
    make = {
        "classifier": lambda: TextClassifier(make_encoder(), tokenizer, ["no", "yes"]),
        "tagger": lambda: TokenClassifier(make_encoder(), tokenizer, ["O", "B-x"]),
        "embedder": lambda: TextEmbedder(make_encoder(), tokenizer),
        "gpt": lambda: CausalLM(make_gpt(), byte_tokenizer),
    }
    task = make[request.param]()
    options = {"max_shard_size": 8000} if request.param == "tagger" else {}
    task.save_to_preset(tmp_path / "task", **options)
    return task, tmp_path / "task"


def flipped(path, place, bit):
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


def outcome(task, directory, caplog):
    caplog.clear()
    with caplog.at_level(logging.WARNING, "tfzoo"):
        try:
            type(task).from_preset(directory)
        except TfzooError as error:
            assert "\n" not in str(error)
            return str(error)
    return caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("saved", TASKS, indirect=True)
def test_60_flips_in_each_file_are_all_reported(saved, caplog):
    task, directory = saved
    assert outcome(task, directory, caplog) == ""
    source = random.Random(0)
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    for path in files:
        whole, silent = path.read_bytes(), []
        for _ in range(60):
            place, bit = source.randrange(len(whole)), source.randrange(8)
            flipped(path, place, bit)
            if outcome(task, directory, caplog) == "":
                silent.append((place, bit))
            path.write_bytes(whole)
        assert silent == [], path
    assert outcome(task, directory, caplog) == ""


@pytest.mark.parametrize("saved", ["classifier"], indirect=True)
def test_a_flip_in_the_weights_is_reported_with_tensor_and_fix(saved, caplog):
    task, directory = saved
    path = directory / "model.safetensors"
    whole = path.read_bytes()
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    header.pop("__metadata__")
    last = max(header, key=lambda name: header[name]["data_offsets"])
    flipped(path, len(whole) - 1, 2)
    told = outcome(task, directory, caplog)
    assert f"model.safetensors: {last}: The checksum does not match" in told
    assert "save it without the metadata whose names begin with tfzoo.sha256" in told
    save_file(load_file(path), path)  # as the message suggests
    assert outcome(task, directory, caplog) == ""


@pytest.mark.parametrize("saved", ["classifier"], indirect=True)
def test_every_byte_of_the_header_is_checked(saved, caplog):
    task, directory = saved
    path = directory / "model.safetensors"
    whole = path.read_bytes()
    end = 8 + int.from_bytes(whole[:8], "little")
    source = random.Random(1)
    for place in [*range(8), end - 1, *source.sample(range(8, end), 20)]:
        flipped(path, place, source.randrange(8))
        assert outcome(task, directory, caplog), place
        path.write_bytes(whole)


@pytest.mark.parametrize("saved", ["embedder"], indirect=True)
def test_a_changed_file_is_reported_and_opens(saved, caplog):
    task, directory = saved
    names = ["README.md", "1_Pooling/config.json", "vocab.txt"]
    for name in names:
        with open(directory / name, "a") as file:
            file.write(" \n" if name == "vocab.txt" else "\n")
    told = outcome(task, directory, caplog)
    assert told.count("changed since tfzoo wrote it") == 1
    assert "wrote it: 1_Pooling/config.json, README.md, vocab.txt\n" in told
    (directory / "README.md").unlink()
    assert "README.md" not in outcome(task, directory, caplog)


@pytest.mark.parametrize("saved", ["classifier"], indirect=True)
def test_a_changed_config_is_reported_even_without_our_block(saved, caplog):
    task, directory = saved
    path = directory / "config.json"
    config = json.loads(path.read_text())
    for changed in (
        config | {"id2label": {"0": "a", "1": "b"}},
        {name: value for name, value in config.items() if name != "tfzoo"},
        config | {"tfzoo": 3},
        config | {"tfzoo": config["tfzoo"] | {"sha256": ["config.json"]}},
        config | {"tfzoo": config["tfzoo"] | {"sha256": {"config.json": 5}}},
    ):
        path.write_text(json.dumps(changed))
        assert "wrote it: config.json" in outcome(task, directory, caplog)


@pytest.mark.parametrize("saved", ["classifier"], indirect=True)
def test_checksums_of_files_outside_the_directory_are_ignored(saved, caplog, tmp_path):
    task, directory = saved
    (tmp_path / "outside").write_text("x")
    path = directory / "config.json"
    config = json.loads(path.read_text())
    names = ["../outside", str(tmp_path / "outside"), "a/../../outside", "1_Pooling"]
    config["tfzoo"]["sha256"] |= dict.fromkeys(names, "0")
    path.write_text(json.dumps(config))
    told = outcome(task, directory, caplog)
    assert "config.json" in told and "outside" not in told


def test_files_of_other_tools_have_no_checksums(make_encoder, tmp_path, caplog):
    encoder = make_encoder()
    encoder.save_to_preset(tmp_path / "ours")
    shutil.copytree(tmp_path / "ours", tmp_path / "theirs")
    path = tmp_path / "theirs" / "model.safetensors"
    with safe_open(path, "np") as file:
        assert file.metadata()["format"] == "pt"
        tensors = {name: file.get_tensor(name) + 1 for name in file.keys()}
    save_file(tensors, path, {"format": "pt"})
    found = BertEncoder.from_preset(tmp_path / "theirs")
    assert caplog.text == ""
    for a, b in zip(found.get_weights(), encoder.get_weights(), strict=True):
        np.testing.assert_allclose(a, b + 1, atol=1e-6)


def test_an_old_checksum_with_new_weights_is_refused(make_encoder, tmp_path):
    make_encoder().save_to_preset(tmp_path / "ours")
    path = tmp_path / "ours" / "model.safetensors"
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    tensors = {name: tensor + 1 for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata)
    with pytest.raises(CheckpointError, match="The checksum does not match"):
        BertEncoder.from_preset(tmp_path / "ours")
