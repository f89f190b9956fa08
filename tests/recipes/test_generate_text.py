"""The recipe runs as a command, and says in one line what is wrong."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tfzoo.models import GPTDecoder
from tfzoo.tasks import CausalLM
from tfzoo.text import ByteBPETokenizer

RECIPE = pathlib.Path(__file__).parents[2] / "recipes" / "generate_text.py"


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    tokenizer = ByteBPETokenizer.train(
        ["the cat sat on the mat"] * 3, vocabulary_size=270, progress=False
    )
    decoder = GPTDecoder(tokenizer.vocabulary_size, 1, 2, 8, 16, max_sequence_length=64)
    rng = np.random.default_rng(0)
    for v in decoder.trainable_variables:
        v.assign(rng.normal(size=v.shape) * 0.3 + ("gamma" in v.path))
    directory = tmp_path_factory.mktemp("gpt") / "preset"
    CausalLM(decoder, tokenizer).save_to_preset(directory)
    return directory


def command(*arguments):
    return subprocess.run(
        [sys.executable, RECIPE, *map(str, arguments)], capture_output=True
    )


def test_it_prints_the_prompt_and_what_the_model_makes_of_it(preset):
    flags = ["--prompt", "the cat", "--max-new-tokens", 12, "--no-jit-compile"]
    done = command("--preset", preset, *flags, "--temperature", 0)
    assert done.returncode == 0, done.stderr
    model = CausalLM.from_preset(preset)
    text = model.generate("the cat", max_new_tokens=12, return_full_text=True)
    assert done.stdout.decode() == text + "\n"


def test_a_preset_that_is_not_there_is_one_line(tmp_path):
    done = command("--preset", tmp_path / "absent", "--prompt", "x")
    assert done.returncode == 1
    message = done.stderr.decode().strip().splitlines()[-1]
    assert message.startswith("error: ") and "absent" in message
    assert b"Traceback" not in done.stderr
