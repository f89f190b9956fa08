"""Recipes that signals end: how soon, with which code, and what the next one makes."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from helpers import ROOT
from tfzoo.text import ByteBPETokenizer, WordPieceTokenizer

WORDS = "the cat dog sat ran on under mat tree good bad film".split()
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
RECIPES = {
    "pretrain_bert": "--input corpus.txt --tokenizer words --preset bert_tiny "
    "--steps 520 --validation corpus.txt --batch-size 4 --max-sequence-length 16 "
    "--max-predictions 3",
    "pretrain_gpt": "--input corpus.txt --tokenizer bytes --preset gpt_tiny "
    "--steps 520 --validation corpus.txt --batch-size 2 --max-sequence-length 16",
    "finetune_classifier": "--train table.tsv --preset bert_tiny --tokenizer words "
    "--text-column text --label-column label --epochs 6 --batch-size 4 "
    "--max-sequence-length 16",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A corpus, a table and two tokenizers."""
    place = tmp_path_factory.mktemp("recipes")
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(WORDS, 6)) for _ in range(600)]
    paragraphs = ["\n".join(lines[i : i + 6]) for i in range(0, len(lines), 6)]
    (place / "corpus.txt").write_text("\n\n".join(paragraphs))
    rows = [f"{line}\t{'good' in line}" for line in lines]
    (place / "table.tsv").write_text("text\tlabel\n" + "\n".join(rows) + "\n")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizers = {
        "words": WordPieceTokenizer([*special, *WORDS]),
        "bytes": ByteBPETokenizer.train(lines, vocabulary_size=300, progress=False),
    }
    for name, tokenizer in tokenizers.items():
        (place / name).mkdir()
        tokenizer.save_to_preset(place / name)
    return place


def start(place, name, output):
    command = [sys.executable, ROOT / "recipes" / f"{name}.py", *RECIPES[name].split()]
    return subprocess.Popen(
        [*command, "--output", output],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heard,
    )


def heard():
    """Has the signals handled as in a terminal, whatever started the tests."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def trains(output, process):
    """Waits until the process has made steps, and so has traced one; whether it has."""
    begun = None
    while process.poll() is None:
        for log in output.glob(f"logs/training/*.{process.pid}.*"):
            if begun is None:
                time.sleep(0.5)  # steps of the processes before are written at once
                begun = log.stat().st_size
            elif log.stat().st_size > begun:
                return True
        time.sleep(0.02)
    return False


def ended_by_signals(place, name, output, *, each, seed=0):
    """Ends a run by each signal that often, and finishes it; returns the seconds.

    A run that is finished before all signals were sent begins anew.
    """
    source, seconds, rounds = random.Random(seed), [], 0
    waiting = itertools.cycle(SIGNALS)
    while len(seconds) < each * len(SIGNALS):
        number = next(waiting)
        target = output / str(rounds)
        process = start(place, name, target)
        if not trains(target, process):
            completed(process)
            rounds += 1
            continue
        time.sleep(source.uniform(0, 4))
        begin = time.monotonic()
        process.send_signal(number)
        _, printed = process.communicate()
        if json.loads((target / "run.json").read_text())["finished"]:  # just before
            rounds += 1
            continue
        seconds.append(time.monotonic() - begin)
        assert process.returncode == SIGNALS[number], printed
        assert "is kept, and the same command continues there" in printed, printed
    completed(start(place, name, output / str(rounds)))
    return seconds


def completed(process):
    """Waits for a process that must succeed."""
    _, printed = process.communicate()
    assert process.returncode == 0, printed


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_signals_end_a_recipe_soon_and_change_no_bit(place, tmp_path, name):
    seconds = ended_by_signals(place, name, tmp_path / "ended", each=1)
    assert max(seconds) <= 10
    completed(start(place, name, tmp_path / "whole"))
    for output in (tmp_path / "ended").iterdir():
        for file in ("model.safetensors", "metrics.json"):
            assert (output / file).read_bytes() == (
                tmp_path / "whole" / file
            ).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_before_the_training_ends_a_recipe_with_its_code(
    place, tmp_path, number
):
    process = start(place, "pretrain_bert", tmp_path / "run")
    while not (tmp_path / "run" / "run.json").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    _, printed = process.communicate()
    assert process.returncode == SIGNALS[number], printed
    assert "Interrupted" in printed and "Traceback" not in printed
