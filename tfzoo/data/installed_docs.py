"""Documentation found in every installation: real text without a download.

Source files are parsed, never imported, so that none of their code runs.
"""

import ast
import importlib.util
import pathlib
import re
import sysconfig
import warnings

from tfzoo.data.sentences import split_sentences
from tfzoo.errors import DataError

_LIBRARIES = {  # installed with tfzoo: the folder inside the package
    "keras": "src",
    "numpy": ".",
    "tensorflow": "python",
    "matplotlib": ".",
    "tensorflow_datasets": ".",
    "huggingface_hub": ".",
}
_LEFT_OUT = frozenset(
    "_api dist-packages distutils ensurepip f2py idlelib kernel_tests legacy lib2to3 "
    "site-packages test testing tests turtledemo".split()
)

# A line that opens a section or underlines its title: "Args:", "-----", ".. note::".
_SECTION = re.compile(r"\s*(?:[A-Z][\w /-]{2,30}:|[-=~*]{3,}|\.\. .*)\s*")
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_ROLE = re.compile(r":\w+:`~?\.?([^`]*)`")
_MARKUP = re.compile(r"[`*]+")


def installed_docs():
    """Docstrings of Python's standard library and of libraries that tfzoo needs.

    The topics of the language reference are included. Markup, code and examples are
    removed. No paragraph occurs twice. The order is that of the source files.

    Returns:
        List of documents, one for each topic and source file, which are lists of
        sentences.

    Raises:
        DataError: the standard library's sources are not installed.
    """
    documents, seen = [], set()
    for texts in _sources():
        sentences = []
        for paragraph in (p for text in texts for p in _paragraphs(text)):
            prose = _cleaned(paragraph)
            if prose and prose not in seen:
                seen.add(prose)
                sentences += split_sentences(prose)
        if sentences:
            documents.append(sentences)
    if not documents:
        raise DataError(
            "The source files of the standard library must be installed.",
            path=sysconfig.get_path("stdlib"),
            fix="Use a Python installation with sources.",
        )
    return documents


def _sources():
    """Yields the texts of each topic and source file."""
    standard = pathlib.Path(sysconfig.get_path("stdlib"))
    for text in _topics(standard / "pydoc_data" / "topics.py"):
        yield [text]
    for folder in _folders():
        yield from map(_docstrings, _source_files(folder))


def _folders():
    """Yields the folders of the standard library and of the other libraries."""
    yield pathlib.Path(sysconfig.get_path("stdlib"))
    for library, folder in _LIBRARIES.items():
        spec = importlib.util.find_spec(library)
        if spec is not None and spec.origin is not None:
            yield pathlib.Path(spec.origin).parent / folder


def _source_files(root):
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        left_out = path.name.startswith("gen_") or path.name.endswith("_test.py")
        if _LEFT_OUT.isdisjoint(parts) and not left_out:
            yield path


def _parsed(path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in other people's strings
            return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ast.Module([], [])  # a template, or code for another Python version


def _docstrings(path):
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    waiting = [_parsed(path)]
    while waiting:  # statements only, a small part of what `ast.walk` visits
        node = waiting.pop()
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield text
        below = [
            child
            for field in ("body", "cases", "handlers", "orelse", "finalbody")
            for child in getattr(node, field, ())
        ]
        waiting += reversed(below)


def _topics(path):
    """Yields the texts of the language reference, a dict in a source file."""
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Dict):
            yield from (v.value for v in node.values if isinstance(v, ast.Constant))


def _paragraphs(text):
    """Yields each paragraph as one line; sections begin new ones."""
    for block in re.split(r"\n\s*\n", _FENCED.sub("\n\n", text)):
        lines = []
        for line in block.split("\n"):
            if line.lstrip().startswith((">>>", "...")):
                break
            if _SECTION.fullmatch(line):
                yield " ".join(lines)
                lines = []
            else:
                lines.append(line.strip())
        yield " ".join(lines)


def _cleaned(paragraph):
    """Removes markup from prose; empty for code and tables."""
    text = " ".join(_MARKUP.sub("", _ROLE.sub(r"\1", paragraph)).split())
    letters = sum(map(str.isalpha, text)) + text.count(" ")
    return text if len(text) >= 20 and letters >= 0.8 * len(text) else ""
