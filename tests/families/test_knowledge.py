"""What is known of an architecture stands in its family's file and nowhere else."""

import ast
import pathlib

import tfzoo.families

ROOT = pathlib.Path(tfzoo.families.__file__).parents[2]
# The table of what `tfzoo` exports, and the task that is BERT's own.
EXCEPT = {"tfzoo/__init__.py", "tfzoo/tasks/masked_words/pretrainer.py"}
MODEL_TYPES = {"bert", "roberta", "distilbert", "gpt2"}
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


def test_recipes_of_tasks_name_none():
    for path in (ROOT / "recipes").glob("*.py"):
        if not any(name in path.stem for name in ("bert", "gpt", "quickstart")):
            assert not [n for n in known_in(path) if n in CLASSES], path
