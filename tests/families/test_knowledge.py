"""Only a family's own file contains knowledge of its architecture."""

import ast
import pathlib

import tfzoo.families
from tfzoo.text.layout import ROLES
from tfzoo.text.tokenizer_classes import CLASSES as CLASSES_OF_FILES

ROOT = pathlib.Path(tfzoo.families.__file__).parents[2]
# The table of the exports of `tfzoo`, and the task specific to BERT
EXCEPT = {"tfzoo/__init__.py", "tfzoo/tasks/masked_words/pretrainer.py"}
MODEL_TYPES = {"bert", "roberta", "distilbert", "gpt2"}
MODEL_TYPES |= {"llama", "mistral", "qwen2", "qwen3"}
MODEL_TYPES |= {"bart", "marian", "t5", "tfzoo_transformer"}
# Names of other software's classes in tokenizer files
FORMATS = "tfzoo/text/tokenizer_classes.py"
TOKENIZERS = {name for known in CLASSES_OF_FILES for name in (known, f"{known}Fast")}
CLASSES = {"BertEncoder", "RobertaEncoder", "DistilBertEncoder", "GPTDecoder"}
CLASSES |= {"LlamaDecoder", "MistralDecoder", "Qwen2Decoder", "Qwen3Decoder"}
CLASSES |= {"BartEncoderDecoder", "MarianEncoderDecoder", "T5EncoderDecoder"}
CLASSES |= {"T5Encoder", "TransformerEncoderDecoder"}


def known_in(path):
    """Names and strings of a file that belong to an architecture."""
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


def test_the_searched_names_are_those_of_the_families():
    classes = tfzoo.families.backbone_classes()
    assert {c.family.model_type for c in classes} >= MODEL_TYPES
    assert {c.__name__ for c in classes} >= CLASSES


def test_no_code_between_the_families_and_the_commands_names_an_architecture():
    found = {
        str(path.relative_to(ROOT)): sorted({*known_in(path)})
        for path in (ROOT / "tfzoo").rglob("*.py")
        if not {"families", "commands"}.intersection(path.parts)
    }
    wrong = {path: names for path, names in found.items() if names}
    assert {path: names for path, names in wrong.items() if path not in EXCEPT} == {}
    assert found["tfzoo/__init__.py"] == sorted(CLASSES)  # the search works


def strings_in(path):
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def layouts_in(path):
    """Calls of `Layout` that specify special tokens around texts."""
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


def test_tokenizer_classes_are_named_in_one_table():
    named = places(lambda path: TOKENIZERS.intersection(strings_in(path)))
    assert named == {FORMATS}


def test_layouts_are_only_in_families_formats_and_defaults():
    tokenizers = ("wordpiece", "byte_bpe")
    usual = {f"tfzoo/text/{name}/tokenizer.py" for name in tokenizers}
    assert places(layouts_in) == {FORMATS, *usual}


def test_commands_of_tasks_name_no_architecture():
    of_an_architecture = ("bert", "gpt", "quickstart", "train_translator")
    for path in (ROOT / "tfzoo" / "commands").glob("*.py"):
        if not any(name in path.stem for name in of_an_architecture):
            assert not [n for n in known_in(path) if n in CLASSES], path
