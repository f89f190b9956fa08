"""What is known of an architecture stands in its family's file and nowhere else."""

import ast
import pathlib

import tfzoo.families
from tfzoo.text.layout import ROLES
from tfzoo.text.tokenizer_classes import CLASSES as CLASSES_OF_FILES

ROOT = pathlib.Path(tfzoo.families.__file__).parents[2]
# The table of what `tfzoo` exports, and the task that is BERT's own.
EXCEPT = {"tfzoo/__init__.py", "tfzoo/tasks/masked_words/pretrainer.py"}
MODEL_TYPES = {"bert", "roberta", "distilbert", "gpt2"}
# What tokenizer files mean by the names of other software's classes.
FORMATS = "tfzoo/text/tokenizer_classes.py"
TOKENIZERS = {name for known in CLASSES_OF_FILES for name in (known, f"{known}Fast")}
CLASSES = {"BertEncoder", "RobertaEncoder", "DistilBertEncoder", "GPTDecoder"}


def known_in(path):
    """Names and strings of a file that are of an architecture."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        for name in (
            getattr(node, "id", None),
            getattr(node, "attr", None),
            getattr(node, "name", None),
        ):
            if name in CLASSES:
                yield name
        words = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
        words = words.split(" ") if isinstance(words, str) else []
        if len(words) == 1 or CLASSES.issuperset(words):
            yield from {*words} & (MODEL_TYPES | CLASSES)


def test_the_names_are_those_of_the_families():
    classes = tfzoo.families.BACKBONES.values()
    assert {c.family.model_type for c in classes} >= MODEL_TYPES
    assert {c.__name__ for c in classes} >= CLASSES


def test_no_code_outside_the_families_names_an_architecture():
    found = {
        str(path.relative_to(ROOT)): sorted({*known_in(path)})
        for path in (ROOT / "tfzoo").rglob("*.py")
        if "families" not in path.parts
    }
    wrong = {path: names for path, names in found.items() if names}
    assert {path: names for path, names in wrong.items() if path not in EXCEPT} == {}
    assert found["tfzoo/__init__.py"] == sorted(CLASSES)  # it is looked for at all


def strings_in(path):
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def layouts_in(path):
    """Calls of `Layout` that say which special tokens stand around texts."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "Layout":
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
            inside = (n for value in values for n in ast.walk(value))
            if any(getattr(n, "value", None) in ROLES for n in inside):
                yield node


def places(found_in):
    """Files outside the families in which a function finds something."""
    paths = (ROOT / "tfzoo").rglob("*.py")
    outside = [path for path in paths if "families" not in path.parts]
    return {str(path.relative_to(ROOT)) for path in outside if [*found_in(path)]}


def test_the_tokenizer_classes_of_files_are_named_in_one_table():
    named = places(lambda path: TOKENIZERS.intersection(strings_in(path)))
    assert named == {FORMATS}


def test_layouts_stand_with_the_families_the_formats_and_what_is_usual():
    tokenizers = ("wordpiece", "byte_bpe")
    usual = {f"tfzoo/text/{name}/tokenizer.py" for name in tokenizers}
    assert places(layouts_in) == {FORMATS, *usual}


def test_recipes_of_tasks_name_none():
    for path in (ROOT / "recipes").glob("*.py"):
        if not any(name in path.stem for name in ("bert", "gpt", "quickstart")):
            assert not [n for n in known_in(path) if n in CLASSES], path
