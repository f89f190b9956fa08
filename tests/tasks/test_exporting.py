"""`export` and `export_version` mean the same for every task: strings to answers."""

import os

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.tasks import (
    BertPretrainer,
    CausalLM,
    MaskedLM,
    QuestionAnswerer,
    TextClassifier,
    TextEmbedder,
    TokenClassifier,
)
from tfzoo.tasks.exporting import Exporting

INPUTS = {
    BertPretrainer: {"text"},
    CausalLM: {"prompt"},
    MaskedLM: {"text"},
    QuestionAnswerer: {"question", "context"},
    TextClassifier: {"text"},
    TextEmbedder: {"text"},
    TokenClassifier: {"text"},
}


@pytest.fixture(scope="module")
def make(small_encoder, byte_gpt, whole_words):
    def make(task):
        if task is CausalLM:
            return byte_gpt()
        labels = [["O", "B-pet"]] if task in (TextClassifier, TokenClassifier) else []
        return task(small_encoder(), whole_words, *labels)

    return make


@pytest.mark.parametrize("task", INPUTS)
def test_a_task_has_no_export_of_its_own(task):
    assert task.export is Exporting.export
    assert task.export_version is Exporting.export_version


@pytest.mark.slow
@pytest.mark.parametrize("task", INPUTS)
def test_every_task_takes_strings(make, task):
    options = {"max_new_tokens": 8} if task is CausalLM else {}
    served = make(task).served(**options).functions["serving_default"]
    inputs = tf.nest.flatten(served.structured_input_signature)
    assert {spec.name for spec in inputs} == INPUTS[task]
    assert {spec.dtype for spec in inputs} == {tf.string}


@pytest.mark.parametrize("task", INPUTS)
def test_an_option_that_no_export_has_is_named(make, task, tmp_path):
    model = make(task)
    for method in (model.export, model.export_version):
        with pytest.raises(TypeError, match=f"{method.__name__} takes no .*'verbose'"):
            method(tmp_path / "out", verbose=True)
    assert not (tmp_path / "out").exists()
    assert "jit_compile" in model.served_options()


def files(directory):
    return {
        os.path.relpath(os.path.join(folder, name), directory)
        for folder, _, names in os.walk(directory)
        for name in names
    }


def test_an_export_is_a_version_without_versions(make, tmp_path):
    task = make(TextEmbedder)
    task.export(tmp_path / "alone")
    version = task.export_version(tmp_path / "saved_models" / "vectors")
    assert files(tmp_path / "alone") == files(version)
    texts = tf.constant(["the cat", "a dog ran on"])
    found = [
        tf.saved_model.load(str(path)).signatures["serving_default"](text=texts)
        for path in (tmp_path / "alone", version)
    ]
    np.testing.assert_array_equal(found[0]["embedding"], found[1]["embedding"])
    expected = task.embed(["the cat", "a dog ran on"])
    np.testing.assert_allclose(found[0]["embedding"], expected, atol=1e-5)


def test_other_formats_are_keras_own(make, tmp_path):
    with pytest.raises(ValueError, match="(?s)Unrecognized format.*no-such-format"):
        make(TextClassifier).export(tmp_path / "other", format="no-such-format")


@pytest.mark.slow
def test_a_pretrainer_is_exported_as_its_masked_words(make, unsaved):
    pretrainer, masked_lm = make(BertPretrainer), make(MaskedLM)
    ours = {v.path: v for v in pretrainer.variables}
    for variable in masked_lm.variables:
        if variable.path in ours:
            variable.assign(ours[variable.path])
    texts = tf.constant(["the [MASK] sat", "[MASK] ran"])
    found, expected = (
        unsaved(task, top_k=2)["serving_default"](text=texts)
        for task in (pretrainer, masked_lm)
    )
    np.testing.assert_array_equal(found["tokens"], expected["tokens"])
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-6)
    assert np.ptp(expected["scores"]) > 0
