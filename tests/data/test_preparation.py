"""Sharded TFRecords, written by several processes."""

import dataclasses
import inspect
import json
import re
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.data import preparation
from tfzoo.data.example_settings import Settings
from tfzoo.data.preparation import prepare_pretraining_data
from tfzoo.data.pretraining import open_pretraining_data
from tfzoo.data.pretraining_records import RecordSource
from tfzoo.data.running_text import RunningText
from tfzoo.errors import DataError, OutputError, TfzooError
from tfzoo.text import WordPieceTokenizer

OPTIONS = {
    "max_sequence_length": 32,
    "max_predictions": 5,
    "duplicates": 2,
    "shards": 3,
    "progress": False,
}
READING = ("sentences", "documents", "text_column", "header")


def prepare(path, tokenizer, directory, **options):
    reading = {name: options.pop(name) for name in READING if name in options}
    text = RunningText([path], **reading)
    return prepare_pretraining_data(text, tokenizer, directory, **OPTIONS | options)


def contents(directory):
    return {
        path.name: path.read_bytes()
        for path in sorted(directory.iterdir())
        if path.is_file()
    }


@pytest.fixture(scope="module")
def prepared(text_file, tokenizer, tmp_path_factory):
    directory = tmp_path_factory.mktemp("prepared")
    return directory, prepare(text_file, tokenizer, directory)


def examples(directory):
    """Every record, parsed by hand."""
    for path in sorted(directory.glob("*.tfrecord")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            feature = tf.train.Example.FromString(record).features.feature
            yield {
                name: (value.WhichOneof("kind"), getattr(value, kind).value[:])
                for name, value in feature.items()
                for kind in [value.WhichOneof("kind")]
            }


def test_the_files_have_googles_fields(prepared, tokenizer):
    directory, done = prepared
    names = [f"pretraining-0000{i}-of-00003.tfrecord" for i in range(3)]
    assert sorted(contents(directory)) == ["manifest.json", *names, "run.json"]
    kinds = {
        "input_ids": ("int64_list", 32),
        "input_mask": ("int64_list", 32),
        "segment_ids": ("int64_list", 32),
        "masked_lm_positions": ("int64_list", 5),
        "masked_lm_ids": ("int64_list", 5),
        "masked_lm_weights": ("float_list", 5),
        "next_sentence_labels": ("int64_list", 1),
    }
    found = list(examples(directory))
    assert len(found) == done.manifest["examples"] == done.examples_written
    for example in found:
        assert {n: (kind, len(v)) for n, (kind, v) in example.items()} == kinds


def test_the_counts_of_the_manifest_are_those_of_the_files(prepared):
    directory, done = prepared
    found = list(examples(directory))
    tokens = sum(sum(e["input_mask"][1]) for e in found)
    masked = sum(sum(e["masked_lm_weights"][1]) for e in found)
    random = sum(e["next_sentence_labels"][1][0] for e in found)
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest == done.manifest
    assert manifest["tokens"] == tokens
    assert manifest["masked_share"] == pytest.approx(masked / tokens)
    assert manifest["random_next_share"] == pytest.approx(random / len(found))
    sizes = [shard["examples"] for shard in manifest["shards"]]
    assert sum(sizes) == len(found) and max(sizes) - min(sizes) <= 1
    assert 0.13 < manifest["masked_share"] < 0.17
    assert 0.4 < manifest["random_next_share"] < 0.65


def test_unmasked_segments_are_text_of_the_corpus(prepared, documents, tokenizer):
    """A segment is consecutive text of a document; a next segment follows the first."""
    texts = [" ".join(map(str, sum(tokenizer.tokenize(d), []))) for d in documents]
    texts = [f" {text} " for text in texts]
    for example in list(examples(prepared[0]))[::7]:
        ids = np.array(example["input_ids"][1])
        weights = np.array(example["masked_lm_weights"][1])
        positions = np.array(example["masked_lm_positions"][1])[weights > 0]
        ids[positions] = np.array(example["masked_lm_ids"][1])[weights > 0]
        first, second = np.flatnonzero(ids == tokenizer.sep_id)
        a, b = (
            " ".join(map(str, part)) for part in (ids[1:first], ids[first + 1 : second])
        )
        in_a = {i for i, text in enumerate(texts) if f" {a} " in text}
        in_b = {i for i, text in enumerate(texts) if f" {b} " in text}
        assert in_a and in_b
        if example["next_sentence_labels"][1] == [0]:
            assert any(
                texts[i].find(f" {b} ", texts[i].find(f" {a} ") + len(a)) >= 0
                for i in in_a & in_b
            )
        elif len(a) > 20 and len(b) > 20:
            assert not in_a & in_b or len(in_a | in_b) > 1


def test_written_records_can_be_trained_on(prepared, tokenizer):
    directory, done = prepared
    source = open_pretraining_data([directory], tokenizer)
    assert source.num_examples == done.manifest["examples"]
    files = sorted(directory.glob("*.tfrecord"))
    assert open_pretraining_data(files, tokenizer).num_examples == source.num_examples
    other = WordPieceTokenizer(tokenizer.vocabulary, lowercase=False)
    with pytest.raises(
        DataError, match="with this tokenizer. Received: data prepared with another"
    ):
        open_pretraining_data([directory], other)


@pytest.mark.slow
def test_the_files_do_not_depend_on_the_number_of_processes(
    prepared, text_file, tokenizer, tmp_path
):
    done = prepare(text_file, tokenizer, tmp_path / "out", processes=2)
    assert contents(tmp_path / "out") == contents(prepared[0])
    assert done.seconds > 0


CHANGES = {
    "max_sequence_length": 33,
    "max_predictions": 4,
    "masked_fraction": 0.1,
    "short_sequence_fraction": 0.5,
    "duplicates": 1,
    "shards": 2,
    "whole_word": True,
    "sentences": "punctuation",
    "documents": "record",
    "seed": 1,
}


def test_every_argument_changes_the_files(documents, tokenizer, tmp_path):
    text = tmp_path / "topics.txt"
    text.write_text("\n\n".join("\n".join(lines) for lines in documents[:5]))
    options = {
        *inspect.getfullargspec(prepare_pretraining_data).kwonlyargs,
        *(field.name for field in dataclasses.fields(Settings)),
        *READING,
    }
    # The others have their own tests.
    assert options == {*CHANGES, "text_column", "header", "processes", "progress"}
    seen = set()
    for name, value in [("seed", 0), *CHANGES.items()]:
        directory = tmp_path / f"{name}-{value}"
        prepare(text, tokenizer, directory, **{name: value})
        (directory / "run.json").unlink()
        (directory / "manifest.json").unlink()
        seen.add(b"".join(contents(directory).values()))
    assert len(seen) == 1 + len(CHANGES)


def test_text_is_read_from_the_given_column(tokenizer, tmp_path):
    rows = "".join(f"one a {i}\ttwo b {i}\n" for i in range(40))
    (tmp_path / "rows.tsv").write_text(f"first\tsecond\n{rows}")
    files = {
        column: prepare(
            tmp_path / "rows.tsv", tokenizer, tmp_path / column, text_column=column
        )
        and contents(tmp_path / column)["pretraining-00000-of-00003.tfrecord"]
        for column in ("first", "second")
    }
    assert files["first"] != files["second"]
    done = prepare(
        tmp_path / "rows.tsv", tokenizer, tmp_path / "1", text_column="1", header=False
    )
    assert contents(tmp_path / "1")["pretraining-00000-of-00003.tfrecord"] not in (
        files.values()
    )
    assert done.manifest["arguments"]["header"] is False
    with pytest.raises(DataError, match="column must be one of .*Received: 'third'"):
        prepare(tmp_path / "rows.tsv", tokenizer, tmp_path / "c", text_column="third")


def test_progress_bars_are_shown_in_a_terminal_if_requested(
    text_file, tokenizer, tmp_path, capfd, monkeypatch
):
    small = dict(duplicates=1, shards=1)
    prepare(text_file, tokenizer, tmp_path / "logged", progress=True, **small)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    prepare(text_file, tokenizer, tmp_path / "quiet", progress=False, **small)
    assert capfd.readouterr().err == ""
    prepare(text_file, tokenizer, tmp_path / "shown", progress=True, **small)
    assert "pairing" in capfd.readouterr().err


def test_a_finished_directory_is_left_as_it_is(prepared, text_file, tokenizer):
    directory, done = prepared
    before = {p: p.stat().st_mtime_ns for p in directory.iterdir()}
    again = prepare(text_file, tokenizer, directory)
    assert again.was_finished and not done.was_finished
    assert again.manifest == done.manifest
    assert {p: p.stat().st_mtime_ns for p in directory.iterdir()} == before


def test_other_arguments_and_foreign_content_are_refused(
    prepared, text_file, tokenizer, tmp_path
):
    directory = prepared[0]
    before = contents(directory)
    with pytest.raises(OutputError, match="begun with a different seed: 0, now 5"):
        prepare(text_file, tokenizer, directory, seed=5)
    (tmp_path / "other.txt").write_text("one\n\ntwo\n")
    with pytest.raises(OutputError, match="begun with a different text"):
        prepare(tmp_path / "other.txt", tokenizer, directory)
    assert contents(directory) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").write_text("text")
    with pytest.raises(
        OutputError, match="mine: The output directory contains something"
    ):
        prepare(text_file, tokenizer, tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.doc"]


@pytest.mark.parametrize("shard", [0, 1, 2])
def test_an_interrupted_run_continues(
    prepared, text_file, tokenizer, tmp_path, monkeypatch, shard
):
    def interrupted(path, *args):
        if f"-0000{shard}-of-" in path.name:
            raise KeyboardInterrupt
        return written(path, *args)

    written = preparation._write_shard
    monkeypatch.setattr(preparation, "_write_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(text_file, tokenizer, tmp_path)
    assert len(list(tmp_path.glob("*.tfrecord"))) == shard
    with pytest.raises(DataError, match=r"must contain manifest\.json"):
        open_pretraining_data([tmp_path], tokenizer)
    monkeypatch.undo()
    done = prepare(text_file, tokenizer, tmp_path)
    assert contents(tmp_path) == contents(prepared[0])
    assert done.examples_written < done.manifest["examples"] or shard == 0


def test_fewer_examples_than_shards_are_an_error(number_text, tokenizer, tmp_path):
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    with pytest.raises(DataError, match="each of the 30 shards. Received: 4 examples"):
        prepare(tmp_path / "a.txt", tokenizer, tmp_path / "out", shards=30)


def test_zero_examples_and_one_document_are_errors(tokenizer, tmp_path):
    (tmp_path / "blank.txt").write_text(" \n\n")
    with pytest.raises(DataError, match="must have at least one token"):
        prepare(tmp_path / "blank.txt", tokenizer, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    (tmp_path / "one.txt").write_text("one\ntwo\n")
    with pytest.raises(DataError, match="at least two documents"):
        prepare(tmp_path / "one.txt", tokenizer, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir()), "another text may be given now"


def test_wrong_arguments_are_refused_before_anything_is_written(
    text_file, tokenizer, tmp_path
):
    for wrong in ({"shards": 0}, {"duplicates": 0}, {"max_predictions": 99}):
        with pytest.raises(ValueError, match="Received"):
            prepare(text_file, tokenizer, tmp_path / "out", **wrong)
    without = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    with pytest.raises(TfzooError, match=r"contain the mask token \[MASK\]"):
        prepare(text_file, without, tmp_path / "out")
    with pytest.raises(DataError, match="does not exist"):
        prepare(tmp_path / "missing.txt", tokenizer, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def copied(prepared, tmp_path):
    directory = tmp_path / "copied"
    shutil.copytree(prepared[0], directory)
    return directory


def shard(directory, number):
    return directory / f"pretraining-0000{number}-of-00003.tfrecord"


def test_a_swapped_shard_is_named(copied, tokenizer):
    first, second = shard(copied, 0), shard(copied, 1)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    with pytest.raises(
        DataError, match=r"00000-of-00003.tfrecord: .* must match the manifest"
    ):
        RecordSource([copied], tokenizer)
    with pytest.raises(
        DataError, match=r"00001-of-00003.tfrecord: .* must match the manifest"
    ):
        RecordSource([second], tokenizer)  # also for a single shard


def test_a_shard_cut_at_the_border_of_a_record_is_named(copied, tokenizer):
    path = shard(copied, 2)
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records[:-1]:
            writer.write(record)
    count = len(records)
    rule = rf"examples={count}. Received: examples={count - 1}"
    with pytest.raises(DataError, match=rf"00002-of-00003.tfrecord: .*{rule}"):
        RecordSource([copied], tokenizer)


def test_a_rewritten_shard_is_named(copied, tokenizer):
    path = shard(copied, 0)
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in reversed(records):
            writer.write(record)
    with pytest.raises(DataError, match=r"00000-of-00003.tfrecord: .* sha256='"):
        RecordSource([copied], tokenizer)


@pytest.mark.parametrize("name", ["manifest.json", "run.json"])
def test_a_changed_description_is_named(copied, tokenizer, name):
    text = (copied / name).read_text()
    (copied / name).write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(DataError, match=name):
        RecordSource([copied], tokenizer)


def test_a_manifest_without_checksums_opens_with_a_warning(copied, tokenizer, capsys):
    path = copied / "manifest.json"
    manifest = json.loads(path.read_text())
    count = manifest["examples"]
    del manifest["sha256"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"manifest\.json: .* checksum does not match"):
        RecordSource([copied], tokenizer)
    for part in manifest["shards"]:
        del part["sha256"]
    path.write_text(json.dumps(manifest))
    assert RecordSource([copied], tokenizer).num_examples == count
    assert capsys.readouterr().err.startswith(
        f"warning: {path}: an earlier version wrote this without"
    )


@pytest.mark.parametrize("count", [8, pytest.param(60, marks=pytest.mark.slow)])
def test_no_flipped_bit_of_the_shards_goes_unnoticed(copied, tokenizer, flips, count):
    for path in flips(copied, count, seed=count):
        with pytest.raises(DataError, match=re.escape(path.name)):
            RecordSource([copied], tokenizer)
    RecordSource([copied], tokenizer)
