"""What new users rely on: names, commands, documents."""

import ast
import importlib
import importlib.metadata
import os
import pathlib
import re
import subprocess

import pytest

import tfzoo
from helpers import commands_of

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = (
    "pip install -e . && python recipes/quickstart.py",
    'pip install -e ".[test]" && pytest',
)


@pytest.mark.parametrize("name", tfzoo.__all__)
def test_every_public_name_exists_and_is_documented(name):
    assert getattr(tfzoo, name).__doc__
    assert name in dir(tfzoo)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'TextClasifier'"):
        _ = tfzoo.TextClasifier


def test_the_two_commands_are_in_the_readme_and_are_tested():
    for command in COMMANDS:
        assert command in README.splitlines()
    assert COMMANDS[1] in (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_check_script_is_valid_bash():
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)


def test_the_installed_version_is_that_of_setup_cfg():
    text = (ROOT / "setup.cfg").read_text()
    version = re.search(r"^version = (.+)$", text, re.MULTILINE)[1]
    assert importlib.metadata.version("tfzoo") == version


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_files_that_a_document_names_exist(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    named = re.findall(r"(?:recipes|tests|benchmarks|tfzoo)/[\w/]+\.py", text)
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    for path in {*named, *linked}:
        assert (ROOT / path).exists(), path


def test_every_recipe_is_in_the_readme():
    for recipe in (ROOT / "recipes").glob("*.py"):
        command = recipe.stem.replace("_", "-")
        assert f"`{recipe.name}`" in README or f"`{command}`" in README


def test_every_command_has_a_recipe():
    recipes = {path.name for path in (ROOT / "recipes").glob("*.py")}
    commands = {path.name for path in (ROOT / "tfzoo" / "commands").glob("*.py")}
    assert recipes == commands - {"__init__.py"}


def test_every_recipe_shows_its_command_first():
    for recipe in (ROOT / "recipes").glob("*.py"):
        doc = ast.get_docstring(ast.parse(recipe.read_text(encoding="utf-8")))
        assert f"python recipes/{recipe.name}" in doc


def test_python_in_the_readme_parses_and_its_names_exist():
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert node.value.id != "tfzoo" or hasattr(tfzoo, node.attr)


def test_options_in_the_readme_are_arguments_of_the_command():
    commands = [command for block in commands_of(README) for command in block]
    assert len(commands) > 6
    for name, *words in commands:
        tree = ast.parse((ROOT / "tfzoo" / "commands" / f"{name}.py").read_text())
        main = next(n for n in tree.body if getattr(n, "name", None) == "main")
        known = {arg.arg for arg in main.args.args + main.args.kwonlyargs}
        for word in words:
            option = word.removeprefix("--")
            if option != word:
                assert option.replace("-", "_") in known, (name, word)


def test_tests_that_need_transformers_or_torch_carry_the_parity_mark():
    for path in (ROOT / "tests").rglob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in (n for n in tree.body if isinstance(n, ast.FunctionDef)):
            body = "\n".join(map(ast.unparse, function.body))
            marks = "\n".join(map(ast.unparse, function.decorator_list))
            if "pytest.fixture" in marks:  # the tests that use it carry the mark
                continue
            if re.search(r"^[^#]*importorskip\(.(transformers|torch).\)", body, re.M):
                assert "pytest.mark.parity" in marks, (path, function.name)


def test_the_program_is_an_entry_point_that_exists():
    text = (ROOT / "setup.cfg").read_text()
    module, function = re.search(r"^ +tfzoo = ([\w.]+):(\w+)$", text, re.M).groups()
    assert callable(getattr(importlib.import_module(module), function))
