"""A trained head is read as in the file, or its loss is logged."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tfzoo.errors import CheckpointError
from tfzoo.families import DistilBertEncoder, RobertaEncoder
from tfzoo.tasks import (
    MaskedLM,
    QuestionAnswerer,
    TextClassifier,
    TokenClassifier,
    from_preset,
)
from tfzoo.text import ROBERTA_TOKENS, ByteBPETokenizer

NAMES = ["sad", "glad", "mad"]
SIZES = dict(num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16)


@pytest.fixture(scope="module")
def saved(tokenizer, tmp_path_factory):
    """Directory of each of a few tasks, with random heads."""
    folder, rng = tmp_path_factory.mktemp("heads"), np.random.default_rng(0)
    backbone = DistilBertEncoder(tokenizer.vocabulary_size, **SIZES)
    for name, task in {
        "classifier": TextClassifier(backbone, tokenizer, NAMES),
        "reranker": TextClassifier(
            backbone, tokenizer, task="regression", text_pair=True
        ),
        "tagger": TokenClassifier(backbone, tokenizer, NAMES),
        "answerer": QuestionAnswerer(backbone, tokenizer),
        "words": MaskedLM(backbone, tokenizer),
    }.items():
        for v in task.trainable_variables:
            if v.path.split("/")[0] in task.heads:
                v.assign(rng.normal(size=v.shape))
        task.save_to_preset(folder / name)
    return folder


@pytest.fixture
def directory(saved, tmp_path):
    """Function that copies such a directory with changed fields in config.json."""

    def copy(name, tensors=None, **fields):
        path = tmp_path / name
        shutil.copytree(saved / name, path)
        config = json.loads((path / "config.json").read_text()) | fields
        config = {k: v for k, v in config.items() if v is not ...}
        (path / "config.json").write_text(json.dumps(config))
        if tensors is not None:
            weights = path / "model.safetensors"
            save_file(tensors(load_file(weights)), weights)
        return path

    return copy


def kernel(task):
    """The output layer of a task's head, (inputs, outputs)."""
    head = task.heads[0]
    paths = {v.path: np.array(v) for v in task.trainable_variables}
    return paths.get(f"{head}/output/kernel", paths.get(f"{head}/kernel"))


def stored(saved, name="classifier"):
    return load_file(saved / name / "model.safetensors")["classifier.weight"].T


@pytest.mark.parametrize(
    "fields",
    [
        dict(architectures=..., tfzoo=...),
        dict(architectures=[], tfzoo=...),
        dict(architectures=None, tfzoo=...),
        dict(architectures=["DistilBertModel"], tfzoo=...),
        dict(architectures=["MyOwnClassifier"], tfzoo=...),
        dict(architectures=...),
        dict(tfzoo=...),
        dict(id2label=..., tfzoo=...),
        dict(label2id=..., tfzoo=..., problem_type=...),
        dict(id2label={"2": "mad", "0": "sad", "1": "glad"}, tfzoo=...),
        dict(id2label={"02": "mad", "1": "glad", "00": "sad"}, label2id=...),
    ],
    ids=str,
)
@pytest.mark.parametrize("asked", [{}, {"labels": NAMES}], ids=["", "labels"])
def test_a_head_is_read_with_any_fields_that_name_it(saved, directory, fields, asked):
    task = TextClassifier.from_preset(directory("classifier", **fields), **asked)
    assert task.labels == tuple(NAMES)
    np.testing.assert_array_equal(kernel(task), stored(saved))


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        ({NAMES[0]: 0}, False),  # the others may be left out
        ({NAMES[0]: 1}, True),
    ],
)
def test_numbers_that_contradict_the_names_are_told(directory, ids, told, caplog):
    task = TextClassifier.from_preset(directory("classifier", label2id=ids))
    assert task.labels == tuple(NAMES)
    assert ("label2id contradicts id2label" in caplog.text) == told


@pytest.mark.parametrize(
    ("name", "task_class"),
    [("tagger", TokenClassifier), ("answerer", QuestionAnswerer), ("words", MaskedLM)],
)
def test_heads_of_other_tasks_do_not_need_architectures(
    saved, directory, name, task_class, caplog
):
    path = directory(name, architectures=..., tfzoo=...)
    task = task_class.from_preset(path)
    whole = task_class.from_preset(saved / name)
    for a, b in zip(task.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert "random" not in caplog.text


@pytest.mark.parametrize(
    "fields",
    [
        dict(num_labels=3),
        dict(),
        dict(label2id={"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}),
    ],
    ids=str,
)
def test_a_head_without_names_gets_the_requested_ones(saved, directory, fields):
    nameless = dict(id2label=..., label2id=..., tfzoo=..., problem_type=...) | fields
    path = directory("classifier", **nameless)
    task = TextClassifier.from_preset(path)
    assert task.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    np.testing.assert_array_equal(kernel(task), stored(saved))
    task = TextClassifier.from_preset(path, labels=NAMES)
    assert task.labels == tuple(NAMES)
    np.testing.assert_array_equal(kernel(task), stored(saved))


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        (dict(), {}),
        (dict(problem_type=..., tfzoo=...), {}),
        (dict(problem_type=None, tfzoo=..., architectures=...), {}),
        (dict(problem_type=..., tfzoo=...), {"task": "regression"}),
        (dict(problem_type=..., tfzoo=...), {"task": "regression", "labels": None}),
        (dict(problem_type=..., tfzoo=..., id2label={"0": "relevant"}), {}),
        (dict(problem_type=..., tfzoo=..., id2label=..., label2id=...), {}),
        (dict(id2label=..., label2id=..., num_labels=1, problem_type=...), {}),
    ],
    ids=str,
)
def test_a_head_with_one_row_is_a_regression(saved, directory, fields, asked):
    path = directory("reranker", **fields)
    task = TextClassifier.from_preset(path, text_pair=True, **asked)
    assert (task.task, task.labels) == ("regression", None)
    np.testing.assert_array_equal(kernel(task), stored(saved, "reranker"))


def test_labels_renamed_by_other_tools_are_used(saved, directory):
    config = json.loads((saved / "classifier" / "config.json").read_text())
    assert {"labels", "task"}.isdisjoint(config["tfzoo"])  # stored only once
    older = config["tfzoo"] | {"labels": NAMES, "task": "classification"}
    for i, block in enumerate([config["tfzoo"], older]):
        path = directory(
            "classifier",
            id2label={"0": "a", "1": "b", "2": "c"},
            problem_type="multi_label_classification",
            tfzoo=block,
        )
        task = TextClassifier.from_preset(path)
        assert (task.labels, task.task) == (("a", "b", "c"), "multi_label"), i
        np.testing.assert_array_equal(kernel(task), stored(saved))
        shutil.rmtree(path)


@pytest.mark.parametrize(
    ("length", "cut"), [(64, 64), (10**30, 512), (None, 512), (2, 512)]
)
def test_texts_are_truncated_as_in_the_tokenizers_file(directory, length, cut):
    path = directory("classifier")
    config = json.loads((path / "tokenizer_config.json").read_text())
    config["model_max_length"] = length
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    assert TextClassifier.from_preset(path).max_sequence_length == cut
    task = TextClassifier.from_preset(path, max_sequence_length=32)
    assert task.max_sequence_length == 32


@pytest.mark.parametrize(
    ("name", "task_class"),
    [("classifier", TextClassifier), ("tagger", TokenClassifier)],
)
def test_the_rows_of_a_head_are_reordered_by_name(saved, name, task_class):
    path = saved / name
    task = task_class.from_preset(path, labels=["mad", "sad", "glad"])
    whole = task_class.from_preset(path)
    assert task.labels == ("mad", "sad", "glad")
    np.testing.assert_array_equal(kernel(task), kernel(whole)[:, [2, 0, 1]])
    biases = [t.trainable_variables[-1].numpy() for t in (task, whole)]
    np.testing.assert_array_equal(biases[0], biases[1][[2, 0, 1]])


@pytest.mark.parametrize(
    "asked",
    [
        dict(labels=["yes", "no"]),
        dict(labels=["x", "y", "z"]),
        dict(labels=[*NAMES, "bad"]),
        dict(task="multi_label"),
        dict(task="regression"),
    ],
    ids=str,
)
def test_a_head_that_does_not_fit_is_not_used_and_logged(saved, asked, caplog):
    task = TextClassifier.from_preset(saved / "classifier", **asked)
    assert not np.isin(kernel(task), stored(saved)).any()
    told = next(r for r in caplog.records if "trained head" in r.message)
    assert told.levelname == "WARNING" and "\n" not in told.message
    for words in ("classifier.bias, classifier.weight", str(NAMES)):
        assert words in told.message
    for name in asked.get("labels", [asked.get("task")]):
        assert name in told.message


def test_a_reranker_may_become_a_classifier(saved, caplog):
    task = TextClassifier.from_preset(saved / "reranker", labels=["no", "yes"])
    assert task.task == "classification"
    assert "trained head" in caplog.text and "['no', 'yes']" in caplog.text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            dict(id2label={"0": "a", "1": "b"}, tfzoo=...),
            r"id2label: .*a row for each label. Received: 3 rows, but 2 .*\['a', 'b'\]",
        ),
        (dict(id2label=..., label2id=..., num_labels=4), "Received: 3 rows, but 4"),
        (dict(problem_type="regression"), "problem_type: .*Received: 3 rows, but 1"),
    ],
    ids=str,
)
def test_a_head_that_contradicts_its_config_is_refused(directory, fields, message):
    path = directory("classifier", **fields)
    with pytest.raises(CheckpointError, match=message) as error:
        TextClassifier.from_preset(path)
    assert "pass labels=[...]" in str(error.value)


def test_requested_labels_override_contradicting_ones(saved, directory):
    path = directory("classifier", id2label={"0": "a", "1": "b"}, tfzoo=...)
    task = TextClassifier.from_preset(path, labels=NAMES)
    np.testing.assert_array_equal(kernel(task), stored(saved))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(id2label={"0": "a", "00": "b"}), "id2label: Must have the keys"),
        (dict(id2label={"0": None, "1": "b"}), "id2label: A name must be a string"),
        (dict(id2label=["a", "b", "c"]), "id2label: Must have the keys"),
        (dict(id2label=..., label2id={"a": 0, "b": 2}), "label2id: Must have"),
        (dict(id2label=..., label2id={"a": 0, "b": [1]}), "label2id: Must have"),
        (dict(id2label=..., label2id={"a": 0, "b": True}), "label2id: Must have"),
        (dict(id2label=..., label2id=..., num_labels=True), "num_labels: Must be"),
        (dict(id2label=..., label2id=..., num_labels=0), "num_labels: Must be"),
        (dict(id2label=..., label2id=..., num_labels=1 << 23), "from 1 to 100000"),
        (dict(problem_type="ranking"), "problem_type: Must be one of.*'ranking'"),
    ],
    ids=str,
)
def test_a_meaningless_field_is_reported(directory, fields, message):
    with pytest.raises(CheckpointError, match=message):
        TextClassifier.from_preset(directory("classifier", **fields))


def test_a_contradicting_label2id_is_logged(directory, caplog):
    path = directory("classifier", label2id={"sad": 1, "glad": 0, "mad": 2})
    assert TextClassifier.from_preset(path).labels == tuple(NAMES)
    assert "label2id contradicts id2label, which takes precedence: sad" in caplog.text


def test_an_incomplete_head_is_refused(directory):
    def without_bias(tensors):
        return {n: t for n, t in tensors.items() if n != "classifier.bias"}

    path = directory("classifier", without_bias)
    with pytest.raises(CheckpointError, match="complete.* without classifier.bias"):
        TextClassifier.from_preset(path)


def test_a_named_but_missing_head_is_refused_unless_labels_are_given(directory, caplog):
    def backbone(tensors):
        return {n: t for n, t in tensors.items() if "classifier" not in n}

    path = directory("classifier", backbone)
    with pytest.raises(CheckpointError, match="architectures.*lack its head.*labels="):
        TextClassifier.from_preset(path)
    TextClassifier.from_preset(path, labels=NAMES)
    assert "New, random weights: classifier/output/bias" in caplog.text


@pytest.mark.parametrize("architectures", [["DistilBertForTokenClassification"], ...])
def test_the_head_of_a_tagger_is_not_used_for_a_classifier(
    directory, architectures, caplog
):
    path = directory("tagger", architectures=architectures, tfzoo=...)
    task = TextClassifier.from_preset(path, labels=NAMES)
    assert not np.isin(kernel(task), stored(path.parent, "tagger")).any()
    assert "belongs to another task" in caplog.text


def test_a_directory_rewritten_by_transformers_is_read(directory, caplog):
    """It keeps our block and names its own class."""
    path = directory("tagger")
    config = json.loads((path / "config.json").read_text())
    block = config["tfzoo"] | {"class_name": "TextClassifier", "labels": ["a", "b"]}
    (path / "config.json").write_text(json.dumps(config | {"tfzoo": block}))
    task = from_preset(path)
    assert isinstance(task, TokenClassifier) and task.labels == tuple(NAMES)
    TextClassifier.from_preset(path, labels=NAMES)
    assert "belongs to another task" in caplog.text


def test_only_the_last_layer_of_robertas_head_is_reordered(texts, tmp_path):
    tokenizer = ByteBPETokenizer.train(
        texts[0], vocabulary_size=300, progress=False, **ROBERTA_TOKENS
    )
    backbone = RobertaEncoder(tokenizer.vocabulary_size, **{**SIZES, "hidden_dim": 4})
    labels = ["a", "b", "c", "d"]  # as many as the width
    task = TextClassifier(backbone, tokenizer, labels)
    task.save_to_preset(tmp_path / "task")
    turned = TextClassifier.from_preset(tmp_path / "task", labels=labels[::-1])
    np.testing.assert_array_equal(kernel(turned), kernel(task)[:, ::-1])
    for a, b in zip(task.trainable_variables, turned.trainable_variables, strict=True):
        if "output" not in a.path or "transformer" in a.path:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("decoder.bias", "cls.predictions.bias"),
        ("decoder.weight", "bert.embeddings.word_embeddings.weight"),
    ],
)
def test_either_name_of_a_tied_weight_is_accepted(
    make_encoder, tokenizer, tmp_path, theirs, ours
):
    task = MaskedLM(make_encoder(), tokenizer)
    for v in task.trainable_variables:
        v.assign(v + 1)
    task.save_to_preset(tmp_path / "task")
    weights = tmp_path / "task" / "model.safetensors"
    tensors = load_file(weights)
    tensors[f"cls.predictions.{theirs}"] = tensors.pop(ours)
    save_file(tensors, weights)
    copy = MaskedLM.from_preset(tmp_path / "task")
    for a, b in zip(task.trainable_variables, copy.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("tied", [True, False, None])
def test_an_untied_output_layer_is_refused(make_encoder, tokenizer, tmp_path, tied):
    MaskedLM(make_encoder(), tokenizer).save_to_preset(tmp_path / "task")
    weights, path = (
        tmp_path / "task" / n for n in ("model.safetensors", "config.json")
    )
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"tie_word_embeddings": tied}))
    if tied is False:
        with pytest.raises(CheckpointError, match="tie_word_embeddings: Only True is"):
            MaskedLM.from_preset(tmp_path / "task")
    tensors = load_file(weights)
    table = tensors["bert.embeddings.word_embeddings.weight"]
    save_file(tensors | {"cls.predictions.decoder.weight": table + 1}, weights)
    with pytest.raises(CheckpointError, match="decoder.weight: The tensor must equal"):
        MaskedLM.from_preset(tmp_path / "task")
    TextClassifier.from_preset(tmp_path / "task", labels=NAMES)
    save_file(tensors | {"cls.predictions.decoder.weight": table}, weights)
    MaskedLM.from_preset(tmp_path / "task")
