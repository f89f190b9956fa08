"""A preset becomes a served model, which is queried without this package."""

import codecs
import gzip
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from helpers import random_weights, recipe
from tfzoo.errors import ExportError, OutputError, TfzooError, printable
from tfzoo.families import BertEncoder, GPTDecoder
from tfzoo.serving import ServedModel
from tfzoo.tasks import (
    BertPretrainer,
    CausalLM,
    MaskedLM,
    QuestionAnswerer,
    TextClassifier,
    TokenClassifier,
)
from tfzoo.text import ByteBPETokenizer, WordPieceTokenizer

RECIPES = pathlib.Path(__file__).resolve().parents[2] / "recipes"
WORDS = "the a dog cat runs sleeps fast . !".split()
TOKENIZER = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
# TensorFlow imports parts of Keras if it is installed, so it is hidden here.
ALONE = """
import runpy, sys
for name in ("keras", "tf_keras", "tfzoo", "tyro", "tokenizers", "tensorflow_text"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def backbone(dtype="float32", **sizes):
    encoder = BertEncoder(14, 1, 2, 8, 16, max_sequence_length=40, dtype=dtype, **sizes)
    return random_weights(encoder, seed=5)


def exported(task, folder, name, **options):
    """Folder of the versions of a task, exported from a preset by the recipe."""
    task.save_to_preset(folder / name)
    recipe("export_model").main(folder / name, folder / "served" / name, **options)
    return folder / "served" / name


def classifier(**options):
    keras.utils.set_random_seed(3)
    return TextClassifier(
        backbone(options.pop("dtype", "float32")), TOKENIZER, **options
    )


def predict(*arguments, input=None):
    return subprocess.run(
        [sys.executable, "-c", ALONE, RECIPES / "predict.py", *map(str, arguments)],
        input=input,
        capture_output=True,
        check=False,
    )


@pytest.fixture(scope="module")
def mail(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mail")
    task = classifier(labels=["ham", "späm"])
    return task, exported(task, folder, "mail")


@pytest.fixture
def printed(capsys):
    """Runs predict.py in this process and returns the lines it prints."""

    def run(**arguments):
        capsys.readouterr()
        recipe("predict").main(**arguments)
        return capsys.readouterr().out.splitlines()

    return run


def test_the_help_of_predict_needs_nothing_installed():
    result = predict("--help")
    assert result.returncode == 0, result.stderr.decode()
    assert b"--text-pair" in result.stdout


@pytest.mark.slow
def test_predict_runs_where_only_tensorflow_can_be_imported(mail):
    task, versions = mail
    texts = ["the dog runs", "", "cat ! !", "a\tcat"]
    given = b"the dog runs\n\r\ncat ! !\na\tcat"
    result = predict("--model", versions, "--batch-size", "3", input=given)
    assert result.returncode == 0, result.stderr.decode()
    rows = [row.split("\t") for row in result.stdout.decode().splitlines()]
    expected = task.classify(texts)
    assert [label for label, _ in rows] == [answer["label"] for answer in expected]
    scores = [float(score) for _, score in rows]
    np.testing.assert_allclose(scores, [a["score"] for a in expected], atol=1e-5)


def test_json_output_has_every_probability_by_label(mail, printed):
    task, versions = mail
    (row,) = printed(model=versions / "1", text=["the dog runs"], as_json=True)
    answer = json.loads(row)
    assert sorted(answer) == ["label", "probabilities", "score"]
    assert sorted(answer["probabilities"]) == ["ham", "späm"]
    assert answer["score"] == answer["probabilities"][answer["label"]]


def little(core, tokenizer, **options):
    """Signatures with few operations, for tests of the files."""
    function = tf.function(lambda text: {"label": text}, autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec([None], tf.string, "text"))
    return ServedModel({"serving_default": concrete}, {}, ())


def test_an_export_prints_its_path_and_never_overwrites(mail, capsys, monkeypatch):
    task, versions = mail
    preset = versions.parents[1] / "mail"
    monkeypatch.setattr(TextClassifier, "signatures", staticmethod(little))
    recipe("export_model").main(preset, versions)
    assert f"wrote {versions / '2'}" in capsys.readouterr().out
    with pytest.raises(OutputError, match="must contain only versions of one model"):
        recipe("export_model").main(preset, preset)
    with pytest.raises(OutputError, match="must not be in a directory that is read"):
        recipe("export_model").main(preset, preset / "served")


@pytest.fixture(scope="module")
def gpt(tmp_path_factory):
    """A causal language model and its preset."""
    words = ByteBPETokenizer.train(["a cat"] * 3, vocabulary_size=260, progress=False)
    decoder = GPTDecoder(words.vocabulary_size, 1, 1, 8, 8, max_sequence_length=32)
    random_weights(decoder, seed=5)
    task, preset = CausalLM(decoder, words), tmp_path_factory.mktemp("gpt") / "gpt"
    task.save_to_preset(preset)
    return task, preset


@pytest.mark.slow
def test_a_text_generation_model_continues_each_line(gpt, printed, tmp_path):
    task, preset = gpt
    options = dict(max_new_tokens=9, temperature=0.9, top_k=7, seed=3)
    versions = tmp_path / "gpt"
    recipe("export_model").main(preset, tmp_path / "by default")
    recipe("export_model").main(preset, versions, **options)
    texts = ["a cat", "", "cat \u00e9"]
    expected = task.generate(
        texts,
        jit_compile=False,
        **options,
    )
    rows = printed(model=versions, text=texts, as_json=True)
    assert [json.loads(row) for row in rows] == [{"text": text} for text in expected]
    shown = printable(expected[0], lines=True)
    assert recipe("predict").line({"text": expected[0]}) == shown
    result = predict("--model", versions, "--json", input=b"a cat\n\xff\n")
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.decode().splitlines()[0] == rows[0]


def test_an_option_that_a_model_lacks_is_named(gpt, mail, tmp_path):
    (_, preset), (_, classifies) = gpt, mail
    export = recipe("export_model").main
    with pytest.raises(ExportError, match=r"of TextClassifier\. Received: seed, top_k"):
        export(classifies.parents[1] / "mail", tmp_path / "out", top_k=3, seed=1)
    with pytest.raises(ValueError, match="max_new_tokens must be .*Received: 0"):
        export(preset, tmp_path / "out", max_new_tokens=0)
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_a_preset_is_told(tmp_path):
    (tmp_path / "bert.ckpt.index").touch()
    for name in ("bert.ckpt", "bert.ckpt.index"):
        with pytest.raises(TfzooError, match="Give the directory that contains the"):
            recipe("export_model").main(tmp_path / name, tmp_path / "out")


def test_a_model_whose_path_is_not_utf_8_is_one_line(tmp_path):
    predict = recipe("predict")
    with pytest.raises(predict.UserError, match="The path must be UTF-8"):
        predict.version_folder(tmp_path / os.fsdecode(b"caf\xe9"))


def test_the_highest_of_several_versions_is_used(tmp_path):
    for version in ("9", "10", "11"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "saved_model.pb").touch()
    assert recipe("predict").version_folder(tmp_path) == tmp_path / "11"
    (tmp_path / "11").rename(tmp_path / "unfinished")
    assert recipe("predict").version_folder(tmp_path) == tmp_path / "10"


def test_a_missing_preset_is_named(tmp_path):
    with pytest.raises(TfzooError, match="nothing-here"):
        recipe("export_model").main(tmp_path / "nothing-here", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_pairs_are_lines_with_a_tab(tmp_path, printed):
    task = classifier(labels=["no", "yes"], text_pair=True)
    versions = exported(task, tmp_path, "pairs")
    (answer,) = task.classify(["the dog"], ["runs fast"])
    (tmp_path / "pairs.tsv").write_text("the dog\truns fast\n")
    (row,) = printed(model=versions, input=str(tmp_path / "pairs.tsv"))
    label, score = row.split("\t")
    assert label == answer["label"]
    assert float(score) == pytest.approx(answer["score"], abs=1e-5)


def test_texts_must_match_the_models_inputs(tmp_path):
    predict = recipe("predict")
    pair = ("text", "text_pair")
    with pytest.raises(
        predict.UserError, match=r"takes --text and --text-pair. Received: --text\."
    ):
        predict.texts_of({"text": ["a"]}, pair)
    with pytest.raises(predict.UserError, match=r"takes --text\. Received: --question"):
        predict.texts_of({"question": ["a"], "context": ["b"]}, ("prompt",))
    given = predict.texts_of({"text": ["a", "b"], "text_pair": ["c", "d"]}, pair)
    assert list(given) == [(b"a", b"c"), (b"b", b"d")]
    with pytest.raises(
        predict.UserError,
        match="--question and --context must have the same.*Received: 2 and 1",
    ):
        predict.texts_of(
            {"question": ["a", "b"], "context": ["c"]}, ("question", "context")
        )
    (tmp_path / "pairs.tsv").write_text("a\tb\nc\n")
    with pytest.raises(predict.UserError, match=r"pairs.tsv:2: .*Received: 1\."):
        list(predict.lines_of(str(tmp_path / "pairs.tsv"), pair))
    with pytest.raises(predict.UserError, match="absent.txt: .*cannot be read"):
        list(predict.lines_of(str(tmp_path / "absent.txt"), ("text",)))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("a".encode("utf-16"), "UTF-16. Save it as UTF-8"),
        (codecs.BOM_UTF16_BE, "UTF-16. Save it as UTF-8"),
        (gzip.compress(b"a", mtime=0), "gzip data. Decompress it"),
        (b"PK\x03\x04", "a zip or Excel file"),
    ],
)
def test_a_file_that_is_not_utf8_text_is_named(tmp_path, content, what):
    (tmp_path / "a.txt").write_bytes(content)
    predict = recipe("predict")
    rule = f"a.txt:1: The text must be UTF-8. Received: {what}"
    with pytest.raises(predict.UserError, match=rule):
        list(predict.lines_of(str(tmp_path / "a.txt"), ("text",)))


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(codecs.BOM_UTF8 + b"a\n" + codecs.BOM_UTF8)
    lines = recipe("predict").lines_of(str(tmp_path / "a.txt"), ("text",))
    assert list(lines) == [(b"a",), (codecs.BOM_UTF8,)]


def test_only_the_line_break_of_a_line_is_dropped(tmp_path):
    (tmp_path / "pairs.tsv").write_bytes(b"a \t\r\n\tb\n")
    pair = ("text", "text_pair")
    lines = recipe("predict").lines_of(str(tmp_path / "pairs.tsv"), pair)
    assert list(lines) == [(b"a ", b""), (b"", b"b")]


@pytest.mark.slow
def test_a_tagger_gives_every_word_its_label(tmp_path, printed, capsys):
    labels = ["O", "B-pet", "S-pet"]
    task = TokenClassifier(backbone(pooler=False), TOKENIZER, labels)
    versions = exported(task, tmp_path, "pets")
    assert '--text "..."' in capsys.readouterr().out
    texts = ["the dog runs!", "", "a cat"]
    expected = [answer["words"] for answer in task.tag(texts)]
    rows = printed(model=versions, text=texts, as_json=True)
    for row, words in zip(rows, expected, strict=True):
        found = json.loads(row)["words"]
        for one, other in zip(found, words, strict=True):
            assert one == {**other, "score": pytest.approx(other["score"], abs=1e-5)}
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    lines = printed(model=versions, input=str(tmp_path / "texts.txt"))
    assert [line.split("\t")[::2] for line in lines] == [
        [word["word"] for word in words] or [""] for words in expected
    ]


@pytest.mark.slow
def test_questions_are_answered_from_their_contexts(tmp_path, printed, command, capsys):
    task = QuestionAnswerer(backbone(pooler=False), TOKENIZER)
    versions = exported(task, tmp_path, "squad")
    assert '--question "..." --context "..."' in capsys.readouterr().out
    questions, contexts = ["the dog?", "a cat"], ["the dog runs fast .", "a cat " * 40]
    expected = task.answer(questions, contexts)
    rows = printed(model=versions, question=questions, context=contexts, as_json=True)
    for row, answer in zip(map(json.loads, rows), expected, strict=True):
        assert row["answer"] == answer["answer"]
        assert row["score"] == pytest.approx(answer["score"], abs=1e-5)
    lines = [f"{q}\t{c}\n" for q, c in zip(questions, contexts, strict=True)]
    result = command("predict", "--model", versions, input="".join(lines).encode())
    assert result.returncode == 0, result.stderr
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == [
        answer["answer"] for answer in expected
    ]
    result = command("predict", "--model", versions, "--text", "a")
    assert result.returncode == 1
    assert "takes --question and --context. Received: --text." in result.stderr


@pytest.mark.slow
def test_several_labels_trained_in_bfloat16_are_served_in_float32(tmp_path, printed):
    task = classifier(
        labels=["a", "b", "c"], task="multi_label", dtype="mixed_bfloat16"
    )
    versions = exported(task, tmp_path, "topics")
    exact = TextClassifier.from_preset(tmp_path / "topics")
    (answer,) = exact.classify(["the dog"])
    (row,) = printed(model=versions, text=["the dog"])
    fields = row.split("\t")
    assert fields[::2] == answer["labels"]
    np.testing.assert_allclose(
        [float(score) for score in fields[1::2]],
        [answer["scores"][label] for label in answer["labels"]],
        atol=2e-6,
    )


def test_a_regression_prints_only_a_number():
    predict = recipe("predict")
    answer = predict.described({"score": np.float32(3.25)}, labels=None)
    assert answer == {"score": 3.25}
    assert predict.line(answer) == "3.250000"


@pytest.mark.slow
def test_a_pretraining_preset_is_served_as_a_masked_word_model(tmp_path, printed):
    text = "the [MASK] runs [MASK]"
    versions = exported(
        BertPretrainer(backbone(), TOKENIZER), tmp_path, "gaps", top_k=2
    )
    (row,) = printed(model=versions, text=[text], as_json=True)
    gaps = json.loads(row)["gaps"]
    expected = MaskedLM.from_preset(tmp_path / "gaps").fill_mask(text, top_k=2)
    assert [[word["token"] for word in gap] for gap in gaps] == [
        [word["token"] for word in gap] for gap in expected
    ]
    best = recipe("predict").line({"gaps": gaps})
    assert best.split("\t")[::2] == [gap[0]["token"] for gap in expected]


HOSTILE = "sp\x1b[2Jam\n\u202e" + "m" * 200  # a name that clears the terminal
ESCAPED = r"sp\x1b[2Jam\n\u202e" + "m" * 58 + "..."


@pytest.mark.parametrize(
    ("answer", "printed"),
    [
        ({"label": HOSTILE, "score": 0.5}, f"{ESCAPED}\t0.500000"),
        ({"probabilities": {HOSTILE: 0.5}}, f"{ESCAPED}\t0.500000"),
        ({"gaps": [[{"token": HOSTILE, "score": 1.0}]]}, f"{ESCAPED}\t1.000000"),
        (
            {"words": [{"word": "a\u2028", "label": HOSTILE}]},
            r"a\u2028" + f"\t{ESCAPED}",
        ),
        ({"answer": "a\nb\x9b", "score": 1.0}, r"a\nb\x9b" + "\t1.000000"),
        ({"text": "a\n\tb\r\x1b"}, "a\n\tb" + r"\r\x1b"),
    ],
)
def test_no_control_character_of_an_answer_is_printed(answer, printed):
    assert recipe("predict").line(answer) == printed


@given(text=st.text())
def test_an_answer_as_json_is_exact_and_has_no_control_character(text):
    line = recipe("predict").json_line({"label": text, "score": 0.5})
    assert json.loads(line) == {"label": text, "score": 0.5}
    assert not {"\x1b", "\x7f", "\x9b", "\u2028", "\u202e", "\u2066"} & {*line}


def test_the_help_says_that_a_saved_model_is_a_program(command):
    assert "A SavedModel is a program" in command("predict", "--help").stdout


def test_labels_that_are_not_utf_8_are_one_line(tmp_path):
    predict = recipe("predict")
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "labels.txt").write_bytes(b"sp\xe4m\n")
    with pytest.raises(predict.UserError, match="labels.txt: The labels cannot be"):
        predict.read_labels(tmp_path)
    with pytest.raises(predict.UserError, match="The path must be a directory"):
        predict.version_folder("x" * 5000)


def test_a_wrong_model_is_one_line(tmp_path, command):
    for path, message in [
        (tmp_path / "nowhere", "The path must be a directory"),
        (tmp_path, "must contain saved_model.pb or numbered versions"),
    ]:
        result = command("predict", "--model", path, "--text", "a")
        assert result.returncode == 1
        assert f"error: {path}: " in result.stderr
        assert message in result.stderr
        assert "Traceback" not in result.stderr


def test_a_broken_or_foreign_saved_model_is_one_line(tmp_path):
    predict = recipe("predict")
    (tmp_path / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(predict.UserError, match="cannot be loaded"):
        predict.main(tmp_path, text=["a"])

    module = tf.Module()
    spec = tf.TensorSpec([None], tf.float32, "x")
    module.double = tf.function(lambda x: {"y": 2 * x}, input_signature=[spec])
    tf.saved_model.save(module, tmp_path / "foreign", signatures=module.double)
    with pytest.raises(predict.UserError, match=r"takes text.*inputs \['x'\]"):
        predict.main(tmp_path / "foreign", text=["a"])

    def strange(text):
        return {"shape": tf.strings.length(text)}

    module = tf.Module()
    module.ask = tf.function(
        strange, input_signature=[tf.TensorSpec([None], tf.string, "text")]
    )
    tf.saved_model.save(module, tmp_path / "strange", signatures=module.ask)
    with pytest.raises(
        predict.UserError, match=r"must be those of a tfzoo model.*shape \(1,\)"
    ):
        predict.main(tmp_path / "strange", text=["a"])
