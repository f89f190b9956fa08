"""What an export writes, and what it never touches."""

import concurrent.futures
import dataclasses
import os
import pathlib
import resource
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.errors import ExportError, OutputError
from tfzoo.serving import ServedModel, export, export_saved_model, export_version
from tfzoo.serving.versions import add_version
from tfzoo.tasks.classification.served_classes import classifier_signatures


def mark(text):
    """Writes a file in place of a model where the content does not matter."""

    def write(directory):
        (directory / "saved_model.pb").write_text(text)

    return write


def names(base):
    return sorted(os.listdir(base))


def saved_model_proto(path):
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel()
    proto.ParseFromString((path / "saved_model.pb").read_bytes())
    return proto


def test_versions_count_from_the_highest_number_there(tmp_path):
    base = tmp_path / "saved_models" / "mail"
    assert add_version(base, mark("a")) == base / "1"
    assert add_version(base, mark("b")) == base / "2"
    (base / "0009").mkdir()
    killed = base / ".export.a1b2c3d4"
    killed.mkdir()
    (killed / "export.lock").write_text("")
    (killed / "version").mkdir()
    assert add_version(base, mark("c")) == base / "10"
    assert (base / "1" / "saved_model.pb").read_text() == "a"
    assert names(base) == ["0009", "1", "10", "2"]


def test_concurrent_exporters_get_different_versions(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(add_version, tmp_path, mark(str(i))) for i in range(16)]
        written = {int(job.result().name): i for i, job in enumerate(jobs)}
    assert sorted(written) == list(range(1, 17))
    for number, i in written.items():
        assert (tmp_path / str(number) / "saved_model.pb").read_text() == str(i)


def test_what_another_exporter_writes_stays(tmp_path):
    def write(directory):
        add_version(tmp_path, mark("b"))
        mark("a")(directory)

    assert add_version(tmp_path, write) == tmp_path / "2"
    assert names(tmp_path) == ["1", "2"]
    assert (tmp_path / "2" / "saved_model.pb").read_text() == "a"


def test_a_failed_export_leaves_nothing(tmp_path):
    def fail(directory):
        (directory / "saved_model.pb").write_text("half")
        raise RuntimeError("stop")

    add_version(tmp_path, mark("a"))
    with pytest.raises(RuntimeError):
        add_version(tmp_path, fail)
    assert names(tmp_path) == ["1"]


@pytest.fixture(scope="module")
def little():
    """A model with few operations, for tests of writing rather than of answers."""
    weights = tf.Variable(tf.range(1000.0), name="output/kernel")
    function = tf.function(lambda x: {"y": x * weights}, autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec([None, 1], name="x"))
    yield ServedModel({"serving_default": concrete}, {}, ())  # keeps `weights` alive


def test_a_full_disk_is_one_line_and_leaves_no_version(little, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(OutputError, match="Cannot write the output") as error:
            export_version(tmp_path / "mail", little)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert "\n" not in str(error.value)
    assert names(tmp_path / "mail") == []


@pytest.mark.parametrize("entry", ["run.json", "model.safetensors", "saved_model.pb"])
def test_a_directory_with_other_content_is_refused_for_versions(tmp_path, entry):
    (tmp_path / entry).write_text("precious")
    with pytest.raises(OutputError, match=f"versions of one model.*{entry}"):
        add_version(tmp_path, mark("a"))
    assert names(tmp_path) == [entry]


def test_a_file_in_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "mail").write_text("precious")
    with pytest.raises(OutputError, match="The path must be a directory"):
        add_version(tmp_path / "mail", mark("a"))
    with pytest.raises(OutputError, match="Cannot write the output"):
        add_version(tmp_path / "mail" / "below", mark("a"))


def test_configuration_edited_by_an_operator_is_kept(little, tmp_path):
    base = tmp_path / "mail"
    base.mkdir()
    (base / "models.config").write_text("mine")
    export_version(base, little)
    assert (base / "models.config").read_text() == "mine"
    assert names(base) == ["1", "batching_parameters.txt", "models.config"]


def test_every_weight_is_stored_once(encoder, core_of, whole_words, tmp_path):
    wide = keras.layers.Dense(20000, name="wide")
    out = keras.layers.Dense(2)(wide(encoder.output["pooled_output"]))
    model = keras.Model(encoder.inputs, out)
    core = core_of(model, max_sequence_length=32)
    served = classifier_signatures(core, whole_words, labels=("no", "yes"))
    version = export_version(tmp_path / "wide", served)
    stored = sum(f.stat().st_size for f in (version / "variables").iterdir())
    assert stored == pytest.approx(4 * model.count_params(), rel=0.02)
    assert (version / "saved_model.pb").stat().st_size < 4 * model.count_params()
    names = [
        name
        for name, _ in tf.train.list_variables(str(version / "variables/variables"))
    ]
    assert len([name for name in names if "VARIABLE_VALUE" in name]) == len(
        model.weights
    )


def test_labels_are_in_the_order_of_the_classes(exported):
    content = (exported / "assets.extra" / "labels.txt").read_text(encoding="utf-8")
    assert content == "ham\nspam\nnaïve\n"


def test_a_label_of_two_lines_is_refused(little, tmp_path):
    model = ServedModel(little.functions, little.methods, little.warmup, ("a", "b\nc"))
    with pytest.raises(ExportError, match=r"written to labels.txt.*'b\\nc'"):
        export_version(tmp_path / "mail", model)
    assert names(tmp_path) == []


def test_the_signatures_have_the_published_names_types_and_shapes(exported):
    signatures = saved_model_proto(exported).meta_graphs[0].signature_def

    def tensors(infos):
        return {
            name: (
                tf.dtypes.as_dtype(info.dtype).name,
                [dim.size for dim in info.tensor_shape.dim],
            )
            for name, info in infos.items()
        }

    described = {
        name: (tensors(signature.inputs), tensors(signature.outputs))
        for name, signature in signatures.items()
        if not name.startswith("__")
    }
    strings, ids = ("string", [-1]), ("int32", [-1, -1])
    assert described == {
        "serving_default": (
            {"text": strings},
            {
                "label": strings,
                "score": ("float32", [-1]),
                "probabilities": ("float32", [-1, 3]),
            },
        ),
        "token_ids": (
            {"token_ids": ids, "segment_ids": ids, "padding_mask": ids},
            {"logits": ("float32", [-1, 3])},
        ),
        "examples": (
            {"inputs": strings},
            {"classes": ("string", [-1, 3]), "scores": ("float32", [-1, 3])},
        ),
    }
    methods = {name: signatures[name].method_name for name in described}
    assert methods == {
        "serving_default": "tensorflow/serving/predict",
        "token_ids": "tensorflow/serving/predict",
        "examples": "tensorflow/serving/classify",
    }


def test_the_signatures_of_a_text_generation_model(exported_causal_lm):
    signatures = saved_model_proto(exported_causal_lm).meta_graphs[0].signature_def

    def types(infos):
        assert all([d.size for d in i.tensor_shape.dim] == [-1] for i in infos.values())
        return {k: tf.dtypes.as_dtype(i.dtype).name for k, i in infos.items()}

    described = {
        name: (types(signature.inputs), types(signature.outputs))
        for name, signature in signatures.items()
        if not name.startswith("__")
    }
    options = {
        "max_new_tokens": "int32",
        "top_k": "int32",
        "seed": "int64",
        "temperature": "float32",
        "top_p": "float32",
        "repetition_penalty": "float32",
    }
    assert described == {
        "serving_default": ({"prompt": "string"}, {"text": "string"}),
        "generate": (
            {"prompt": "string", **options},
            {"text": "string", "token_count": "int32"},
        ),
        "score": (
            {"text": "string"},
            {"log_probability": "float32", "token_count": "int32"},
        ),
    }


def test_a_text_generation_model_stores_every_weight_once(
    exported_causal_lm, causal_lm
):
    count = 4 * causal_lm.count_params()
    stored = tf.train.load_checkpoint(str(exported_causal_lm / "variables/variables"))
    shapes = stored.get_variable_to_shape_map()
    sizes = [np.prod(s) for n, s in shapes.items() if "VARIABLE_VALUE" in n]
    assert 4 * sum(sizes) == count
    assert names(exported_causal_lm.parent) == [
        "1",
        "batching_parameters.txt",
        "models.config",
    ]


def test_an_export_to_a_path_is_complete_and_overwrites_nothing(
    little, tmp_path, monkeypatch
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("")
    with pytest.raises(OutputError, match="The path already exists"):
        export_saved_model(tmp_path / "full", little)

    def fail(path, requests):
        raise RuntimeError("stop")

    monkeypatch.setattr(export, "write_warmup", fail)
    with pytest.raises(RuntimeError):
        export_saved_model(tmp_path / "mail", little)
    assert names(tmp_path) == ["full"]


def test_other_formats_are_left_to_keras(causal_lm, tmp_path):
    with pytest.raises(ValueError, match="(?s)Unrecognized format.*no-such-format"):
        causal_lm.export(tmp_path / "other", format="no-such-format")


@pytest.mark.parametrize("model", ["exported", "exported_causal_lm"])
def test_strings_stay_on_the_cpu(model, request):
    exported = request.getfixturevalue(model)
    graph = saved_model_proto(exported).meta_graphs[0].graph_def
    nodes = [
        node
        for function in graph.library.function
        if "_traced_" not in function.signature.name  # saving and restoring
        for node in function.node_def
    ]
    strings = [
        node
        for node in nodes
        if node.op not in ("Const", "Identity", "PartitionedCall", "NoOp")
        and "Call" not in node.op
        and any(
            value.type == tf.string.as_datatype_enum
            or tf.string.as_datatype_enum in value.list.type
            for value in node.attr.values()
        )
    ]
    assert len(strings) > 3
    elsewhere = [node for node in strings if "CPU" not in node.device]
    assert not elsewhere, [(node.name, node.op) for node in elsewhere]


def test_no_path_of_this_machine_is_stored(exported):
    content = b"".join(f.read_bytes() for f in exported.rglob("*") if f.is_file())
    assert str(exported.parent.parent).encode() not in content
    assert str(pathlib.Path.cwd()).encode() not in content


def test_a_moved_model_answers_as_before(moved, served):
    texts = tf.constant(["the dog runs", ""])
    answer = moved["serving_default"](text=texts)
    expected = served.functions["serving_default"](text=texts)
    np.testing.assert_array_equal(answer["label"], expected["label"])
    np.testing.assert_allclose(
        answer["probabilities"], expected["probabilities"], atol=1e-6
    )


def test_what_cannot_be_exported_is_named_with_its_path(little, tmp_path):
    hostile = dataclasses.replace(little, labels=["ham", "sp\nam\x1b[2J" + "m" * 500])
    for write in (export_version, export_saved_model):
        with pytest.raises(ExportError, match="must be a single line") as error:
            write(tmp_path / "mail", hostile)
        message = str(error.value)
        assert message.startswith(f"{tmp_path / 'mail'}: ")
        assert message.isprintable() and len(message) < 500
        with pytest.raises(OutputError, match=r"caf\\udce9: The path must be UTF-8"):
            write(tmp_path / os.fsdecode(b"caf\xe9"), little)
        with pytest.raises(OutputError, match="Cannot write the output"):
            write(tmp_path / ("x" * 300), little)
    assert names(tmp_path) == []


def test_nothing_is_printed(served, tmp_path, capfd):
    export_version(tmp_path / "mail", served)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "Assets written" not in printed.err


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_never_exported(value, tmp_path):
    weights = tf.Variable([[1.0, 2.0], [3.0, value]], name="output/kernel")
    function = tf.function(lambda x: {"y": x @ weights}, autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec([None, 2], name="x"))
    served = ServedModel({"serving_default": concrete}, {}, ())
    wrong = rf"must be finite\. Received: output/kernel.*\[1, 1\] = {value}\."
    with pytest.raises(ExportError, match=wrong):
        export_version(tmp_path / "base", served)
    with pytest.raises(ExportError, match=wrong):
        export_saved_model(tmp_path / "model", served)
    assert not any(tmp_path.iterdir())
