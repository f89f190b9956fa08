"""The documentation text that every installation contains."""

import ast
import collections
import pathlib
import re
import subprocess
import sys

import pytest

from tfzoo.data import installed_docs as module
from tfzoo.data.installed_docs import held_out_modules, installed_docs
from tfzoo.errors import DataError

AREAS = {
    "concurrency",
    "development",
    "files",
    "internet",
    "keras",
    "language",
    "numpy",
    "tensorflow",
}


@pytest.fixture(scope="module")
def docs():
    """The text of a few folders; all of them take seconds to read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AREA_OF", {"json": "internet", "queue": "concurrency"})
        patch.setattr(module, "_LIBRARIES", {"numpy": ["lib"]})
        return installed_docs()


@pytest.mark.slow
def test_every_area_has_training_and_test_text():
    docs = installed_docs()
    held_out = held_out_modules(docs)
    described = [d for d in docs if len(d.description) >= 40]
    sides = collections.Counter((d.area, d.module in held_out) for d in described)
    for area in AREAS:
        assert sides[area, False] >= 200
        assert sides[area, True] >= 50
    assert {d.area for d in docs} == AREAS


def test_each_source_gives_docstrings_of_its_area(docs):
    areas = {"concurrency", "internet", "language", "numpy"}
    assert {d.area for d in docs} == areas
    assert {d.module for d in docs if d.area == "concurrency"} == {"stdlib/queue.py"}
    assert "topics/assert" in {d.module for d in docs if d.area == "language"}


def test_descriptions_are_unique(docs):
    described = [d.description for d in docs if d.description]
    assert len(set(described)) == len(described)


def test_library_names_are_removed(docs):
    names = re.compile(r"\b(keras|numpy|np|tensorflow|tf|python)\b|>>>|`", re.I)
    for doc in docs:
        for text in (doc.description, *doc.sentences):
            assert not names.search(text), (doc.module, text)


def test_a_description_is_the_text_before_the_first_section(docs):
    mean = next(
        d
        for d in docs
        if d.module == "numpy/lib/_nanfunctions_impl.py"
        and "arithmetic mean" in d.description
    )
    assert mean.description.startswith(
        "Compute the arithmetic mean along the specified axis, ignoring NaNs."
    )
    assert "Array containing numbers whose mean is desired" not in mean.description
    assert any("whose mean is desired" in sentence for sentence in mean.sentences)


def test_a_docstring_is_split_where_its_sections_begin():
    text = ast.get_docstring(
        ast.parse(
            '''
def f():
    """Adds two numbers,
    and returns the sum.

    More prose.

    Args:
        a: The first number.

    ```python
    secret()
    ```

    >>> f(1, 2)
    3

    Last words.
    """
'''
        ).body[0]
    )
    assert list(module._split(text)) == [
        "Adds two numbers, and returns the sum.",
        "More prose.",
        None,
        "a: The first number.",
        "Last words.",
    ]


def test_code_and_markup_are_removed():
    clean = module._cleaned
    assert (
        clean("Same as `tf.nn.relu` of **NumPy** or :func:`~os.path.join` arrays.")
        == "Same as nn.relu of or os.path.join arrays."
    )
    assert clean("x = [[1, 2], [3, 4]] + {5: 6, 7: 8}") == ""
    assert clean("Too short.") == ""


def test_the_files_of_a_module_are_held_out_together():
    docs = [module.Docstring("a", f"m{i // 3}.py", str(i), []) for i in range(3 * 10)]
    assert held_out_modules(docs) == {"m4.py", "m9.py"}


def test_reading_the_documentation_imports_nothing():
    program = (
        "import inspect, sys\n"
        "from tfzoo.data.installed_docs import _docstrings, _source_files, pathlib\n"
        "import sysconfig, json\n"
        "before = set(sys.modules)\n"
        "paths = list(_source_files(pathlib.Path(json.__file__).parent))\n"
        "assert sum(len(list(_docstrings(path))) for path in paths) > 10\n"
        "assert set(sys.modules) == before, set(sys.modules) - before\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_installation_without_sources_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(module.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(module, "_LIBRARIES", {"no_such_library_here": ["."]})
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}: The source files")):
        installed_docs()


def test_a_source_that_does_not_parse_is_skipped(tmp_path):
    (tmp_path / "template.py").write_text("def {name}(): pass", encoding="utf-8")
    assert list(module._docstrings(pathlib.Path(tmp_path / "template.py"))) == []
