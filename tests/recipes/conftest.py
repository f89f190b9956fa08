"""Runs a recipe as a command without the seconds that a new process takes."""

import io
import runpy
import sys
import types

import pytest

from helpers import ROOT


@pytest.fixture
def command(monkeypatch, capsys):
    """A function equivalent to `python recipes/NAME.py ...`.

    It returns `returncode`, `stdout` and `stderr`.
    """

    def run(name, *arguments, input=b""):
        path = str(ROOT / "recipes" / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [path, *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(input)))
        capsys.readouterr()
        code = 0
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as e:
            code = e.code or 0
        out, err = capsys.readouterr()
        return types.SimpleNamespace(returncode=code, stdout=out, stderr=err)

    return run
