"""The documentation text that every installation contains."""

import ast
import json
import pathlib
import re
import subprocess
import sys

import numpy
import pytest

from tfzoo.data import installed_docs as module
from tfzoo.data.installed_docs import installed_docs
from tfzoo.errors import DataError


@pytest.fixture(scope="module")
def docs():
    """The text of a few folders; all of them take seconds to read."""
    folders = [
        pathlib.Path(json.__file__).parent,
        pathlib.Path(numpy.lib.__file__).parent,
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_folders", lambda: folders)
        return installed_docs()


@pytest.mark.slow
def test_there_is_text_enough_to_learn_from():
    documents = installed_docs()
    assert len(documents) >= 500
    assert sum(len(s) for sentences in documents for s in sentences) >= 3_000_000


def test_topics_the_standard_library_and_libraries_give_documents(docs):
    def document_with(start):
        return next(d for d in docs if any(s.startswith(start) for s in d))

    topic = document_with("Assert statements are a convenient way")
    library = document_with("Compute the arithmetic mean along the specified axis")
    standard = document_with("JSON (JavaScript Object Notation)")
    assert topic is not library is not standard
    assert any("whose mean is desired" in sentence for sentence in library)


def test_no_sentence_is_empty_or_has_code_or_markup(docs):
    for sentence in (s for sentences in docs for s in sentences):
        assert sentence.strip() and not re.search(r">>>|`|\n", sentence), sentence


def test_a_paragraph_that_two_sources_share_is_taken_once(monkeypatch):
    texts = [["A paragraph that is in both.", "Only here, in the first."]]
    texts += [["A paragraph that is in both."], ["Only here, in the third."]]
    monkeypatch.setattr(module, "_sources", lambda: texts)
    assert installed_docs() == [texts[0], texts[2]]


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
    assert [paragraph for paragraph in module._paragraphs(text) if paragraph] == [
        "Adds two numbers, and returns the sum.",
        "More prose.",
        "a: The first number.",
        "Last words.",
    ]


def test_code_and_markup_are_removed():
    clean = module._cleaned
    assert (
        clean("Same as `tf.nn.relu` of **NumPy** or :func:`~os.path.join` arrays.")
        == "Same as tf.nn.relu of NumPy or os.path.join arrays."
    )
    assert clean("x = [[1, 2], [3, 4]] + {5: 6, 7: 8}") == ""
    assert clean("Too short.") == ""


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
    monkeypatch.setattr(module, "_LIBRARIES", {"no_such_library_here": "."})
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}: The source files")):
        installed_docs()


def test_a_source_that_does_not_parse_is_skipped(tmp_path):
    (tmp_path / "template.py").write_text("def {name}(): pass", encoding="utf-8")
    assert list(module._docstrings(pathlib.Path(tmp_path / "template.py"))) == []
