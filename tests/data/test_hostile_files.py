"""Reading any file either succeeds or raises a one-line `TfzooError`."""

import gzip
import json
import os

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.data.examples import known_labels, label_list, read_examples
from tfzoo.data.readers import read_records
from tfzoo.data.record_layout import RecordLayout
from tfzoo.data.tfrecord_frames import compression
from tfzoo.errors import TfzooError

TABLE = b'text\tlabel,"x"\n"a\t1,2\nb\t"c,\n'
LINES = (json.dumps({"text": "a", "label": [1, {"b": None}]}) + "\n").encode() * 2
ARRAY = b"[" + LINES.strip().replace(b"\n", b",\n") + b"]"
WIDE = TABLE.replace(b"\t", b";").decode().encode("utf-16")


@st.composite
def mutated(draw, *seeds):
    """A mutation of one of the seeds: bytes replaced, removed, inserted or repeated."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        action = draw(st.sampled_from(["put", "replace", "cut", "double"]))
        if action == "put":
            data[at:at] = draw(st.binary(max_size=8))
        elif action == "replace":
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif action == "cut":
            del data[at : at + draw(st.integers(1, 20))]
        else:
            data[at:at] = data[max(0, at - 10) : at]
    return bytes(data)


def survives(function, *args, **kwargs):
    try:
        return function(*args, **kwargs)
    except TfzooError as e:
        assert "\n" not in str(e)
        return None


@given(
    data=st.one_of(
        st.binary(max_size=200),
        mutated(TABLE, LINES, ARRAY, WIDE, gzip.compress(TABLE * 9)),
    ),
    name=st.sampled_from(
        ["a.txt", "a.tsv", "a.csv", "a.jsonl", "a.json", "a.csv.gz", "a.jsonl.gz", "b"]
    ),
    header=st.booleans(),
    task=st.sampled_from(["classification", "multi_label", "regression"]),
)
def test_hostile_text_files(tmp_path, data, name, header, task):
    path = tmp_path / name
    path.write_bytes(data)
    survives(lambda: list(read_records(path, header=header)))
    examples = survives(
        read_examples,
        path,
        text_column="text",
        label_column="label",
        header=header,
        task=task,
        label_separator=",",
    )
    if examples and task == "regression":
        known_labels(examples)
    elif examples:
        labels = survives(label_list, examples)
        if labels:
            known_labels(examples, labels)


@given(rows=st.lists(st.lists(st.text(), min_size=2, max_size=2), min_size=1))
def test_what_pythons_csv_module_writes_is_read_back(tmp_path, rows):
    import csv

    path = tmp_path / "a.csv"
    try:
        with open(path, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["a", "b"], *rows])  # separated by commas
    except UnicodeEncodeError:  # half of a surrogate pair
        return
    found = [list(r.values) for r in read_records(path)]
    assert found == rows


LAYOUT = RecordLayout(max_sequence_length=4, max_predictions=2, vocabulary_size=9)


def pretraining_records():
    sizes = {name: size for name, (size, _) in LAYOUT.ranges().items()}
    features = {
        name: {"float_list": {"value": [1.0] * size}}
        if name == "masked_lm_weights"
        else {"int64_list": {"value": [1] * size}}
        for name, size in sizes.items()
    }
    return tf.train.Example(features={"feature": features}).SerializeToString()


RECORD = pretraining_records()


@pytest.fixture(scope="module")
def framed(tmp_path_factory):
    def write(records, compression=""):
        path = tmp_path_factory.mktemp("records") / "a.tfrecord"
        with tf.io.TFRecordWriter(str(path), compression) as writer:
            for record in records:
                writer.write(record)
        return path.read_bytes()

    return write


def read_everything(path):
    survives(lambda: list(read_records(path)))
    survives(RecordLayout.of_file, path, 9)
    if survives(LAYOUT.check_files, [path]):
        batches = tf.data.TFRecordDataset(str(path), compression(path)).batch(2)
        LAYOUT.training_batch(next(iter(batches)))


@given(record=st.one_of(st.binary(max_size=60), mutated(RECORD)))
def test_hostile_examples_in_sound_files(tmp_path, framed, record):
    (tmp_path / "a.tfrecord").write_bytes(framed([RECORD, record]))
    read_everything(tmp_path / "a.tfrecord")


@pytest.fixture(scope="module")
def sound(framed):
    return [framed([RECORD] * 3), framed([RECORD] * 3, "GZIP")]


@given(data=st.data())
def test_hostile_tfrecord_files(tmp_path, sound, data):
    content = data.draw(st.one_of(st.binary(max_size=60), mutated(*sound)))
    (tmp_path / "a.tfrecord").write_bytes(content)
    read_everything(tmp_path / "a.tfrecord")


ODD = os.fsdecode(b"caf\xe9\x1b[2J")  # not UTF-8, and it clears the terminal


def test_a_text_file_may_have_any_name_and_its_errors_are_one_line(tmp_path):
    for name, data in (("a.tsv", b"text\tlabel\na\t1\nb\n"), ("a.jsonl", b"{}\n{\n")):
        path = tmp_path / f"{ODD}{name}"
        path.write_bytes(data)
        with pytest.raises(TfzooError) as error:
            list(read_records(path))
        message = str(error.value)
        assert message.isprintable() and r"caf\udce9\x1b[2Ja." in message
    (tmp_path / f"{ODD}.txt").write_text("a\nb\n")
    assert [r.values for r in read_records(tmp_path / f"{ODD}.txt")] == [("a",), ("b",)]


def test_a_tfrecord_file_must_have_a_name_that_tensorflow_opens(tmp_path, sound):
    path = tmp_path / f"{ODD}.tfrecord"
    path.write_bytes(sound[0])
    with pytest.raises(TfzooError, match=r"\\udce9.*: The path must be UTF-8"):
        list(read_records(path))


@given(name=st.text(st.characters(codec=None)) | st.just("x" * 5000))
def test_a_column_that_is_not_there_is_a_short_line(tmp_path, name):
    path = tmp_path / "a.tsv"
    path.write_text("text\x1b[2J\u202e\tlabel\na\t1\n", encoding="utf-8")
    (record,) = read_records(path)
    with pytest.raises(TfzooError) as error:
        record.value(f"no {name}")
    message = str(error.value)
    assert not {"\x1b", "\u202e", "\n"} & {*message}
    assert len(message) < 1500 and "a.tsv:2" in message
