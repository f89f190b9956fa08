"""Records in the layout of Google's BERT, made by hand and read."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.data.pretraining import open_pretraining_data, pretraining_dataset
from tfzoo.data.pretraining_records import RecordSource
from tfzoo.errors import DataError

S, M = 8, 3
V2 = {"input_ids": "input_word_ids", "segment_ids": "input_type_ids"}


def features(number, vocabulary_size=1000):
    """The features of example `number`, which `input_ids` carries."""
    return {
        "input_ids": [2, 10 + number, 11, 3, 12, 3, 0, 0],
        "input_mask": [1, 1, 1, 1, 1, 1, 0, 0],
        "segment_ids": [0, 0, 0, 0, 1, 1, 0, 0],
        "masked_lm_positions": [1, 4, 0],
        "masked_lm_ids": [10 + number, 20, 0],
        "masked_lm_weights": [1.0, 1.0, 0.0],
        "next_sentence_labels": [number % 2],
    }


def serialised(features, names=None):
    lists = {}
    for name, values in features.items():
        kind = "float_list" if name == "masked_lm_weights" else "int64_list"
        lists[(names or {}).get(name, name)] = {kind: {"value": values}}
    return tf.train.Example(features={"feature": lists}).SerializeToString()


def write(path, examples, names=None, compression=""):
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for example in examples:
            writer.write(serialised(example, names))
    return path


@pytest.fixture
def tokenizer(number_tokenizer):
    return number_tokenizer()


@pytest.fixture
def files(tmp_path):
    """30 examples in a Google file, a Model Garden file and a gzip one."""
    many = [features(i) for i in range(30)]
    return [
        write(tmp_path / "tf_examples", many[:7]),
        write(tmp_path / "b.tfrecord", many[7:20], V2),
        write(tmp_path / "c.tfrecord.gz", many[20:], V2, "GZIP"),
    ]


def numbers(batch):
    return (batch[0]["token_ids"][:, 1] - 10).tolist()


def take(dataset, count):
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def test_both_names_and_gzip_are_read_as_they_are(files, tokenizer):
    source = RecordSource(files, tokenizer)
    assert (source.layout.max_sequence_length, source.layout.max_predictions) == (S, M)
    assert source.num_examples == 30
    batches = list(source.validation_batches(10).as_numpy_iterator())
    assert [numbers(batch) for batch in batches] == [
        list(range(begin, begin + 10)) for begin in (0, 10, 20)
    ]
    inputs, targets, weights = batches[1]
    for row, number in enumerate(range(10, 20)):
        wanted = features(number)
        for name, array in {
            "input_ids": inputs["token_ids"],
            "input_mask": inputs["padding_mask"],
            "segment_ids": inputs["segment_ids"],
            "masked_lm_positions": inputs["mask_positions"],
            "masked_lm_ids": targets["masked_words"],
            "masked_lm_weights": weights["masked_words"],
        }.items():
            assert array[row].tolist() == wanted[name]
        assert targets["next_sentence"][row] == wanted["next_sentence_labels"][0]
    dtypes = {x.dtype for x in tf.nest.flatten((inputs, targets))}
    assert dtypes == {np.dtype("int32")}
    assert weights["next_sentence"].tolist() == [1.0] * 10


def test_batches_have_static_shapes(files, tokenizer):
    endless = pretraining_dataset(files, tokenizer, batch_size=4)
    assert endless.cardinality() == tf.data.INFINITE_CARDINALITY
    for dataset in (
        endless,
        pretraining_dataset(files, tokenizer, batch_size=4, validation=True),
    ):
        for spec in tf.nest.flatten(dataset.element_spec):
            assert spec.shape.is_fully_defined()
            assert spec.shape[0] == 4


def test_an_epoch_has_each_example_once_in_a_new_order(files, tokenizer):
    source = RecordSource(files, tokenizer, seed=1)
    epochs = [numbers(batch) for batch in take(source.batches(30), 3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(30))
    assert epochs[0] != epochs[1] != epochs[2]
    other = RecordSource(files, tokenizer, seed=2)
    assert numbers(take(other.batches(30), 1)[0]) != epochs[0]


def test_starting_at_a_step_equals_skipping_that_many(files, tokenizer, monkeypatch):
    monkeypatch.setattr("tfzoo.data.pretraining_records._SHUFFLED_AT_ONCE", 11)
    source = RecordSource(files, tokenizer, seed=1)
    whole = [numbers(batch) for batch in take(source.batches(4), 40)]
    for start in (1, 7, 8, 15, 30):
        keras.utils.set_random_seed(start)
        found = take(
            RecordSource(files, tokenizer, seed=1).batches(4, start_step=start), 5
        )
        assert [numbers(batch) for batch in found] == whole[start : start + 5]


def test_the_last_batch_of_a_validation_is_filled_up(files, tokenizer):
    source = RecordSource(files, tokenizer)
    dataset = source.validation_batches(7, max_examples=10)
    assert dataset.cardinality() == 2
    _, last = list(dataset.as_numpy_iterator())
    assert numbers(last) == [7, 8, 9, 9, 9, 9, 9]
    assert last[2]["next_sentence"].tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert last[2]["masked_words"].tolist() == [[1, 1, 0]] * 3 + [[0, 0, 0]] * 4


def test_labels_of_next_sentences_may_be_left_out(tmp_path, tokenizer):
    example = features(0)
    del example["next_sentence_labels"]
    path = write(tmp_path / "a.tfrecord", [example])
    source = open_pretraining_data([path], tokenizer, next_sentence=False)
    _, targets, weights = take(source.batches(2), 1)[0]
    assert set(targets) == set(weights) == {"masked_words"}
    with pytest.raises(DataError, match="'next_sentence_labels' is missing"):
        open_pretraining_data([path], tokenizer)


WRONG = {
    "ids": ({"input_ids": [2, 1000] + [0] * 6}, r"must be in \[0, 1000\).*: 1000\."),
    "wrapped": ({"input_ids": [2, 2**32 + 5] + [0] * 6}, "Received: 4294967301"),
    "negative": ({"masked_lm_ids": [-1, 0, 0]}, r"'masked_lm_ids' must be in .*: -1\."),
    "targets": ({"masked_lm_ids": [1000, 0, 0]}, "'masked_lm_ids' must be in"),
    "mask": ({"input_mask": [2] * 8}, r"'input_mask' must be in \[0, 2\)"),
    "segment": ({"segment_ids": [2] * 8}, r"\(or 'input_type_ids'\) must be in"),
    "position": ({"masked_lm_positions": [8, 0, 0]}, r"must be in \[0, 8\).*: 8\."),
    "weight": ({"masked_lm_weights": [float("nan"), 0.0, 0.0]}, "Received: nan"),
    "endless": ({"masked_lm_weights": [float("inf"), 0.0, 0.0]}, "Received: inf"),
    "minus": ({"masked_lm_weights": [1.0, -0.5, 0.0]}, r"Received: -0\.5"),
    "place": ({"masked_lm_positions": [0, 0, -1]}, r"must be in \[0, 8\).*: -1\."),
    "label": ({"next_sentence_labels": [2]}, "'next_sentence_labels' must be in"),
    "unknown": ({"next_sentence_labels": [-1]}, "'next_sentence_labels' must be in"),
    "twice": (
        {"input_ids": [2, -5] + [0] * 6, "input_word_ids": [2, 5] + [0] * 6},
        r"must be in \[0, 1000\).*: -5\.",
    ),
    "long": ({"input_ids": [2] * 9}, "must have 8 values. Received: 9"),
    "short": ({"masked_lm_ids": [2, 2]}, "must have 3 values. Received: 2"),
    "labels": ({"next_sentence_labels": []}, "must have 1 values. Received: 0"),
    "missing": ({"input_mask": None}, "'input_mask' is missing"),
    "first": (
        {"input_ids": None},
        r"'input_ids' \(or 'input_word_ids'\) is missing",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_record_is_named_with_its_file(tmp_path, tokenizer, name):
    change, reason = WRONG[name]
    many = [features(i) for i in range(700)]
    many[601] = {k: v for k, v in (many[601] | change).items() if v is not None}
    path = write(tmp_path / "a.tfrecord", many)
    with pytest.raises(DataError, match=f"{path}: record 601: .*{reason}"):
        RecordSource([path], tokenizer)


def test_a_feature_of_the_wrong_type_is_named(tmp_path, tokenizer):
    lists = {
        n: {"float_list": {"value": map(float, v)}} for n, v in features(0).items()
    }
    wrong = tf.train.Example(features={"feature": lists}).SerializeToString()
    path = tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(serialised(features(0)))
        writer.write(wrong)
    with pytest.raises(DataError, match="record 1: Feature 'input_ids'"):
        RecordSource([path], tokenizer)


def test_records_larger_than_requested_are_refused(files, tokenizer):
    for name, most in (("max_sequence_length", 7), ("max_predictions", 2)):
        with pytest.raises(DataError, match=f"{name} of the records must be at most"):
            RecordSource(files, tokenizer, **{name: most})


def test_files_of_other_sizes_do_not_mix(files, tokenizer, tmp_path):
    other = {k: v * 2 for k, v in features(0).items()}
    other["next_sentence_labels"] = [0]
    files.append(write(tmp_path / "d.tfrecord", [other]))
    with pytest.raises(
        DataError, match=r"d\.tfrecord: record 0: .* must have 8 values"
    ):
        RecordSource(files, tokenizer)


def test_missing_empty_and_foreign_files_are_named(tmp_path, tokenizer):
    with pytest.raises(DataError, match=r"missing\.tfrecord: The file does not exist"):
        open_pretraining_data([tmp_path / "missing.tfrecord"], tokenizer)
    (tmp_path / "empty.tfrecord").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty\.tfrecord: The file is empty"):
        open_pretraining_data([tmp_path / "empty.tfrecord"], tokenizer)
    with tf.io.TFRecordWriter(str(tmp_path / "other.tfrecord")) as writer:
        writer.write(tf.train.Example().SerializeToString())
    with pytest.raises(DataError, match="record 0: Feature 'input_ids'"):
        open_pretraining_data([tmp_path / "other.tfrecord"], tokenizer)
    (tmp_path / "directory").mkdir()
    with pytest.raises(DataError, match=r"directory: .* must contain manifest\.json"):
        open_pretraining_data([tmp_path / "directory"], tokenizer)


def test_the_fingerprint_changes_with_the_files(files, tokenizer, tmp_path):
    one = RecordSource(files, tokenizer).fingerprint
    assert RecordSource(files, tokenizer).fingerprint == one
    assert RecordSource(files[:2], tokenizer).fingerprint != one
