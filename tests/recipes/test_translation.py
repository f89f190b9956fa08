"""The recipes of encoder-decoders: they train, resume, translate and report errors."""

import contextlib
import functools
import gzip
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import sacrebleu
import tensorflow as tf

from helpers import ROOT, random_weights, recipe
from tfzoo.errors import (
    CheckpointError,
    DataError,
    ExportError,
    OutputError,
    TokenizerError,
)
from tfzoo.families import BACKBONES, T5EncoderDecoder
from tfzoo.serving import ServedModel
from tfzoo.serving.export import export_saved_model
from tfzoo.serving.versions import newest_version
from tfzoo.tasks import Seq2SeqLM
from tfzoo.text import SentencePieceTokenizer, WordPieceTokenizer
from tfzoo.text.lines import stream_lines

WORDS = dict(
    zip(
        "one two three four five".split(),
        "un deux trois quatre cinq".split(),
        strict=True,
    )
)
IN_PROCESS = dict(num_beams=2, max_new_tokens=8)
SMALL = dict(num_layers=1, num_heads=2, hidden_dim=32, intermediate_dim=64)


@pytest.fixture(scope="module", autouse=True)
def smaller():
    """Makes `transformer_tiny` a narrow model of one layer."""
    sizes = BACKBONES["tfzoo_transformer"].family.sizes
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sizes, "transformer_tiny", {**sizes["transformer_tiny"], **SMALL})
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Parallel files, a table of the same pairs, and a T5 with random weights."""
    place = tmp_path_factory.mktemp("translation")
    rng = np.random.default_rng(0)
    for name, count in (("train", 200), ("test", 12)):
        sources = [
            " ".join(rng.choice([*WORDS], rng.integers(1, 4))) for _ in range(count)
        ]
        targets = [" ".join(map(WORDS.get, text.split())) for text in sources]
        (place / f"{name}.en").write_text("\n".join(sources) + "\n")
        (place / f"{name}.fr").write_text("\n".join(targets) + "\n")
        rows = zip(sources, targets, strict=True)
        lines = [json.dumps({"text": a, "title": b}) for a, b in rows]
        (place / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    words = SentencePieceTokenizer.train(
        [place / "train.en", place / "train.fr"], vocabulary_size=60, progress=False
    )
    words.save_to_preset(place / "words")
    t5 = T5EncoderDecoder(words.vocabulary_size, **SMALL, max_sequence_length=64)
    Seq2SeqLM(random_weights(t5, 0.1), words).save_to_preset(place / "t5")
    return place


def arguments(place, output, **options):
    return {
        **dict(
            source=(place / "train.en",),
            target=(place / "train.fr",),
            validation_source=(place / "test.en",),
            validation_target=(place / "test.fr",),
            output=output,
            preset="transformer_tiny",
            vocabulary_size=60,
            norm_first=True,
            dropout=0.0,
            label_smoothing=0.0,
            epochs=8,
            tokens_per_batch=50,
            max_sequence_length=20,
            learning_rate=1e-2,
            scored_texts=4,
            num_beams=2,
            max_new_tokens=8,
        ),
        **options,
    }


@pytest.fixture(scope="module")
def trained(place):
    recipe("train_translator").main(**arguments(place, place / "run", average_last=2))
    return place / "run"


@pytest.fixture(scope="module")
def served(place, trained):
    recipe("export_model").main(
        trained, place / "served", num_beams=2, max_new_tokens=8
    )
    return place / "served"


def contents(directory):
    return json.loads((directory / "metrics.json").read_text())


def lines(path):
    return path.read_text().splitlines()


def translate(model, input, output, **options):
    recipe("translate").main(str(model), str(input), str(output), **options)
    return lines(output)


def nats_by_frequency(learned, others):
    """The mean of -log p of ids, whose p is their share of the ids that were seen."""
    counts = np.bincount(learned.token_ids)
    return -np.log(counts[others.token_ids] / counts.sum()).mean()


def test_a_translator_learns_and_its_scores_are_those_of_sacrebleu(
    place, trained, tmp_path
):
    found = contents(trained)
    figures, epochs = found["metrics"], found["epochs"]
    assert figures["averaged_epochs"] == 2 and len(epochs) == 8
    words = Seq2SeqLM.from_preset(trained).target_tokenizer
    assert figures["loss"] < 0.9 * nats_by_frequency(
        *(words.encode_batch(lines(place / name)) for name in ("train.fr", "test.fr"))
    )
    assert all({"val_bleu", "val_chrf"} <= {*epoch} for epoch in epochs)
    texts = translate(trained, place / "test.en", tmp_path / "out", **IN_PROCESS)
    references = [lines(place / "test.fr")]
    bleu, chrf = sacrebleu.BLEU(), sacrebleu.CHRF()
    assert figures["bleu"] == pytest.approx(bleu.corpus_score(texts, references).score)
    assert figures["chrf"] == pytest.approx(chrf.corpus_score(texts, references).score)
    assert figures["chrf"] > 0
    assert figures["bleu_signature"] == str(bleu.get_signature())
    assert figures["chrf_signature"] == str(chrf.get_signature())
    card = (trained / "README.md").read_text()
    assert "train.en" in card and str(place) not in card


def test_a_finished_training_says_so_and_another_is_refused(place, trained, capsys):
    before = (trained / "model.safetensors").read_bytes()
    recipe("train_translator").main(**arguments(place, trained, average_last=2))
    assert "finished" in capsys.readouterr().out
    with pytest.raises(OutputError, match="average_last"):
        recipe("train_translator").main(**arguments(place, trained))
    assert (trained / "model.safetensors").read_bytes() == before


def test_every_line_has_one_and_an_empty_one_stays_empty(trained, tmp_path, command):
    given = "one two\r\n\n \nthree\u2028four\nfive"
    (tmp_path / "in").write_bytes(given.encode())
    (tmp_path / "in.gz").write_bytes(gzip.compress(given.encode(), mtime=0))
    found = translate(trained, tmp_path / "in", tmp_path / "out", **IN_PROCESS)
    assert [bool(text) for text in found] == [True, False, False, True, True]
    model = Seq2SeqLM.from_preset(trained)
    sources = ["one two", "three\u2028four", "five"]
    assert [text for text in found if text] == model.generate(
        sources, **IN_PROCESS, jit_compile=False
    )
    again = translate(trained, tmp_path / "in.gz", tmp_path / "2", **IN_PROCESS)
    assert again == found
    options = "--num-beams 2 --max-new-tokens 8".split()
    piped = command("translate", "--model", trained, *options, input=given.encode())
    assert piped.returncode == 0 and piped.stdout.splitlines() == found
    with pytest.raises(OutputError, match="already exists"):
        translate(trained, tmp_path / "in", tmp_path / "out")


def test_a_line_break_in_a_target_becomes_a_space_and_memory_is_bounded(
    trained, tmp_path, monkeypatch
):
    sizes = []

    def broken(model, sources, **options):
        sizes.append(len(sources))
        return [f"{source}\n\u2028b" for source in sources]

    monkeypatch.setattr(Seq2SeqLM, "generate", broken)
    monkeypatch.setattr("tfzoo.tasks.seq2seq.translators.CHUNK", 500)
    (tmp_path / "in").write_text("a\n" * 1100)
    found = translate(trained, tmp_path / "in", tmp_path / "out", source_prefix="x ")
    assert found == ["x a  b"] * 1100
    assert sizes == [500, 500, 100]


@pytest.mark.slow
def test_an_export_translates_as_the_preset(
    place, trained, served, tmp_path, capsys, monkeypatch
):
    once = functools.cache(tf.saved_model.load)  # and its graphs are optimized once
    monkeypatch.setattr(tf.saved_model, "load", once)
    expected = translate(trained, place / "test.en", tmp_path / "1", **IN_PROCESS)
    options = dict(batch_size=5)
    assert translate(served, place / "test.en", tmp_path / "2", **options) == expected
    for name, asked in {
        "3": {"length_penalty": 2.0},
        "4": {"max_new_tokens": 2},
    }.items():
        found = translate(served, place / "test.en", tmp_path / name, **asked)
        options = {**IN_PROCESS, **asked}
        assert found == translate(
            trained, place / "test.en", tmp_path / f"{name}b", **options
        )
    capsys.readouterr()
    recipe("predict").main(served, input=str(place / "test.en"))
    assert capsys.readouterr().out.splitlines() == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(num_beams=3), "num_beams must be 2, the number of beams of the export"),
        (dict(min_new_tokens=2), "fixed by its export. Received: min_new_tokens"),
        (dict(jit_compile=True), "jit_compile must be False for a SavedModel"),
        (dict(max_new_tokens=0), "max_new_tokens must be an integer >= 1. Received: 0"),
    ],
)
def test_what_an_export_fixes_is_refused(place, served, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        translate(served, place / "test.en", tmp_path / "out", **options)
    assert [*tmp_path.iterdir()] == []


def test_an_export_of_another_task_is_named(tmp_path):
    function = tf.function(lambda text: {"label": text}, autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec([None], tf.string, "text"))
    model = ServedModel({"serving_default": concrete}, {}, ())
    export_saved_model(tmp_path / "model", model)
    (tmp_path / "in").write_text("a\n")
    with pytest.raises(ExportError, match="Seq2SeqLM.*no such signature.*predict"):
        translate(tmp_path / "model", tmp_path / "in", tmp_path / "out")


def test_evaluation_gives_every_measure_of_a_table_and_of_files(
    place, trained, tmp_path, capsys
):
    main = recipe("evaluate_seq2seq").main
    options = dict(IN_PROCESS, output=tmp_path / "files.json")
    main(str(trained), (place / "test.en",), (place / "test.fr",), **options)
    assert "bleu_signature nrefs:1|case:mixed" in capsys.readouterr().out
    found = json.loads((tmp_path / "files.json").read_text())
    expected = contents(trained)["metrics"]
    for name in ("bleu", "chrf", "bleu_signature", "chrf_signature"):
        assert found[name] == expected[name]
    assert found["pairs"] == 12
    assert {"rouge1", "rouge2", "rougeL", "length_ratio"} < {*found}
    table = dict(data=str(place / "test.jsonl"))
    columns = dict(source_column="text", target_column="title")
    options = dict(IN_PROCESS, output=tmp_path / "table.json")
    main(str(trained), **table, **columns, **options)
    assert json.loads((tmp_path / "table.json").read_text()) == found
    with pytest.raises(OutputError, match="already exists"):
        main(str(trained), **table, **columns, output=tmp_path / "table.json")


@pytest.mark.slow
def test_a_t5_is_fine_tuned_on_a_table_with_a_prefix(place, tmp_path):
    output = tmp_path / "out"
    given = dict(
        preset=str(place / "t5"),
        output=output,
        train=str(place / "train.jsonl"),
        validation=str(place / "test.jsonl"),
        source_column="text",
        target_column="title",
        source_prefix="one: ",
        epochs=2,
        batch_size=32,
        learning_rate=1e-2,
        measures=("rougeL", "bleu"),
        scored_texts=3,
        num_beams=2,
        max_new_tokens=6,
        lora_rank=2,
    )
    recipe("finetune_seq2seq").main(**given)
    found = contents(output)
    scores = [epoch["val_rougeL"] for epoch in found["epochs"]]
    assert found["metrics"]["best_epoch"] == 1 + int(np.argmax(scores))
    assert (output / "adapter" / "adapter_config.json").exists()
    texts = translate(
        output,
        place / "test.en",
        tmp_path / "texts",
        source_prefix="one: ",
        **dict(IN_PROCESS, max_new_tokens=6),
    )
    bleu = sacrebleu.corpus_bleu(texts, [lines(place / "test.fr")])
    assert found["metrics"]["bleu"] == pytest.approx(bleu.score)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(epochs=None), ValueError, "Either epochs or steps must be given"),
        (dict(steps=3), ValueError, "Received: epochs=8, steps=3"),
        (dict(target=()), ValueError, "Received: --source$"),
        (dict(source=(), target=()), ValueError, "--source and --target or --train"),
        (dict(train="a.tsv"), ValueError, "--source and --target and --train"),
        (dict(validation_target=()), ValueError, "Received: --validation-source$"),
        (dict(source_column="a"), ValueError, "only be given with a table"),
        (dict(preset="t5_small"), ValueError, "transformer_tiny.*Received: 't5_small'"),
        (dict(target_tokenizer="a"), ValueError, "only be given with a tokenizer"),
        (
            dict(tokenizer="words", separate_vocabularies=True),
            ValueError,
            "give target_tokenizer instead",
        ),
        (dict(tokenizer="nowhere"), TokenizerError, "nowhere"),
        (dict(bleu_tokenizer="x"), ValueError, "tokenize must be one of"),
        (dict(tokens_per_batch=0), ValueError, "tokens_per_batch must be .*ved: 0"),
        (dict(average_last=9), ValueError, "average_last=9, and 8 evaluations"),
        (dict(num_beams=1, length_penalty=2.0), ValueError, "length_penalty"),
        (dict(max_new_tokens=100), ValueError, "max_new_tokens|context"),
    ],
)
def test_contradictions_are_named_before_any_training(
    place, tmp_path, options, error, message
):
    with pytest.raises(error, match=message) as raised:
        recipe("train_translator").main(**arguments(place, tmp_path / "out", **options))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out" / "curves.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"un\n",
            r"train.en: .*same number of lines. Received: 200 here and 1 in .*bad",
        ),
        (b"un\n" * 9 + b"\n" + b"un\n" * 190, r"bad:10: The line must have text"),
        (
            b"un\n" * 4 + b"\xff\n",
            r"bad:5: The text must be UTF-8. Received: byte 0xff",
        ),
        (b"", "bad: The file is empty"),
    ],
    ids=["length", "empty side", "not UTF-8", "empty"],
)
def test_bad_parallel_files_are_one_line(place, tmp_path, content, message):
    (tmp_path / "bad").write_bytes(content)
    options = arguments(place, tmp_path / "out", target=(tmp_path / "bad",))
    with pytest.raises(DataError, match=message):
        recipe("train_translator").main(**options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["in", "-"])
def test_a_line_that_is_not_utf_8_is_named_before_it_is_translated(
    trained, tmp_path, command, name
):
    (tmp_path / "in").write_bytes(b"one\ntw\xffo\n")
    path = name if name == "-" else tmp_path / name
    words = ["--model", trained, "--input", path, "--output", tmp_path / "out"]
    found = command("translate", *words, input=(tmp_path / "in").read_bytes())
    assert found.returncode == 1
    assert ":2: The text must be UTF-8. Received: byte 0xff at byte 3" in found.stderr
    assert found.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_no_lines_give_no_lines(trained, tmp_path, command):
    (tmp_path / "in").write_bytes(b"")
    assert translate(trained, tmp_path / "in", tmp_path / "out") == []
    found = command("translate", "--model", trained)
    assert (found.returncode, found.stdout) == (0, "")


def test_a_source_over_the_maximum_is_cut_and_counted(trained, tmp_path, caplog):
    (tmp_path / "in").write_text("one " * 50 + "\none\n")
    found = translate(trained, tmp_path / "in", tmp_path / "out", **IN_PROCESS)
    assert len(found) == 2
    assert "1 of 2 sources are longer than 20 tokens" in caplog.text


def test_a_tokenizer_that_is_not_the_checkpoints_is_refused(place, tmp_path):
    shutil.copytree(place / "t5", tmp_path / "t5")
    letters = ["".join(map(chr, range(33, 127))), "abc def"] * 9
    larger = SentencePieceTokenizer.train(letters, vocabulary_size=99, progress=False)
    larger.save_to_preset(tmp_path / "larger")
    for file in (tmp_path / "larger").iterdir():
        shutil.copy(file, tmp_path / "t5" / file.name)
    (tmp_path / "in").write_text("a\n")
    with pytest.raises(CheckpointError, match="must not have more tokens than the emb"):
        translate(tmp_path / "t5", tmp_path / "in", tmp_path / "out")


def test_a_tokenizer_of_words_is_refused(place, tmp_path):
    words = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
    words.save_to_preset(tmp_path / "words")
    with pytest.raises(TokenizerError, match="SentencePiece or byte-level BPE. Rec"):
        recipe("train_translator").main(
            **arguments(place, tmp_path / "out", tokenizer=str(tmp_path / "words"))
        )


KILLED = """
import pathlib, sys
from tfzoo import cli
from tfzoo.commands.train_translator import main
from tfzoo.training import runs

usual = runs.Run.__init__
def saving_often(run, *given, **options):
    usual(run, *given, **options, steps_between_saves=5)
runs.Run.__init__ = saving_often
cli.run(main)
"""


def started(place, output):
    options = f"""--source {place}/train.en --target {place}/train.fr --preset
    transformer_tiny --num-layers 1 --hidden-dim 32 --num-heads 2 --vocabulary-size 60
    --epochs 40 --tokens-per-batch 50 --max-sequence-length 20 --average-last 3
    --scored-texts 4 --num-beams 2 --max-new-tokens 8 --output {output}"""
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, *options.split()],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def completed(process):
    """Waits for a process that must succeed."""
    _, printed = process.communicate()
    assert process.returncode == 0, printed


@pytest.mark.slow
def test_a_run_killed_at_ten_points_ends_with_the_same_weights(place, tmp_path):
    completed(started(place, tmp_path / "whole"))
    wait, killed, rounds = random.Random(0), 0, 0
    while killed < 10:
        output = tmp_path / f"killed_{rounds}"
        process = started(place, output)
        before = {*output.glob("checkpoints/step-*")}
        while process.poll() is None and before >= {*output.glob("checkpoints/step-*")}:
            time.sleep(0.02)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait.uniform(0, 1))
        if process.poll() is None:
            process.kill()
            process.communicate()
            killed += 1
        else:
            completed(process)
            rounds += 1  # it is finished: begins anew
    for number in range(rounds + 1):
        output = tmp_path / f"killed_{number}"
        completed(started(place, output))
        for name in ("model.safetensors", "metrics.json", "curves.json"):
            expected = (tmp_path / "whole" / name).read_bytes()
            assert (output / name).read_bytes() == expected, name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"a", mtime=0), r"input:1: .*binary data. It looks like gzip"),
        (
            b"a\n\xc3\n",
            "input:2: The text must be UTF-8. Received: byte 0xc3 at byte 1",
        ),
        (b"a" * 20 + b"\n", "input:1: A line must be at most 16 bytes long"),
    ],
    ids=["gzip", "not UTF-8", "long"],
)
def test_what_is_no_text_in_a_stream_is_named(monkeypatch, content, message):
    monkeypatch.setattr("tfzoo.text.lines.MAX_LINE_BYTES", 16)
    with pytest.raises(DataError, match=message):
        list(stream_lines(io.BytesIO(content), "input"))


def test_a_byte_order_mark_in_a_stream_is_no_text():
    found = stream_lines(io.BytesIO("\ufeffa\r\n\ufeffb".encode()), "input")
    assert list(found) == [(1, "a\r\n"), (2, "\ufeffb")]


def test_the_highest_version_is_found(tmp_path):
    assert newest_version(tmp_path) is None
    for version in ("9", "10", "other"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "saved_model.pb").touch()
    (tmp_path / "11").mkdir()
    assert newest_version(tmp_path) == tmp_path / "10"
    assert newest_version(tmp_path / "9") == tmp_path / "9"
