"""The program `tfzoo`, and how every command ends."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from helpers import ROOT, recipe
from tfzoo import __main__ as program
from tfzoo import cli

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}


@pytest.fixture
def tfzoo(monkeypatch, capsys):
    """A function of words that runs `tfzoo` here; returns exit code, stdout, stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tfzoo", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            program.main()
        except SystemExit as e:
            code = e.code or 0
        return code, *capsys.readouterr()

    return run


def started(*command, environment=(), **options):
    """A finished process of this Python in which `tfzoo` can be imported."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env={**os.environ, **dict(environment)},
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


LISTING = """
import sys
from tfzoo.__main__ import main
sys.argv = ["tfzoo", "--help"]
try:
    main()
except SystemExit as e:
    print(e.code, {"tensorflow", "keras"}.isdisjoint(sys.modules))
"""


def test_the_help_lists_every_command_without_importing_tensorflow():
    done = started("-c", LISTING, stdout=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    assert last == "0 True"
    files = (ROOT / "recipes").glob("*.py")
    for name in (path.stem for path in files):
        first = recipe(name).__doc__.splitlines()[0]
        line = next(x for x in lines if x.split()[:1] == [name.replace("_", "-")])
        assert line.split(None, 1)[1] == first


def test_an_unknown_command_names_close_ones(tfzoo):
    code, out, error = tfzoo("pretrain-bird", "--steps", 3)
    assert (code, out) == (2, "")
    assert error.startswith("error: A command must be one of those")
    assert error.endswith(
        "Received: 'pretrain-bird'. Did you mean pretrain-bert or pretrain-gpt?\n"
    )
    assert "Did you mean" not in tfzoo("xyz")[2]


def test_without_a_command_the_help_is_an_error(tfzoo):
    code, out, error = tfzoo()
    assert (code, out) == (2, "")
    assert error == program.usage()


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("a cat sat on a mat\n" * 3)
    return path


def training(text, output):
    return f"train-tokenizer --input {text} --vocabulary-size 40 --output {output}"


def test_commands_separated_by_then_run_one_after_the_other(tfzoo, text, tmp_path):
    one, other = training(text, tmp_path / "a"), training(text, tmp_path / "b")
    code, out, error = tfzoo(*one.split(), "--then", *other.split())
    assert code == 0, error
    assert out.index(str(tmp_path / "a")) < out.index(str(tmp_path / "b"))
    assert (tmp_path / "b" / "vocab.txt").exists()


def test_the_first_command_that_fails_ends_it_with_its_exit_code(tfzoo, text, tmp_path):
    absent = training(tmp_path / "absent.txt", tmp_path / "a")
    other = training(text, tmp_path / "b")
    code, _, error = tfzoo(*absent.split(), "--then", *other.split())
    assert code == 1
    assert "absent.txt: The file does not exist." in error.splitlines()[-1]
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["trian-tokenizer"], "Did you mean train-tokenizer"),
        (["train-tokenizer", "--sise", "3"], "--sise"),
        ([], "Received: ''"),
    ],
)
def test_no_command_runs_if_the_arguments_of_one_are_wrong(
    tfzoo, text, tmp_path, wrong, message
):
    code, out, error = tfzoo(*training(text, tmp_path / "a").split(), "--then", *wrong)
    assert code == 2
    assert message in out + error
    assert not (tmp_path / "a").exists()


def test_an_option_of_predict_has_its_own_error(tfzoo, tmp_path):
    code, _, error = tfzoo("predict", "--model", tmp_path / "absent", "--text", "a")
    assert code == 1
    assert error == f"error: {tmp_path / 'absent'}: The path must be a directory.\n"
    code, _, error = tfzoo("predict")
    assert code == 2
    assert error.startswith("usage: tfzoo predict ")


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "tfzoo", "--help"],
        ["-m", "tfzoo", "train-tokenizer", "--help"],
        ["recipes/train_tokenizer.py", "--help"],
        ["recipes/predict.py", "--help"],
    ],
    ids=" ".join,
)
def test_a_closed_pipe_ends_it_without_a_word(command):
    reading, writing = os.pipe()
    os.close(reading)
    done = started(*command, stdout=writing, environment={"PYTHONPATH": str(ROOT)})
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode in (0, 141)


def test_a_full_disk_under_the_output_is_one_line():
    with open("/dev/full", "w") as full:
        done = started("-m", "tfzoo", "--help", stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith("error: The output cannot be written: ")
    assert done.stderr.count("\n") == 1


def test_streams_that_the_shell_closed_are_no_error(tmp_path):
    (tmp_path / "text.txt").write_text("a cat sat on a mat\n" * 9)
    command = training(tmp_path / "text.txt", tmp_path / "words")
    done = subprocess.run(
        f"exec {sys.executable} -m tfzoo {command} >&- 2>&-", shell=True, cwd=ROOT
    )
    assert done.returncode == 0
    assert (tmp_path / "words" / "vocab.txt").exists()


def test_a_pipe_that_breaks_elsewhere_is_an_error():
    with pytest.raises(BrokenPipeError), cli.endings():
        raise BrokenPipeError


ALL_HELPS = """
import sys
from tfzoo import __main__ as program
for name in program.names():
    sys.argv = ["tfzoo", name, "--help"]
    try:
        program.main()
    except SystemExit as e:
        if e.code:
            raise
print("caf\\xe9")
"""


def test_an_ascii_terminal_gets_the_help_of_every_command_and_escapes():
    done = started("-c", ALL_HELPS, stdout=subprocess.PIPE, environment=ASCII)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert done.stdout.endswith("\ncaf\\xe9\n")
    assert "\\u" not in done.stdout


def test_a_file_name_that_is_not_utf_8_is_printed_with_an_escape(tfzoo, tmp_path):
    name = os.fsdecode(b"caf\xe9.txt")
    code, out, error = tfzoo(*training(tmp_path / name, tmp_path / "a").split())
    assert code == 1
    assert r"caf\udce9.txt: The file does not exist." in error
    (tmp_path / name).write_text("a cat sat on a mat\n")
    output = tmp_path / os.fsdecode(b"tok\xe9")
    code, out, error = tfzoo(*training(tmp_path / name, output).split())
    assert code == 0, error
    assert r"tok\udce9" in out
    assert (output / "vocab.txt").exists()


def test_json_is_ascii_where_the_terminal_is_and_valid_everywhere(monkeypatch):
    predict = recipe("predict")
    answer = {"label": "sp\u00e4m \U0001f600"}
    for encoding in ("ascii", "utf-8"):
        stream = type("Stream", (), {"encoding": encoding})()
        monkeypatch.setattr(sys, "stdout", stream)
        line = predict.json_line(answer)
        assert json.loads(line) == answer
        assert line.isascii() == (encoding == "ascii")


def test_a_tilde_is_the_home_directory_in_every_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    home = pathlib.Path("/home/ada")

    def main(output: pathlib.Path, input: tuple[pathlib.Path, ...], prompt: str = ""):
        """A command.

        Args:
            output: A path.
            input: Paths.
            prompt: Not a path.
        """

    words = ["--output=~/a", "--input", "~/b", "c~", "--prompt", "~/d"]
    assert cli.parsed(main, words) == {
        "output": home / "a",
        "input": (home / "b", pathlib.Path("c~")),
        "prompt": "~/d",
    }
    with pytest.raises(ValueError, match="home directory of a user.*~nobody-here/a"):
        cli.parsed(main, ["--output=~nobody-here/a", "--input", "b"])


def test_the_version_is_told(tfzoo, monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", {"tfzoo": "1.2.3"}.get)
    assert tfzoo("--version")[:2] == (0, "tfzoo 1.2.3\n")


def test_a_command_may_have_the_name_of_its_recipe(tfzoo, text, tmp_path):
    words = training(text, tmp_path / "a").split()
    words[0] = words[0].replace("-", "_")
    assert tfzoo(*words)[0] == 0
    assert (tmp_path / "a" / "vocab.txt").exists()
