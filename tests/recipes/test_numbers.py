"""Numbers out of range are rejected by name, before any work."""

import pathlib
import re
import sys

import pytest

from helpers import recipe
from tfzoo import cli

RECIPES = pathlib.Path(__file__).parents[2] / "recipes"
FILES = {"input": ("absent.txt",), "tokenizer": "absent", "output": "absent"}
TABLE = {"preset": "absent", "text_column": "text", "label_column": "label"}
ARGUMENTS = {
    "pretrain_bert": {**FILES, "preset": "bert_tiny", "steps": 1},
    "pretrain_gpt": {**FILES, "preset": "gpt_tiny", "steps": 1},
    "finetune_gpt": {"input": ("absent",), "preset": "absent", "output": "absent"},
    "finetune_classifier": {**TABLE, "train": "absent.tsv", "output": "absent"},
    "train_translator": {"train": "absent.tsv", "epochs": 1, "output": "absent"},
    "finetune_seq2seq": {"train": "absent.tsv", "preset": "absent", "output": "absent"},
    "evaluate_seq2seq": {"model": "absent", "data": "absent.tsv"},
    "translate": {"model": "absent"},
    "evaluate_classifier": {**TABLE, "data": "absent.tsv"},
    "prepare_pretraining_data": FILES,
    "train_tokenizer": {"input": ("a.txt",), "vocabulary_size": 9, "output": "absent"},
}
TRAIN = ["pretrain_bert", "pretrain_gpt", "finetune_gpt", "finetune_classifier"]
TRAIN += ["train_translator", "finetune_seq2seq"]
WRONG = [
    *[(name, "batch_size", wrong) for name in TRAIN for wrong in (0, -1)],
    *[(name, "learning_rate", wrong) for name in TRAIN for wrong in (0.0, -1e-3)],
    *[(name, "learning_rate", float(w)) for name in TRAIN for w in ("nan", "inf")],
    *[(name, "seed", wrong) for name in TRAIN for wrong in (-1, 1 << 32)],
    *[(name, "steps", wrong) for name in TRAIN[:2] for wrong in (0, -1, True)],
    *[(name, "epochs", wrong) for name in TRAIN[2:] for wrong in (0, -1)],
    *[(name, "weight_decay", wrong) for name in TRAIN[1:3] for wrong in (-0.1, 1e999)],
    *[("finetune_classifier", "label_smoothing", wrong) for wrong in (1.5, 1.0, -0.1)],
    ("finetune_classifier", "label_smoothing", float("nan")),
    ("finetune_classifier", "max_sequence_length", 0),
    ("evaluate_classifier", "batch_size", 0),
    ("train_translator", "average_last", 0),
    ("train_translator", "steps_per_evaluation", 0),
    ("finetune_seq2seq", "tokens_per_batch", -1),
    ("finetune_seq2seq", "scored_texts", -1),
    ("evaluate_seq2seq", "num_beams", 0),
    ("translate", "max_new_tokens", 0),
    ("translate", "batch_size", 0),
    ("pretrain_bert", "max_predictions", 0),
    ("prepare_pretraining_data", "masked_fraction", float("nan")),
    ("prepare_pretraining_data", "masked_fraction", 0.0),
    ("prepare_pretraining_data", "short_sequence_fraction", -0.5),
    ("prepare_pretraining_data", "duplicates", 0),
    ("prepare_pretraining_data", "shards", -1),
    ("prepare_pretraining_data", "processes", 0),
    ("train_tokenizer", "vocabulary_size", -5),
    ("train_tokenizer", "min_frequency", 0),
]


@pytest.mark.parametrize(("name", "argument", "wrong"), WRONG)
def test_a_number_out_of_bounds_is_named_with_what_came(name, argument, wrong):
    with pytest.raises(ValueError, match=rf"^{argument} must be .*") as error:
        recipe(name).main(**{**ARGUMENTS[name], argument: wrong})
    assert str(error.value).endswith(f"Received: {wrong!r}")


def test_numbers_within_their_bounds_pass():
    cli.check_numbers(
        {
            "epochs": 1,
            "batch_size": 1,
            "seed": 0,
            "learning_rate": None,
            "weight_decay": 0.0,
            "label_smoothing": 0.0,
            "masked_fraction": 1.0,
            "text_column": "text",
        }
    )


def run(main, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["recipe", *arguments])
    with pytest.raises(SystemExit) as exit:
        cli.run(main)
    return exit.value.code


def test_the_command_line_answers_with_one_line(monkeypatch, capsys):
    arguments = "--preset a --data b --text-column c --label-column d --batch-size 0"
    main = recipe("evaluate_classifier").main
    assert run(main, monkeypatch, *arguments.split()) == 2
    line = "error: batch_size must be an integer >= 1. Received: 0\n"
    assert capsys.readouterr().err == line


def test_damaged_data_met_by_a_pipeline_is_one_line(monkeypatch, capsys):
    """TensorFlow's threads turn an error of Python into one of theirs."""
    import tensorflow as tf

    from tfzoo.errors import DataError

    def damaged(_):
        raise DataError("The file is damaged.", path="tokens.bin", fix="Remove it.")

    def main():
        load = lambda x: tf.numpy_function(damaged, [x], tf.int64)  # noqa: E731
        next(iter(tf.data.Dataset.range(1).map(load)))

    assert run(main, monkeypatch) == 1
    error = capsys.readouterr().err
    assert re.search("^error: tokens.bin: The file is damaged. Remove it.$", error)
    assert error.count("\n") == 1


def test_other_errors_of_tensorflow_are_not_hidden(monkeypatch):
    import tensorflow as tf

    def main():
        tf.debugging.assert_equal(1, 2)

    monkeypatch.setattr(sys, "argv", ["recipe"])
    with pytest.raises(tf.errors.InvalidArgumentError):
        cli.run(main)
