"""`~` at the start of a path is the home directory, wherever a path enters."""

import os
import pathlib

import pytest
import tensorflow as tf

from tfzoo import tasks
from tfzoo.data.pretraining import open_pretraining_data
from tfzoo.data.readers import files_and_data_sets, read_records
from tfzoo.errors import DataError
from tfzoo.families import BertEncoder
from tfzoo.serving import ServedModel, export_saved_model, export_version
from tfzoo.text import ByteBPETokenizer, WordPieceTokenizer
from tfzoo.training import Run, fingerprint

WORDS = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat"])


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The home directory; afterwards, the working directory must still be empty."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    yield tmp_path / "home"
    assert os.listdir(tmp_path / "work") == []


def test_models_are_saved_and_opened_there(home):
    encoder = BertEncoder(7, 1, 1, 4, 4, max_sequence_length=8)
    encoder.save_to_preset("~/bert", tokenizer=WORDS)
    assert (home / "bert" / "config.json").exists()
    assert BertEncoder.from_preset(pathlib.Path("~/bert")).num_layers == 1
    model = tasks.MaskedLM.from_preset("~/bert")
    model.save_to_preset("~/models/words")
    assert isinstance(tasks.from_preset("~/models/words"), tasks.MaskedLM)


def test_tokenizers_are_trained_saved_and_opened_there(home):
    (home / "text.txt").write_text("a cat sat on a mat\n" * 3)
    text = [pathlib.Path("~/text.txt")]
    (home / "words").mkdir()
    (home / "bytes").mkdir()
    for kind, size, name in (
        (WordPieceTokenizer, 40, "~/words"),
        (ByteBPETokenizer, 260, "~/bytes"),
    ):
        trained = kind.train(text, vocabulary_size=size, progress=False)
        trained.save_to_preset(name)
        assert kind.from_preset(name).vocabulary == trained.vocabulary


def test_data_is_read_from_there(home):
    (home / "a.csv").write_text("text,label\na cat,x\n")
    (home / "a.txt").write_text("a cat\na cat\n\na cat\na cat\n")
    (record,) = read_records("~/a.csv")
    assert record.value("text") == "a cat"
    path = str(home / "a.txt")
    assert files_and_data_sets(["~/a.txt"]) == ([path], {})
    assert [*fingerprint(["~/a.txt"])] == [path]
    source = open_pretraining_data(
        ["~/a.txt"],
        WORDS,
        cache_directory="~/cache",
        max_sequence_length=12,
        max_predictions=2,
    )
    assert source.num_examples > 0
    assert len(os.listdir(home / "cache")) == 1


def test_runs_and_exports_are_written_there(home):
    Run("~/run", {}).close()
    assert (home / "run" / "run.json").exists()
    module = tf.function(lambda text: {"label": text}, autograph=False)
    function = module.get_concrete_function(tf.TensorSpec([None], tf.string, "text"))
    served = ServedModel({"serving_default": function}, {}, ())
    assert export_version("~/served/mail", served) == home / "served" / "mail" / "1"
    export_saved_model("~/alone", served)
    assert (home / "alone" / "saved_model.pb").exists()


def test_the_home_of_nobody_is_a_file_that_does_not_exist():
    with pytest.raises(DataError, match=r"^~nobody-here/a\.txt: The file does not"):
        list(read_records("~nobody-here/a.txt"))
