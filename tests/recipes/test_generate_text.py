"""The recipe runs as a command and reports errors in one line."""

import sys

import pytest

from helpers import random_weights, recipe
from tfzoo.families import GPTDecoder
from tfzoo.tasks import CausalLM
from tfzoo.text import ByteBPETokenizer


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    tokenizer = ByteBPETokenizer.train(
        ["the cat sat on the mat"] * 3, vocabulary_size=270, progress=False
    )
    decoder = GPTDecoder(tokenizer.vocabulary_size, 1, 2, 8, 16, max_sequence_length=64)
    random_weights(decoder)
    directory = tmp_path_factory.mktemp("gpt") / "preset"
    CausalLM(decoder, tokenizer).save_to_preset(directory)
    return directory


def test_it_prints_the_prompt_and_its_continuation_whatever_the_locale(preset, command):
    prompt = "the caf\xe9".encode().decode("ascii", "surrogateescape")
    flags = ["--prompt", prompt, "--max-new-tokens", 12, "--no-jit-compile"]
    flags += ["--temperature", 0]
    done = command("generate_text", "--preset", preset, *flags)
    assert done.returncode == 0, done.stderr
    model = CausalLM.from_preset(preset)
    options = dict(max_new_tokens=12, return_full_text=True, jit_compile=False)
    text = model.generate("the caf\xe9", **options)
    assert done.stdout == text + "\n"


def test_a_terminal_gets_no_control_characters(preset, monkeypatch, capsys):
    prompt = "\x1b[2J the\ncat"
    options = dict(prompt=prompt, max_new_tokens=1, temperature=0, jit_compile=False)
    recipe("generate_text").main(str(preset), **options)
    assert capsys.readouterr().out.startswith(prompt)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    recipe("generate_text").main(str(preset), **options)
    assert capsys.readouterr().out.startswith("\\x1b[2J the\ncat")


def test_a_missing_preset_is_one_line(tmp_path, command):
    absent = tmp_path / "absent"
    done = command("generate_text", "--preset", absent, "--prompt", "x")
    assert done.returncode == 1
    message = done.stderr.strip().splitlines()[-1]
    assert message.startswith("error: ") and "absent" in message
    assert "Traceback" not in done.stderr
