"""Records of TFRecord files and of TensorFlow Datasets."""

import gzip
import importlib
import struct
import subprocess
import sys

import pytest
import tensorflow as tf

from tfzoo.data.examples import read_examples
from tfzoo.data.readers import file_kind, files_and_data_sets, read_records
from tfzoo.errors import DataError


def example(**features):
    lists = {}
    for name, values in features.items():
        if isinstance(values[0], bytes):
            lists[name] = {"bytes_list": {"value": values}}
        elif isinstance(values[0], float):
            lists[name] = {"float_list": {"value": values}}
        else:
            lists[name] = {"int64_list": {"value": values}}
    message = tf.train.Example(features={"feature": lists})
    return message.SerializeToString()


def write(path, records, compression=""):
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)
    return path


RECORDS = [
    example(text=["é".encode()], label=[3], scores=[0.5, 0.25]),
    example(text=[b"b"], label=[-1], scores=[1.0]),
    example(text=[b"c", b"d"], label=[2**40]),
]


@pytest.mark.parametrize("name", ["a.tfrecord", "b.tfrecords", "c-00000-of-00001", "d"])
@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_features_are_columns_and_records_count_from_0(tmp_path, name, compression):
    path = write(tmp_path / name, RECORDS, compression)
    found = list(read_records(path))
    assert [r.fields for r in found] == [
        {"text": "é", "label": 3, "scores": [0.5, 0.25]},
        {"text": "b", "label": -1, "scores": 1.0},
        {"text": ["c", "d"], "label": 2**40},
    ]
    assert [(r.number, r.unit) for r in found] == [(i, "record") for i in range(3)]
    with pytest.raises(
        DataError, match=r"record 1: The column must be one of .*Received: 'x'"
    ):
        found[1].value("x")


def test_a_file_with_another_name_is_recognized_by_content(tmp_path):
    write(tmp_path / "tf_examples", RECORDS)
    assert file_kind(tmp_path / "tf_examples") == "tfrecord"
    (tmp_path / "zip").write_bytes(gzip.compress(b"some text that is no record"))
    with pytest.raises(DataError, match="must end in"):
        file_kind(tmp_path / "zip")


def cuts():
    ends = [0]
    for record in RECORDS:
        ends.append(ends[-1] + 16 + len(record))
    for end in range(1, ends[-1]):
        if end not in ends:
            yield end, sum(e <= end for e in ends[1:])


def test_a_file_cut_anywhere_in_a_record_is_named_with_the_record(tmp_path):
    data = write(tmp_path / "a.tfrecord", RECORDS).read_bytes()
    path = tmp_path / "cut.tfrecord"
    for end, record in list(cuts())[::5]:
        path.write_bytes(data[:end])
        with pytest.raises(DataError, match=f"record {record}: The file is damaged"):
            list(read_records(path))


def test_one_wrong_bit_is_named_with_the_record(tmp_path):
    many = RECORDS * 200
    data = write(tmp_path / "a.tfrecord", many).read_bytes()
    path, end, record = tmp_path / "wrong.tfrecord", 0, 555
    for before in many[:record]:
        end += 16 + len(before)
    for offset in (0, 9, 14, 16 + len(many[record]) - 1):
        damaged = bytearray(data)
        damaged[end + offset] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=f"record {record}: The file is damaged"):
            list(read_records(path))


def test_gzip_that_ends_early_or_is_damaged_is_an_error(tmp_path):
    data = write(tmp_path / "a.tfrecord", RECORDS * 100, "GZIP").read_bytes()
    path = tmp_path / "cut.tfrecord"
    for end in [5, 20, 100, len(data) - 4, len(data) - 1]:
        path.write_bytes(data[:end])
        with pytest.raises(DataError, match=r"cut\.tfrecord"):
            list(read_records(path))


def test_a_record_that_is_no_example_is_named(tmp_path):
    path = write(tmp_path / "a.tfrecord", [RECORDS[0], b"\xff\xff\xff"])
    with pytest.raises(DataError, match=r"record 1: The record must be a tf\.train"):
        list(read_records(path))
    path = write(tmp_path / "b.tfrecord", [example(text=[b"\xff"])])
    with pytest.raises(DataError, match="record 0: Feature 'text' must be UTF-8"):
        list(read_records(path))


def test_an_empty_tfrecord_file_is_an_error(tmp_path):
    for name, data in (("a.tfrecord", b""), ("b.tfrecord", gzip.compress(b""))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match="The file is empty"):
            list(read_records(tmp_path / name))


def test_the_checksum_used_for_detection_is_tensorflows(tmp_path):
    from tfzoo.data import tfrecord_frames

    for length in (0, 1, 255, 70_000):
        path = write(tmp_path / "x", [b"x" * length])
        head = path.read_bytes()[:12]
        assert struct.unpack("<Q", head[:8]) == (length,)
        assert tfrecord_frames.begins_as_tfrecord(path)
        path.write_bytes(bytes([head[0] ^ 1]) + head[1:])
        assert not tfrecord_frames.begins_as_tfrecord(path)


BUILDER = '''
import numpy as np
import tensorflow_datasets as tfds

class TinyReviews(tfds.core.GeneratorBasedBuilder):
    """Three reviews."""
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="a", version=VERSION),
                       tfds.core.BuilderConfig(name="b", version=VERSION)]

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({
            "text": tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=["bad", "good"]),
            "stars": np.float32,
        }))

    def _split_generators(self, dl_manager):
        return {"train": self._rows(3), "test": self._rows(1)}

    def _rows(self, n):
        for i in range(n):
            text = f"{self.builder_config.name} \u00e9 {i}"
            label = -1 if n == 1 else i % 2
            yield i, {"text": text, "label": label, "stars": i / 2}

    def _generate_examples(self):
        return []
'''


@pytest.fixture
def tiny_reviews(tmp_path, monkeypatch):
    """A data set built locally, without a network."""
    (tmp_path / "tiny_reviews_builder.py").write_text(BUILDER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONWARNINGS", "ignore")
        importlib.import_module("tiny_reviews_builder")
    return tmp_path


@pytest.mark.filterwarnings("ignore")
def test_a_tfds_data_set_is_read(tiny_reviews):
    found = list(read_records("tfds:tiny_reviews/b"))
    assert sorted(r.value("text") for r in found) == ["b é 0", "b é 1", "b é 2"]
    assert [r.number for r in found] == [0, 1, 2]
    by_text = {r.value("text"): r for r in found}
    assert by_text["b é 1"].fields == {"text": "b é 1", "label": "good", "stars": 0.5}
    examples = read_examples(
        "tfds:tiny_reviews", text_column="text", label_column="label"
    )
    assert sorted(examples.labels) == ["bad", "bad", "good"]
    hidden = list(read_records("tfds:tiny_reviews/a:test"))
    assert [r.value("label") for r in hidden] == [-1]
    for spec, reason in {
        "tfds:tiny_reviews:nothing": "tiny_reviews:nothing: The dataset cannot be",
        "tfds:tiny_reviews/c": "The dataset cannot be found",
        "tfds:": "Must have the form tfds:NAME",
    }.items():
        with pytest.raises(DataError, match=reason):
            list(read_records(spec))
    _, names = files_and_data_sets(["a:b.txt", "tfds:tiny_reviews/b"])
    assert names == {"tfds:tiny_reviews/b": "tiny_reviews/b/1.0.0:train"}


@pytest.mark.filterwarnings("ignore")
def test_datasets_bundled_with_tfds_find_their_files():
    """They need importlib_resources, which tensorflow-datasets does not require."""
    import tensorflow_datasets as tfds

    assert tfds.builder("imdb_reviews").code_path.exists()


def test_reading_text_imports_neither_tensorflow_nor_its_data_sets(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    code = (
        "import sys; from tfzoo.data.examples import read_examples;"
        f"read_examples({str(tmp_path / 'a.csv')!r}, text_column='a');"
        "sys.exit('tensorflow' in sys.modules or 'tensorflow_datasets' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
