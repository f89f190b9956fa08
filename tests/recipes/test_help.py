"""`--help` of every recipe explains each argument of its `main`."""

import inspect
import re
import sys
import typing

import pytest

from helpers import ROOT, recipe
from tfzoo import __main__ as program
from tfzoo import cli

NAMES = sorted({path.stem for path in (ROOT / "recipes").glob("*.py")} - {"predict"})


def explanations(main):
    """Dict of argument -> its explanation: in the docstring or in its annotation."""
    docstring = inspect.getdoc(main)
    section = re.search(r"^Args:\n((?:    .*\n?|\n)+)", docstring, re.M)[1]
    entries = re.split(r"^    (?=\w+: )", section, flags=re.M)[1:]
    own = dict(entry.split(": ", 1) for entry in entries)
    hints = typing.get_type_hints(main, include_extras=True)
    shared = {
        n: h.__metadata__[0].help
        for n, h in hints.items()
        if hasattr(h, "__metadata__")
    }
    assert not own.keys() & shared.keys()
    return own | shared


def letters(text):
    """The text without white space and frames, which depend on the terminal's width."""
    return re.sub(r"[\s\u2500-\u257f]+", "", text)


def help_of(call, name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as exit:
        call()
    assert exit.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_the_help_explains_every_argument(name, monkeypatch, capsys):
    main = recipe(name).main
    text = help_of(lambda: cli.run(main), name, monkeypatch, capsys)
    arguments = {*inspect.signature(main).parameters}
    assert arguments and explanations(main).keys() == arguments
    for argument, explanation in explanations(main).items():
        flag = f"--{argument.replace('_', '-')}"
        assert re.search(rf"{flag}\b", text), flag
        assert letters(explanation) in letters(text), argument


def test_the_help_of_predict_explains_every_argument(monkeypatch, capsys):
    predict = recipe("predict")
    text = help_of(predict.arguments, "predict", monkeypatch, capsys)
    arguments = {*inspect.signature(predict.main).parameters}
    assert explanations(predict.main).keys() == arguments
    for argument in arguments:
        flag = "json" if argument == "as_json" else argument.replace("_", "-")
        assert re.search(rf"^  --{flag}\b.*\s{{2,}}\w", text, re.M), flag


@pytest.mark.parametrize("name", [*NAMES, "predict"])
def test_the_program_has_the_same_help(name, monkeypatch, capsys):
    module = recipe(name)
    words = [name.replace("_", "-"), "--help"]
    monkeypatch.setattr(sys, "argv", ["tfzoo", *words])
    with pytest.raises(SystemExit) as exit:
        program.main()
    assert exit.value.code == 0
    text = capsys.readouterr().out
    assert letters(f"usage: tfzoo {words[0]}") in letters(text)
    for argument in inspect.signature(module.main).parameters:
        flag = "json" if argument == "as_json" else argument.replace("_", "-")
        assert re.search(rf"--{flag}\b", text), flag
