"""Which parts may import which, read from the sources; and the cost of an import."""

import ast
import importlib.util
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORE = {"errors", "files", "lazy", "weight_files"}
MAY_IMPORT = {
    "errors": set(),
    "lazy": set(),
    "weight_files": set(),
    "files": {"errors"},
    "quiet_start": set(),
    "cli": CORE | {"quiet_start"},
    "command_arguments": set(),
    "baselines": CORE,
    "checkpoints": CORE,
    "layers": CORE,
    "training": CORE,
    "generation": CORE,
    "text": CORE | {"checkpoints"},
    "models": CORE | {"layers"},
    "families": CORE | {"models", "layers", "checkpoints", "text"},
    "data": CORE | {"text"},
    "serving": CORE | {"text", "generation"},
}
OF_COMMANDS = {"cli", "command_arguments", "quiet_start"}
MAY_IMPORT["tasks"] = {*MAY_IMPORT} - OF_COMMANDS
MAY_IMPORT["__init__"] = {*MAY_IMPORT} - OF_COMMANDS
MAY_IMPORT["commands"] = {*MAY_IMPORT} - {"__init__"}
MAY_IMPORT["__main__"] = {"cli", "commands"}
WITHOUT_TENSORFLOW = {"__init__", "errors", "files", "cli", "layers", "models"}
WITHOUT_TENSORFLOW |= {"families", "lazy", "quiet_start", "__main__"}
WITHOUT_TENSORFLOW |= {"command_arguments"}
UNSAFE = {"pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
SHARED_BY_BENCHMARKS = {"side_by_side", "training_rounds"}


def sources(folder):
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path):
    """Dotted names that a file imports, including inside functions and by a string."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = "." * node.level + (node.module or "")
            yield package
            yield from (f"{package}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            named = re.fullmatch(r"tfzoo\.(\w+)(\.\w+)*", node.value)
            if named and named[1] in MAY_IMPORT:
                yield node.value


def attributes(path):
    """Dotted names that a file spells out, such as `keras.ops.mean`."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Attribute):
            parts = []
            while isinstance(node, ast.Attribute):
                parts.append(node.attr)
                node = node.value
            if isinstance(node, ast.Name):
                yield ".".join([node.id, *reversed(parts)])


def part(path):
    """`layers` for tfzoo/layers/heads.py, `errors` for tfzoo/errors.py."""
    return path.relative_to(ROOT / "tfzoo").parts[0].removesuffix(".py")


def parts_of_tfzoo(path):
    names = [name.split(".") for name in imported(path)]
    return {name[1] for name in names if name[0] == "tfzoo" and len(name) > 1}


def test_the_reader_sees_imports_inside_functions_and_by_a_string(tmp_path):
    source = tmp_path / "source.py"
    source.write_text(
        "import tfzoo.errors\n"
        "def late():\n"
        "    from tfzoo import data\n"
        "    class Inner:\n"
        "        def method(self):\n"
        "            from tfzoo.tasks.plan import Plan\n"
        "    return importlib.import_module('tfzoo.serving.core')\n"
    )
    assert parts_of_tfzoo(source) == {"errors", "data", "tasks", "serving"}


def test_the_package_names_each_part_that_it_imports():
    # `from .. import data` and `import tfzoo` say nothing that the reader could check.
    for path in sources("tfzoo"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, (path, node.lineno)
            if isinstance(node, ast.Import):
                assert "tfzoo" not in [alias.name for alias in node.names], path


def test_every_part_of_the_package_imports_only_what_lies_below_it():
    wrong = {
        str(path.relative_to(ROOT)): sorted(above)
        for path in sources("tfzoo")
        if (above := parts_of_tfzoo(path) - MAY_IMPORT[part(path)] - {part(path)})
    }
    assert wrong == {}


def test_every_folder_of_the_package_is_in_the_table():
    assert {part(path) for path in sources("tfzoo")} <= set(MAY_IMPORT)


def test_the_package_imports_neither_recipes_nor_benchmarks_nor_tests():
    above = {"recipes", "benchmarks", "tests"}
    for path in sources("tfzoo"):
        assert above.isdisjoint(name.split(".")[0] for name in imported(path)), path


def test_recipes_and_benchmarks_import_each_other_only_where_shared():
    scripts = {path.stem: path for path in sources("recipes") + sources("benchmarks")}
    for path in scripts.values():
        words = {word for name in imported(path) for word in name.split(".")[:2]}
        if not any(name.split(".")[0] == "tfzoo" for name in imported(path)):
            words.discard("tfzoo")
        allowed = {path.stem}
        if path.parent.name == "benchmarks":
            allowed |= SHARED_BY_BENCHMARKS
        assert {*scripts, "recipes", "tests"}.isdisjoint(words - allowed), path


def test_no_command_imports_another():
    for path in sources("tfzoo/commands"):
        assert "commands" not in parts_of_tfzoo(path), path


@pytest.mark.parametrize("folder", ["tfzoo", "recipes", "benchmarks"])
def test_nothing_private_and_nothing_unsafe_is_used(folder):
    private = ("keras.src", "tensorflow.python", "tf.python", "tensorflow_text")
    for path in sources(folder):
        names = {*imported(path), *attributes(path)}
        for name in names:
            assert not any(f"{name}.".startswith(f"{p}.") for p in private), path
            assert name.split(".")[0] not in UNSAFE, (path, name)


@pytest.mark.parametrize("folder", ["tfzoo", "recipes", "benchmarks"])
def test_no_text_is_run_as_code(folder):
    for path in sources(folder):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "compile"}, path


def test_layers_and_models_never_import_tensorflow():
    for path in sources("tfzoo"):
        if part(path) in WITHOUT_TENSORFLOW:
            roots = {name.split(".")[0] for name in imported(path)}
            assert roots.isdisjoint({"tensorflow", "tensorflow_datasets"}), path


def fresh(program, **environment):
    """The JSON object that a program prints in a new interpreter."""
    environment = {"KERAS_BACKEND": "tensorflow", **os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


ENCODE_WITHOUT_TENSORFLOW = """
import importlib.machinery, json, sys

class WithoutTensorflow(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            return None
        return super().find_spec(name, path, target)

finders = sys.meta_path
sys.meta_path = [
    WithoutTensorflow if f is importlib.machinery.PathFinder else f for f in finders
]
import keras, numpy, tfzoo.families, tfzoo.layers, tfzoo.models

encoder = tfzoo.families.BertEncoder(
    11, num_layers=1, num_heads=2, hidden_dim=4, intermediate_dim=8
)
ids = numpy.ones((2, 3), "int32")
inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": ids}
shapes = {name: list(value.shape) for name, value in encoder(inputs).items()}
print(json.dumps([keras.backend.backend(), shapes, "tensorflow" in sys.modules]))
"""


@pytest.mark.parity
def test_an_encoder_runs_where_tensorflow_is_absent():
    backends = [b for b in ("jax", "torch") if importlib.util.find_spec(b)]
    if not backends:
        pytest.skip("neither jax nor torch is installed, and Keras needs a backend")
    for backend in backends:
        shapes = {"sequence_output": [2, 3, 4], "pooled_output": [2, 4]}
        result = fresh(ENCODE_WITHOUT_TENSORFLOW, KERAS_BACKEND=backend)
        assert result == [backend, shapes, False]


FIRST_USE = """
import json, sys, time
import keras
before, start = set(sys.modules), time.perf_counter()
import tfzoo
tfzoo.TextClassifier
seconds = time.perf_counter() - start
modules = {name.split(".")[0] for name in set(sys.modules) - before}
print(json.dumps([seconds, sorted(modules)]))
"""


@pytest.mark.slow
def test_the_first_use_of_a_task_imports_nothing_heavy():
    _, modules = fresh(FIRST_USE)
    heavy = {"matplotlib", "keras_hub", "tensorflow_datasets", "sklearn", "pandas"}
    assert heavy.isdisjoint(modules)


@pytest.mark.slow
def test_the_first_use_of_a_task_takes_at_most_a_second_more_than_keras():
    assert statistics.median(fresh(FIRST_USE)[0] for _ in range(5)) <= 1


ONEDNN = """
import json, os, sys, types
if {imported_before}:
    sys.modules["tensorflow"] = types.ModuleType("tensorflow")
import tfzoo
print(json.dumps(os.environ.get("TF_ENABLE_ONEDNN_OPTS")))
"""


@pytest.mark.parametrize(
    ("chosen", "imported_before", "expected"),
    [(None, False, "1"), ("0", False, "0"), (None, True, None)],
)
def test_onednn_is_switched_on_where_nobody_chose_and_tensorflow_will_read_it(
    monkeypatch, chosen, imported_before, expected
):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    choice = {} if chosen is None else {"TF_ENABLE_ONEDNN_OPTS": chosen}
    program = ONEDNN.format(imported_before=imported_before)
    assert fresh(program, **choice) == expected
