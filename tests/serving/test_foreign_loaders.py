"""The exported folder in processes that have nothing of this package."""

import json
import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf

TEXTS = ["the dog runs", "", "naïve cat \udcff\udcfe", "dog " * 300]
FOLDER = pathlib.Path(tf.sysconfig.get_lib())


def requests():
    """Valid and invalid requests to every signature of the small classifier."""
    example = tf.train.Example()
    example.features.feature["text"].bytes_list.value.append(b"the dog runs")
    serialised = example.SerializeToString().decode("utf-8", "surrogateescape")
    ids = {
        "token_ids": ["int32", [1, 4], [2, 7, 9, 3]],
        "segment_ids": ["int32", [1, 4], [0, 0, 0, 0]],
        "padding_mask": ["int32", [1, 4], [1, 1, 1, 1]],
    }
    wrong = {**ids, "token_ids": ["int32", [1, 4], [2, 7, 9, 99]]}
    return [
        ["serving_default", {"text": ["string", [len(TEXTS)], TEXTS]}],
        ["serving_default", {"text": ["string", [0], []]}],
        ["token_ids", ids],
        ["examples", {"inputs": ["string", [1], [serialised]]}],
        ["examples", {"inputs": ["string", [1], [""]]}],
        ["token_ids", wrong],
    ]


def check_answers(answers, served):
    texts = tf.constant([t.encode("utf-8", "surrogateescape") for t in TEXTS])
    expected = served.functions["serving_default"](text=texts)
    everything, nothing, logits, classes, no_text, bad_id = answers
    assert sorted(everything) == ["label", "probabilities", "score"]
    assert everything["label"] == [[4], [v.decode() for v in expected["label"].numpy()]]
    for name in ("score", "probabilities"):
        shape, values = everything[name]
        assert shape == expected[name].shape
        np.testing.assert_allclose(values, np.ravel(expected[name]), atol=1e-5)
    assert nothing == {
        "label": [[0], []],
        "score": [[0], []],
        "probabilities": [[0, 3], []],
    }
    assert logits["logits"][0] == [1, 3]
    assert classes["classes"] == [[1, 3], ["ham", "spam", "naïve"]]
    np.testing.assert_allclose(
        classes["scores"][1], everything["probabilities"][1][:3], atol=1e-5
    )
    assert "Feature: text (data type: string) is required" in no_text
    assert "token_ids must be at least 0 and below] [16] [Received:] [99]" in bad_id


@pytest.mark.slow
def test_tensorflow_without_keras_answers_strings(exported, served, python, here):
    script = here / "tensorflow_alone.py"
    printed = json.loads(python(script, exported, input=json.dumps(requests())))
    check_answers(printed["answers"], served)


@pytest.mark.parametrize(
    "optimized", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_the_c_library_without_pythons_tensorflow_answers_strings(
    exported, served, c_library, optimized
):
    printed = c_library(exported, requests(), optimized=optimized)
    check_answers(printed["answers"], served)
    assert not [name for name in printed["modules"] if "tensorflow" in name]
    assert printed["methods"]["examples"] == "tensorflow/serving/classify"
    stored = operations(exported)
    assert {"ParseExampleV2", "StatefulPartitionedCall"} <= stored
    assert stored <= set(printed["ops"])


@pytest.mark.slow
def test_the_c_library_fills_gaps(exported_masked_lm, served_masked_lm, c_library):
    text = "the [MASK] runs [MASK]"
    sent = [["serving_default", {"text": ["string", [2], [text, "dog"]]}]]
    (answer,) = c_library(exported_masked_lm, sent)["answers"]
    expected = served_masked_lm.functions["serving_default"](text=tf.constant([text]))
    assert answer["tokens"][0] == answer["scores"][0] == [2, 2, 3]
    words = [word.decode() for word in expected["tokens"].numpy().ravel()]
    assert answer["tokens"][1] == words + [""] * 6
    np.testing.assert_allclose(
        answer["scores"][1], [*np.ravel(expected["scores"]), *[0] * 6], atol=1e-5
    )


def generation_requests():
    """Requests to every signature of the small causal language model, one invalid."""
    prompts = ["the dog", "", "na\u00efve \udcff\udcfe", "dog " * 300]
    options = {
        "max_new_tokens": ["int32", [4], [12, 3, 99, -1]],
        "top_k": ["int32", [4], [0, 5, -3, 10**6]],
        "seed": ["int64", [4], [1, -(2**63), 2**63 - 1, 4]],
        "temperature": ["float32", [4], [0.0, 0.9, float("nan"), 1.0]],
        "top_p": ["float32", [4], [1.0, 0.8, float("inf"), -1.0]],
        "repetition_penalty": ["float32", [4], [1.0, 1.2, 0.0, float("-inf")]],
    }
    strings = ["string", [4], prompts]
    return [
        ["serving_default", {"prompt": strings}],
        ["serving_default", {"prompt": ["string", [0], []]}],
        ["generate", {"prompt": strings, **options}],
        ["generate", {"prompt": ["string", [1], ["a"]], **options}],
        ["score", {"text": strings}],
    ]


def asked(signatures, name, inputs):
    tensors = {}
    for key, (dtype, shape, values) in inputs.items():
        if dtype == "string":
            values = [value.encode("utf-8", "surrogateescape") for value in values]
        tensors[key] = tf.reshape(tf.constant(values, dtype), shape)
    return {k: v.numpy() for k, v in signatures[name](**tensors).items()}


def check_generation(answers, signatures):
    *good, wrong, scores = answers
    for (name, inputs), answer in zip(generation_requests(), good, strict=False):
        expected = asked(signatures, name, inputs)
        assert answer["text"] == [
            list(expected["text"].shape),
            [text.decode() for text in expected["text"]],
        ]
    assert good[2]["token_count"] == [[4], [12, 3, 40, 0]]
    assert "must have a value for each row. Received:] [1 4 4 4 4 4 4]" in wrong
    expected = asked(signatures, *generation_requests()[-1])
    assert scores["token_count"] == [[4], expected["token_count"].tolist()]
    np.testing.assert_allclose(
        scores["log_probability"][1], expected["log_probability"], rtol=1e-5
    )


@pytest.mark.slow
def test_tensorflow_without_keras_generates(
    exported_causal_lm, served_causal_lm, python, here
):
    sent = json.dumps(generation_requests())
    printed = python(here / "tensorflow_alone.py", exported_causal_lm, input=sent)
    check_generation(json.loads(printed)["answers"], served_causal_lm)


@pytest.mark.slow
def test_the_c_library_generates(exported_causal_lm, served_causal_lm, c_library):
    matrix = ["serving_default", {"prompt": ["string", [2, 1], ["a", "b"]]}]
    printed = c_library(exported_causal_lm, [matrix, *generation_requests()])
    refused, *answers = printed["answers"]
    assert "prompt must be a vector. Received the shape:] [2 1]" in refused
    check_generation(answers, served_causal_lm)
    assert not [name for name in printed["modules"] if "tensorflow" in name]
    stored = operations(exported_causal_lm)
    assert {"TensorScatterUpdate", "UnsortedSegmentJoin"} <= stored
    assert stored <= set(printed["ops"])
    assert not [name for name in stored if name.startswith("Xla")]
    assert not [name for name in stored if "HashTable" in name]


def operations(path):
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel()
    proto.ParseFromString((path / "saved_model.pb").read_bytes())
    graph = proto.meta_graphs[0].graph_def
    bodies = [graph.node, *(function.node_def for function in graph.library.function)]
    names = {function.signature.name for function in graph.library.function}
    return {node.op for body in bodies for node in body} - names


@pytest.fixture(scope="module")
def compiled(here, tmp_path_factory):
    """The C++ program, built against the installed TensorFlow."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler: neither CXX nor g++ nor clang++")
    program = tmp_path_factory.mktemp("build") / "load_saved_model"
    command = [
        compiler,
        "-O0",
        "-w",
        str(here / "load_saved_model.cc"),
        "-o",
        str(program),
        *tf.sysconfig.get_compile_flags(),
        f"-L{FOLDER}",
        "-Wl,--no-as-needed",  # loading it registers the sessions and kernels
        "-l:libtensorflow_cc.so.2",
        "-l:libtensorflow_framework.so.2",
        f"-Wl,-rpath,{FOLDER}",
    ]
    subprocess.run(command, check=True)
    return program


@pytest.mark.slow
def test_a_cpp_program_answers_strings(compiled, exported, served):
    texts = ["the dog runs", "", "cat"]
    command = [compiled, exported, "serving_default", *texts]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    printed = {name: (shape, values.split(" ")) for name, shape, values in lines}
    expected = served.functions["serving_default"](text=tf.constant(texts))
    labels = [label.decode() for label in expected["label"].numpy()]
    assert printed["label"] == ("[3]", labels)
    shape, values = printed["probabilities"]
    assert shape == "[3,3]"
    np.testing.assert_allclose(
        np.array(values, float), np.ravel(expected["probabilities"]), atol=1e-5
    )


@pytest.mark.slow
def test_a_cpp_program_generates(compiled, exported_causal_lm, served_causal_lm):
    texts = ["the dog runs", "", "cat"]
    for name, key in (("serving_default", "prompt"), ("score", "text")):
        command = [compiled, exported_causal_lm, name, *texts]
        result = subprocess.run(command, check=False, capture_output=True)
        assert result.returncode == 0, result.stderr
        expected = served_causal_lm[name](**{key: tf.constant(texts)})
        if name == "score":
            rows = [line.split(b"\t") for line in result.stdout.splitlines()]
            printed = {name: values.split() for name, _, values in rows}
            np.testing.assert_allclose(
                np.array(printed[b"log_probability"], float),
                expected["log_probability"],
                rtol=1e-5,
            )
            assert [int(n) for n in printed[b"token_count"]] == list(
                expected["token_count"].numpy()
            )
        else:
            texts_of = b" ".join(expected["text"].numpy())
            assert result.stdout == b"text\t[3]\t" + texts_of + b"\n"
    command = [compiled, exported_causal_lm, "generate", *texts]
    result = subprocess.run(command, check=True, capture_output=True)
    assert b"token_count\t[3]\t1 1 1\n" in result.stdout
