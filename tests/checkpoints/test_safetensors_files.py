"""Weights in the safetensors format: one file, shards, and damaged files."""

import json
import os
import struct
import time

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.checkpoints.safetensors_files import (
    INDEX,
    WEIGHTS,
    SafetensorsFile,
    ShardedSafetensors,
)
from tfzoo.errors import CheckpointError

ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
TYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8"]
TYPES += ["uint64", "uint32", "uint16", "uint8", "bool"]


def content(header, data=bytes(8), length=None):
    """The bytes of a file with this header (a dict or text)."""
    header = header if isinstance(header, str) else json.dumps(header)
    header = header.encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def refused(open_it, path):
    """The one-line message with which a file or a directory is rejected."""
    with pytest.raises(CheckpointError) as error:
        open_it(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000
    return str(error.value)


def test_files_written_by_the_library_are_read(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {name: (rng.normal(size=(3, 5)) * 9).astype(name) for name in TYPES}
    arrays |= {
        "scalar": np.array(3.5, np.float32),
        "empty": np.zeros((0, 4), np.float16),
        "half": rng.normal(size=7).astype(ml_dtypes.bfloat16),
    }
    path = tmp_path / WEIGHTS
    safetensors.numpy.save_file(arrays, path, {"format": "pt"})
    file = SafetensorsFile(path)
    assert file.names == arrays.keys()
    for name, array in arrays.items():
        assert file.shape(name) == array.shape
        assert file.dtype(name) == array.dtype.name
        read = file.read(name)
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)
        read[...] = 0  # the caller may modify it


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (b"", "header must be at most"),
        (b"\x01\0\0", "header must be at most"),
        (content({"a": ONE}, length=9999), "end within the file. Received: 9999"),
        (content({"a": ONE}, length=2**63), "header must be at most"),
        (content("{" * 9), "Not valid JSON"),
        (struct.pack("<Q", 11) + b'{"caf\xe9": 1}', "The file must be UTF-8"),
        (content("[1]"), "one JSON object"),
        (content('{"a": ' * 2000 + "1" + "}" * 2000), "nested too deeply"),
        (content('{"a": {}, "a": {}}'), "a"),
        (content({"a": 3}), "a: A tensor must have dtype"),
        (content({"a": {**ONE, "more": 1}}), "a: A tensor must have dtype"),
        (content({"a": {**ONE, "dtype": "F8_E4M3"}}), "BOOL. Received: 'F8_E4M3'"),
        (content({"a": {**ONE, "dtype": ["F32"]}}), "a: The dtype must be one of"),
        (content({"a": {**ONE, "shape": [-2]}}), "a: The shape must be"),
        (content({"a": {**ONE, "shape": [2.0]}}), "a: The shape must be"),
        (content({"a": {**ONE, "shape": [10**30]}}), "a: The shape must be"),
        (content({"a": {**ONE, "shape": [1] * 9}}), "a: The shape must be"),
        (content({"a": {**ONE, "shape": [True, 2]}}), "a: The shape must be"),
        (content({"a": {**ONE, "shape": "2"}}), "a: The shape must be"),
        (content({"a": {**ONE, "shape": [2**62, 4]}}), "a: The shape, with each 0"),
        (content({"a": {**ONE, "data_offsets": [0, 8.0]}}), "a: The offsets must be"),
        (content({"a": {**ONE, "data_offsets": [False, 8]}}), "a: The offsets must be"),
        (
            content({"a": {**ONE, "shape": [0, 2**62], "data_offsets": [0, 0]}}, b""),
            "a: The shape, with each 0 counted as 1, must be .*4611686018427387904",
        ),
        (content({"a": {**ONE, "shape": [10**12]}}), "must span 4000000000000 bytes"),
        (content({"a": {**ONE, "data_offsets": [0]}}), "a: The offsets must be"),
        (content({"a": {**ONE, "data_offsets": [8, 0]}}), "a: .*8 to 0"),
        (content({"a": ONE, "b": ONE}), "b: Tensors must be contiguous"),
        (
            content({"a": {**ONE, "data_offsets": [4, 12]}}, bytes(12)),
            "begins at byte .* after one that ends",
        ),
        (content({"a": ONE}, bytes(7)), "must end where the file does"),
        (content({"a": ONE}, bytes(9)), "must end where the file does"),
        (b"PK\x03\x04" + bytes([1] * 99), "zip file, such as PyTorch's"),
        (b"\x80\x02}q\x00" + bytes([1] * 99), "a pickle, which is never opened"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    ],
)
def test_a_broken_file_is_reported_in_one_line(wrong, rule, tmp_path):
    path = tmp_path / WEIGHTS
    path.write_bytes(wrong)
    message = refused(SafetensorsFile, path)
    assert str(path) in message
    with pytest.raises(CheckpointError, match=rule):
        SafetensorsFile(path)


def test_a_duplicate_tensor_is_refused(tmp_path):
    path = tmp_path / WEIGHTS
    path.write_bytes(content(f'{{"a": {json.dumps(ONE)}, "a": {json.dumps(ONE)}}}'))
    assert "'a'" in refused(SafetensorsFile, path)
    assert "a" in safetensors.numpy.load_file(path)  # it keeps the last


def test_a_path_that_is_not_a_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / WEIGHTS)
    refused(SafetensorsFile, tmp_path / WEIGHTS)
    refused(SafetensorsFile, tmp_path)
    refused(SafetensorsFile, tmp_path / "missing")


@pytest.fixture
def sharded(tmp_path):
    """A directory with two shards and their index."""
    directory = tmp_path / "model"
    directory.mkdir()
    arrays = {name: np.full(3, i, np.float32) for i, name in enumerate("abc")}
    for file, names in (("1.safetensors", "ab"), ("2.safetensors", "c")):
        part = {name: arrays[name] for name in names}
        safetensors.numpy.save_file(part, directory / file)
    places = {"a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"}
    indexed(directory, places)
    return directory


def indexed(directory, places):
    (directory / INDEX).write_text(json.dumps({"weight_map": places}))
    return directory


def places_of(directory):
    return json.loads((directory / INDEX).read_text())["weight_map"]


@given(
    shape=st.lists(st.integers(0, 2**63) | st.sampled_from([-1, 1.0, True, None])),
    offsets=st.lists(st.integers(-1, 2**63), max_size=3),
    dtype=st.sampled_from(["F32", "I8", "BOOL", "F99", 3]),
)
def test_any_entry_is_read_or_refused_in_one_line(shape, offsets, dtype, tmp_path):
    entry = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
    path = tmp_path / WEIGHTS
    path.write_bytes(content({"a\n\x1b[2J\u202e": entry}))
    try:
        file = SafetensorsFile(path)
    except CheckpointError as error:
        message = str(error)
        assert message.isprintable() and str(path) in message and len(message) < 1000
    else:
        (name,) = file.names
        assert file.read(name).shape == file.shape(name) == tuple(shape)


@given(shape=st.lists(st.sampled_from([0, 1, 3, 2**31, 2**60, 2**62]), max_size=5))
def test_an_empty_tensor_is_read_if_numpy_has_its_shape(shape, tmp_path):
    path = tmp_path / WEIGHTS
    entry = {"dtype": "F32", "shape": [0, *shape], "data_offsets": [0, 0]}
    path.write_bytes(content({"a": entry}, b""))
    try:
        empty = np.empty(0, np.float32).reshape([0, *shape])
    except ValueError:
        assert "each 0 counted as 1" in refused(SafetensorsFile, path)
    else:
        assert SafetensorsFile(path).read("a").shape == empty.shape


def test_shards_are_read_as_one(sharded):
    tensors = ShardedSafetensors(sharded)
    assert tensors.names == {"a", "b", "c"}
    for i, name in enumerate("abc"):
        assert tensors.shape(name) == (3,) and tensors.dtype(name) == "float32"
        np.testing.assert_array_equal(tensors.read(name), np.full(3, i))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"c": "../2.safetensors"}, "c: A file must be in the directory"),
        ({"c": "/etc/passwd"}, "c: A file must be in the directory"),
        ({"c": "sub/2.safetensors"}, "c: A file must be in the directory"),
        ({"c": "..\\2.safetensors"}, "c: A file must be in the directory"),
        ({"c": "2\0"}, "c: A file must be in the directory"),
        ({"c": ".."}, "c: A file must be in the directory"),
        ({"c": ""}, "c: A file must be in the directory"),
        ({"c": "x" * 300}, "File name too long"),
        ({"c": "x" * 5000}, "File name too long"),
        ({"c": "\ud800"}, "c: A file must be in the directory"),
        ({"c": "loop"}, "c: A file must be in the directory"),
        ({"c": "folder"}, "folder: The path must be a file. Received: a directory"),
        ({"c": INDEX}, "header must be at most"),
        ({"c": "3.safetensors"}, "3.safetensors"),
        ({"c": 2}, "c: A file name must be a string"),
        ({"c": "1.safetensors"}, "c: The index lists a tensor that this file lacks"),
        ({"d": "2.safetensors"}, "d: The index lists a tensor that this file lacks"),
        ({"b": None}, "b: The file has a tensor that the index does not list"),
    ],
)
def test_an_index_that_does_not_match_its_files_is_refused(changes, rule, sharded):
    (sharded / "loop").symlink_to("loop")
    (sharded / "folder").mkdir()
    places = {**places_of(sharded), **changes}
    indexed(sharded, {name: file for name, file in places.items() if file is not None})
    refused(ShardedSafetensors, sharded)
    with pytest.raises(CheckpointError, match=rule):
        ShardedSafetensors(sharded)


@given(
    places=st.dictionaries(
        st.sampled_from("abcd"),
        st.sampled_from(["1.safetensors", "2.safetensors", "..", INDEX])
        | st.text(st.characters(codec=None))
        | st.integers(),
    )
)
def test_any_index_is_read_or_refused_in_one_line(places, sharded):
    try:
        tensors = ShardedSafetensors(indexed(sharded, places))
    except CheckpointError as error:
        message = str(error)
        assert message.startswith(str(sharded)) and len(message) < 1000
        assert not {"\n", "\x1b", "\u202e"} & {*message}
    else:
        files = {"a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"}
        assert tensors.names == places.keys() and places.items() <= files.items()


@pytest.mark.parametrize(
    "text", ["{}", "[]", '{"weight_map": 3}', '{"weight_map": {}}']
)
def test_an_index_without_a_map_is_refused(text, sharded):
    (sharded / INDEX).write_text(text)
    assert INDEX in refused(ShardedSafetensors, sharded)


def test_a_link_out_of_the_directory_is_not_followed(sharded, tmp_path):
    (sharded / "2.safetensors").rename(tmp_path / "elsewhere")
    (sharded / "2.safetensors").symlink_to(tmp_path / "elsewhere")
    assert "must be in the directory" in refused(ShardedSafetensors, sharded)


def test_an_index_that_is_a_loop_of_links_is_refused(sharded):
    (sharded / INDEX).unlink()
    (sharded / INDEX).symlink_to(INDEX)
    assert "symbolic links" in refused(ShardedSafetensors, sharded)


@pytest.mark.parametrize("count", [20_000, 40_000])
def test_many_tensors_take_no_second(count, tmp_path):
    path = tmp_path / WEIGHTS
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"t{i}": empty for i in range(count)}, separators=(",", ":"))
    path.write_bytes(content(header, b""))
    start = time.process_time()
    if count == 20_000:
        assert len(SafetensorsFile(path).names) == count
    else:
        assert "at most 20000 tensors. Received: 40000" in refused(
            SafetensorsFile, path
        )
    assert time.process_time() - start < 0.8


def test_links_into_the_blobs_of_the_hubs_cache_are_followed(sharded, tmp_path):
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    blobs = snapshot.parents[1] / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(sorted(sharded.iterdir())):
        file.rename(blobs / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    assert ShardedSafetensors(snapshot).names == {"a", "b", "c"}


@pytest.mark.parametrize("file", ["1.safetensors", INDEX])
def test_a_scrambled_file_opens_or_is_refused(file, sharded, refusals):
    def opened():
        tensors = ShardedSafetensors(sharded)
        [tensors.read(name) for name in tensors.names]

    assert refusals(sharded / file, opened) > 300
