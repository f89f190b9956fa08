"""Documentation found in every installation: real text without a download.

Source files are parsed, never imported, so that none of their code runs.
"""

import ast
import collections
import importlib.util
import json
import pathlib
import re
import sysconfig
import warnings
import zlib
from typing import NamedTuple

from tfzoo.data.sentences import split_sentences
from tfzoo.errors import DataError
from tfzoo.files import written_beside

_STANDARD_LIBRARY = {
    "concurrency": "asyncio concurrent multiprocessing queue sched selectors signal "
    "socketserver subprocess threading",
    "development": "abc ast bdb cProfile code codeop dis doctest enum functools "
    "importlib inspect pdb pkgutil profile pstats pydoc runpy timeit tokenize trace "
    "traceback tracemalloc types typing unittest warnings",
    "files": "_pyio bz2 csv dbm filecmp fileinput fnmatch genericpath glob gzip io "
    "lzma mimetypes netrc ntpath os pathlib pickle pickletools plistlib posixpath "
    "shelve shutil sqlite3 stat tarfile tempfile zipapp zipfile",
    "internet": "base64 cgi email ftplib html http imaplib ipaddress mailbox nntplib "
    "poplib smtplib socket ssl telnetlib urllib webbrowser wsgiref xml xmlrpc",
}
_AREA_OF = {
    module: area
    for area, names in _STANDARD_LIBRARY.items()
    for module in names.split()
}
_LIBRARIES = {  # label: folders inside the package
    "keras": ["src"],
    "numpy": ["."],
    "tensorflow": [f"python/{name}" for name in ("data", "distribute", "ops")],
}
_LEFT_OUT = frozenset(
    "_api dist-packages distutils ensurepip f2py idlelib kernel_tests legacy lib2to3 "
    "site-packages test testing tests turtledemo".split()
)
_LEAST_CHARACTERS, _MOST_CHARACTERS = 40, 400  # of a description in the task's files

# A line that opens a section or underlines its title: "Args:", "-----", ".. note::".
_SECTION = re.compile(r"\s*(?:[A-Z][\w /-]{2,30}:|[-=~*]{3,}|\.\. .*)\s*")
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_ROLE = re.compile(r":\w+:`~?\.?([^`]*)`")
_MARKUP = re.compile(r"[`*]+")
_NAME = re.compile(
    r"\b(?:keras|np|numpy|python|tensorflow|tf|cpython)\b(?:\.(?=\w))?", re.IGNORECASE
)


class Docstring(NamedTuple):
    """The documentation of one class, function or module.

    Attributes:
        area: A library, or an area of the standard library.
        module: The source file.
        description: The prose before the first section, truncated to 400 characters;
            may be empty.
        sentences: All prose.
    """

    area: str
    module: str
    description: str
    sentences: list[str]


def installed_docs():
    """Docstrings of NumPy, Keras, TensorFlow and much of the standard library.

    The topics of the language reference are included. What would give the area away is
    removed: names of the libraries, markup, code and examples. Descriptions are unique.
    The order is that of the source files.

    Returns:
        List of `Docstring`.

    Raises:
        DataError: the standard library's sources are not installed.
    """
    docs, seen = [], set()
    for area, module, paragraphs in _paragraphs():
        leading, prose = [], []
        before_sections = True
        for paragraph in paragraphs:
            if paragraph is None:
                before_sections = before_sections and not leading
                continue
            text = _cleaned(paragraph)
            if text:
                prose.append(text)
                if before_sections:
                    leading.append(text)
        description = _shortened(" ".join(leading))
        identity = description or " ".join(prose)
        if prose and identity not in seen:
            seen.add(identity)
            sentences = [s for text in prose for s in split_sentences(text)]
            docs.append(Docstring(area, module, description, sentences))
    if not docs:
        raise DataError(
            "The source files of the standard library must be installed.",
            path=sysconfig.get_path("stdlib"),
            fix="Use a Python installation with sources.",
        )
    return docs


def held_out_modules(docs):
    """Every fifth module of each area; docstrings within a module are alike."""
    modules = {}
    for doc in docs:
        modules.setdefault(doc.area, {})[doc.module] = None
    return {m for names in modules.values() for m in list(names)[4::5]}


def write_installed_docs(directory, *, labelled, held_out):
    """Writes text for pretraining, and a task: classify descriptions by area.

    `corpus.txt` has all sentences, one per line, with a blank line between modules;
    `train.jsonl` and `held_out.jsonl` have descriptions as `text` and areas as `label`.
    `held_out.jsonl` is from other modules than the first two files.

    Args:
        directory: Output directory; must not exist yet.
        labelled: Maximum number of training descriptions per area.
        held_out: Maximum number of test descriptions per area.
    """
    docs = installed_docs()
    apart = held_out_modules(docs)
    documents, rows = collections.defaultdict(list), ([], [])
    for doc in docs:
        if doc.module not in apart:
            documents[doc.module] += doc.sentences
    counts = collections.Counter()
    for doc in sorted(docs, key=lambda doc: zlib.crc32(doc.description.encode())):
        side = doc.module in apart
        if len(doc.description) >= _LEAST_CHARACTERS:
            counts[side, doc.area] += 1
            if counts[side, doc.area] <= (held_out if side else labelled):
                rows[side].append({"text": doc.description, "label": doc.area})
    text = "\n\n".join("\n".join(lines) for lines in documents.values())
    with written_beside(directory, directory=True) as beside:
        (beside / "corpus.txt").write_text(text + "\n", encoding="utf-8")
        for name, content in zip(("train", "held_out"), rows, strict=True):
            lines = "".join(json.dumps(row) + "\n" for row in content)
            (beside / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def _paragraphs():
    """(area, module, paragraphs; None where a section begins) of each docstring."""
    standard = pathlib.Path(sysconfig.get_path("stdlib"))
    for topic, text in _topics(standard / "pydoc_data" / "topics.py"):
        for paragraph in _split(text):
            if paragraph is not None:
                yield "language", f"topics/{topic}", [paragraph]
    for path in _source_files(standard):
        module = path.relative_to(standard)
        area = _AREA_OF.get(module.parts[0].removesuffix(".py"))
        for text in _docstrings(path) if area else ():
            yield area, f"stdlib/{module.as_posix()}", _split(text)
    for library, folders in _LIBRARIES.items():
        spec = importlib.util.find_spec(library)
        if spec is None or spec.origin is None:
            continue
        root = pathlib.Path(spec.origin).parent
        for path in (p for folder in folders for p in _source_files(root / folder)):
            module = path.relative_to(root.parent).as_posix()
            for text in _docstrings(path):
                yield library, module, _split(text)


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
    """Yields (name, text) of the language reference, a dict in a source file."""
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Constant):
                    yield key.value, value.value


def _split(text):
    """Yields each paragraph as one line; None where a section begins."""
    for block in re.split(r"\n\s*\n", _FENCED.sub("\n\n", text)):
        lines = []
        for line in block.split("\n"):
            if line.lstrip().startswith((">>>", "...")):
                break
            if _SECTION.fullmatch(line):
                yield from [" ".join(lines)] if lines else []
                lines = []
                yield None
            else:
                lines.append(line.strip())
        yield from [" ".join(lines)] if lines else []


def _cleaned(paragraph):
    """Removes markup and names from prose; empty for code and tables."""
    text = _MARKUP.sub("", _ROLE.sub(r"\1", paragraph))
    text = " ".join(_NAME.sub("", text).split())
    letters = sum(map(str.isalpha, text)) + text.count(" ")
    return text if len(text) >= 20 and letters >= 0.8 * len(text) else ""


def _shortened(text):
    if len(text) <= _MOST_CHARACTERS:
        return text
    return text[:_MOST_CHARACTERS].rpartition(" ")[0]
