import json

import keras
import numpy as np
import pytest
import safetensors.numpy

from tfzoo.errors import OutputError
from tfzoo.training.snapshots import Snapshots, named


def make_variables(value):
    return named(
        model=[
            keras.Variable(np.full((3, 2), value, "float32"), name="kernel"),
            keras.Variable(np.full((3,), value), dtype="bfloat16", name="bias"),
            keras.Variable(np.full((0, 4), value, "float32"), name="empty"),
        ],
        optimizer=[
            keras.Variable(value, dtype="int64", name="iteration"),
            keras.Variable([value, 1], dtype="uint32", name="seed"),
            keras.Variable([True], dtype="bool", name="flag"),
            keras.Variable(value, dtype="float64", name="sum"),
        ],
    )


def assert_loads(snapshots, number, value):
    variables = make_variables(0)
    snapshots.load(number, variables)
    for variable, expected in zip(
        variables.values(), make_variables(value).values(), strict=True
    ):
        np.testing.assert_array_equal(variable, expected)


def test_every_type_is_read_back_bit_for_bit(tmp_path):
    snapshots = Snapshots(tmp_path / "new", "step", kept=2)
    state = {"losses": [0.1 + 0.2, 1e-300], "nan": float("inf")}
    snapshots.save(7, make_variables(3), state)
    assert snapshots.newest() == (7, state)
    assert_loads(snapshots, 7, 3)


def test_the_safetensors_library_opens_the_file(tmp_path):
    Snapshots(tmp_path, "step", kept=2).save(1, make_variables(5), {})
    tensors = safetensors.numpy.load_file(
        tmp_path / "step-000000001" / "state.safetensors"
    )
    assert list(tensors) == sorted(make_variables(5))
    for name, variable in make_variables(5).items():
        np.testing.assert_array_equal(tensors[name], variable)


def test_the_requested_number_is_kept(tmp_path):
    snapshots = Snapshots(tmp_path, "step", kept=2)
    for number in (3, 6, 9, 1200):
        snapshots.save(number, make_variables(number), {})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"step-000000009", "step-000001200"}


def test_files_with_other_names_are_no_snapshots(tmp_path):
    snapshots = Snapshots(tmp_path, "step", kept=1)
    others = ["step-foo", "step-12", "step-000000001-copy"]
    for name in others:
        (tmp_path / name).mkdir()
    for number in (1, 2):
        snapshots.save(number, make_variables(number), {})
    assert snapshots.newest() == (2, {})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {*others, "step-000000002"}


def test_without_snapshots_there_is_no_newest(tmp_path):
    assert Snapshots(tmp_path, "step", kept=2).newest() is None
    assert Snapshots(tmp_path / "absent", "step", kept=2).newest() is None


def flip_a_bit(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["state.safetensors", "state.json"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_flipped_bit_is_detected_and_the_older_snapshot_used(
    tmp_path, capsys, file, share
):
    snapshots = Snapshots(tmp_path, "step", kept=2)
    snapshots.save(1, make_variables(1), {"step": 1})
    snapshots.save(2, make_variables(2), {"step": 2})
    path = tmp_path / "step-000000002" / file
    flip_a_bit(path, int(path.stat().st_size * share))
    assert snapshots.newest() == (1, {"step": 1})
    assert "step-000000002" in capsys.readouterr().err
    assert_loads(snapshots, 1, 1)
    snapshots.save(2, make_variables(4), {"step": 2})
    assert_loads(snapshots, 2, 4)


def test_a_missing_file_is_detected_and_the_older_snapshot_used(tmp_path):
    snapshots = Snapshots(tmp_path, "step", kept=2)
    snapshots.save(1, make_variables(1), {})
    snapshots.save(2, make_variables(2), {})
    (tmp_path / "step-000000002" / "state.safetensors").unlink()
    assert snapshots.newest() == (1, {})


def test_only_damaged_snapshots_are_an_error_and_stay(tmp_path):
    snapshots = Snapshots(tmp_path, "step", kept=2)
    snapshots.save(1, make_variables(1), {})
    (tmp_path / "step-000000001" / "state.json").write_text("{}")
    with pytest.raises(OutputError, match="At least one snapshot must be intact"):
        snapshots.newest()
    assert (tmp_path / "step-000000001").exists()


def test_leftovers_of_a_killed_writer_are_removed(tmp_path):
    (tmp_path / ".step-000000003.abc" / "step-000000003").mkdir(parents=True)
    assert Snapshots(tmp_path, "step", kept=2).newest() is None
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_previous_snapshot(tmp_path, monkeypatch):
    snapshots = Snapshots(tmp_path, "step", kept=1)
    snapshots.save(1, make_variables(1), {})
    with pytest.raises(TypeError):
        snapshots.save(2, make_variables(2), {"not": object()})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]
    assert snapshots.newest() == (1, {})


def test_another_shape_is_named_and_nothing_is_assigned(tmp_path):
    snapshots = Snapshots(tmp_path, "step", kept=1)
    snapshots.save(1, make_variables(1), {})
    variables = make_variables(0)
    last = list(variables)[-1]
    variables[last] = keras.Variable([1.0, 2.0], name="sum")
    with pytest.raises(OutputError, match=r"sum: The shape must be \(2,\)"):
        snapshots.load(1, variables)
    assert np.all(variables["model/00000/kernel"].numpy() == 0)
    del variables[last]
    with pytest.raises(
        OutputError, match="have the training's 6 variables. Received: 7"
    ):
        snapshots.load(1, variables)


def test_the_state_is_plain_json(tmp_path):
    Snapshots(tmp_path, "step", kept=1).save(1, make_variables(1), {"step": 1})
    content = json.loads((tmp_path / "step-000000001" / "state.json").read_text())
    assert content["state"] == {"step": 1}


def test_of_the_means_each_dtype_keeps_its_own(tmp_path):
    snapshots = Snapshots(tmp_path, "epoch", kept=3)
    for number, value in enumerate((1, 2, 5)):
        snapshots.save(number, make_variables(value), {})
    variables = make_variables(7)
    before = {name: variable.numpy() for name, variable in variables.items()}
    snapshots.load_mean([0, 1, 2], variables)
    for name, variable in variables.items():
        is_float = "float" in str(variable.dtype)
        value = np.full(variable.shape, 8 / 3) if is_float else before[name]
        expected = value.astype(before[name].dtype)
        np.testing.assert_array_equal(variable.numpy(), expected, err_msg=name)
