"""The recipe runs as a command, resumes, and reports errors."""

import json
import pathlib
import subprocess
import sys

import pytest

import helpers
from tfzoo.data.pretraining import open_pretraining_data
from tfzoo.text import WordPieceTokenizer

RECIPE = pathlib.Path(__file__).parents[2] / "recipes" / "prepare_pretraining_data.py"
TEXT = "\n\n".join(
    "\n".join(f"document {d} has a sentence number {s}" for s in range(9))
    for d in range(20)
)


@pytest.fixture(scope="module")
def recipe():
    return helpers.recipe("prepare_pretraining_data")


@pytest.fixture
def arguments(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "tokenizer").mkdir()
    tokenizer = WordPieceTokenizer.train(
        TEXT.split("\n"), vocabulary_size=100, progress=False
    )
    tokenizer.save_to_preset(tmp_path / "tokenizer")
    return {
        "input": (tmp_path / "a.txt",),
        "tokenizer": tmp_path / "tokenizer",
        "output": tmp_path / "out",
        "max_sequence_length": 24,
        "max_predictions": 4,
        "duplicates": 2,
        "shards": 2,
    }


def command(arguments, *more):
    flags = []
    for name, value in arguments.items():
        values = value if isinstance(value, tuple) else (value,)
        flags += ["--" + name.replace("_", "-"), *map(str, values)]
    return subprocess.run(
        [sys.executable, RECIPE, *flags, *more], capture_output=True, text=True
    )


def test_it_writes_examples_and_metrics_and_prints_where(recipe, arguments, capsys):
    recipe.main(**arguments, processes=1)
    printed = capsys.readouterr()
    assert str(arguments["output"]) in printed.out
    assert printed.err == "", "bars are for terminals"
    metrics = json.loads((arguments["output"] / "metrics.json").read_text())
    assert set(metrics) == {
        "examples",
        "tokens",
        "random_next_share",
        "masked_share",
        "seconds",
        "examples_per_second",
    }
    tokenizer = WordPieceTokenizer.from_preset(arguments["tokenizer"])
    source = open_pretraining_data([arguments["output"]], tokenizer)
    assert source.num_examples == metrics["examples"] > 20
    recipe.main(**arguments, processes=1)
    assert "Already finished" in capsys.readouterr().out
    assert json.loads((arguments["output"] / "metrics.json").read_text()) == metrics


@pytest.mark.slow
def test_as_a_command_it_works_finishes_and_refuses(arguments):
    done = command(arguments, "--processes", "2")
    assert done.returncode == 0, done.stderr
    for greeting in ("oneDNN", "cuda", "absl"):  # of TensorFlow, also in the workers
        assert greeting not in done.stderr
    assert "Wrote " in done.stdout and "examples/s" in done.stdout
    refused = command(arguments, "--processes", "1", "--seed", "1")
    assert refused.returncode == 1
    assert refused.stderr.strip().split("\n")[-1] == (
        f"error: {arguments['output']}: The output directory was begun with a "
        "different seed: 0, now 1. Choose another directory, or repeat the original "
        "command to continue."
    )


def test_the_flags_are_those_of_the_documentation(recipe):
    found = command({}, "--help").stdout
    for flag in (
        "--input --tokenizer --output --max-sequence-length --max-predictions "
        "--masked-fraction --short-sequence-fraction --duplicates --shards --processes "
        "--whole-word --sentences --documents --text-column --seed"
    ).split():
        assert flag in found
