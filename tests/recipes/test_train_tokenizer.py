"""The recipe runs as a command and reports errors in one line."""

import gzip
import json
import os

import pytest

import helpers
from tfzoo.errors import DataError, OutputError, TokenizerError
from tfzoo.text import ByteBPETokenizer, WordPieceTokenizer, tokenizer_from_preset

TEXT = "The zookeeper walks.\nWalking caf\u00e9s!\n\nwalked to the zoo\n" * 5


@pytest.fixture(scope="module")
def recipe():
    return helpers.recipe("train_tokenizer")


@pytest.fixture
def text(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    return tmp_path / "a.txt"


def test_it_writes_a_tokenizer_and_metrics_and_prints_where(command, text, tmp_path):
    output = tmp_path / "runs" / "tokenizer"
    flags = ["--vocabulary-size", 60, "--output", output]
    result = command("train_tokenizer", "--input", text, text, *flags)
    assert result.returncode == 0, result.stderr
    assert str(output) in result.stdout
    assert result.stderr == "", "bars are for terminals"
    tokenizer = WordPieceTokenizer.from_preset(output)
    assert tokenizer.lowercase
    assert tokenizer.vocabulary_size == 60
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["vocabulary_size"] == 60
    assert metrics["lines"] == 30
    assert metrics["words"] == 2 * 5 * (4 + 3 + 4)
    assert metrics["unknown_rate"] == 0
    ids = tokenizer.tokenize(TEXT.replace("\n", " "))
    assert metrics["tokens_per_word"] == pytest.approx(len(ids) / 55)
    assert not [p for p in output.parent.iterdir() if p != output]


def test_cased_keeps_case_and_every_format_is_read(recipe, tmp_path, capsys):
    paths = []
    for name, content in {
        "a.txt": TEXT,
        "b.txt.gz": gzip.compress(TEXT.encode()),
        "c.jsonl": json.dumps({"body": "Zebra \u00e9"}),
        "d.csv": 'body,other\n"Two\nlines",Q\n',
    }.items():
        content = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(content)
        paths.append(tmp_path / name)
    recipe.main(tuple(paths), 90, tmp_path / "out", cased=True, text_column="body")
    tokenizer = WordPieceTokenizer.from_preset(tmp_path / "out")
    assert not tokenizer.lowercase
    known = {t.removeprefix("##") for t in tokenizer.vocabulary}
    assert {"T", "W", "Z", "\u00e9"} <= known
    assert "Q" not in known
    assert "out" in capsys.readouterr().out


def test_the_options_reach_the_training(recipe, text, tmp_path):
    recipe.main((text,), 60, tmp_path / "few", min_frequency=99, alphabet_size=4)
    tokenizer = WordPieceTokenizer.from_preset(tmp_path / "few")
    assert tokenizer.vocabulary_size <= 5 + 2 * 4
    metrics = json.loads((tmp_path / "few" / "metrics.json").read_text())
    assert metrics["unknown_rate"] > 0


def test_an_existing_output_is_kept(recipe, text, tmp_path):
    recipe.main((text,), 60, tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    with pytest.raises(OutputError, match="out: The path already exists"):
        recipe.main((text,), 70, tmp_path / "out")
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="The path already exists"):
        recipe.main((text,), 60, tmp_path / "file")


def test_bad_input_leaves_nothing_behind(recipe, text, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "blank.txt").write_text(" \n\n")
    (tmp_path / "latin.txt").write_bytes(b"fine\n\xe9\n")
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(os.urandom(99))[:-9])
    for name, error, rule in [
        ("absent.txt", DataError, "absent.txt: The file does not exist"),
        ("empty.txt", DataError, "empty.txt: The file is empty"),
        ("latin.txt", DataError, "latin.txt:2: .*UTF-8"),
        ("cut.txt.gz", DataError, "cut.txt.gz"),
        ("blank.txt", TokenizerError, "must contain words"),
    ]:
        with pytest.raises(error, match=rule):
            recipe.main((tmp_path / name,), 60, tmp_path / "out")
    with pytest.raises(TokenizerError, match="vocabulary_size must be at least"):
        recipe.main((text,), 9, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_error_is_one_line_and_the_help_explains(command, tmp_path):
    flags = ["--vocabulary-size", 60, "--output", tmp_path / "out"]
    result = command("train_tokenizer", "--input", tmp_path / "absent.txt", *flags)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "absent.txt: The file does not exist" in result.stderr
    assert "Traceback" not in result.stderr
    shown = command("train_tokenizer", "--help").stdout
    for flag in ("--input", "--vocabulary-size", "--output", "--cased"):
        assert flag in shown
    assert "must not exist, or be empty" in " ".join(shown.split())


def test_byte_bpe_is_trained_with_line_breaks_from_every_format(
    recipe, text, tmp_path, capsys
):
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": "Zebra\n\n  \u00e9"}))
    (tmp_path / "c.tsv.gz").write_bytes(gzip.compress(b"text\tother\nZebra\tQ\n"))
    paths = (text, tmp_path / "b.jsonl", tmp_path / "c.tsv.gz")
    recipe.main(paths, 280, tmp_path / "out", kind="byte_bpe")
    tokenizer = ByteBPETokenizer.from_preset(tmp_path / "out")
    assert tokenizer.vocabulary_size == 280
    assert "\u0120zoo" in tokenizer.vocabulary
    assert tokenizer.end_id == 279
    whole = TEXT + "Zebra\n\n  \u00e9" + "Zebra"
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["bytes"] == len(whole.encode())
    assert metrics["tokens"] == len(tokenizer.tokenize(whole))
    assert metrics["bytes_per_token"] > 1
    assert "byte_bpe" in capsys.readouterr().out


def test_byte_bpe_is_trained_with_the_special_tokens_of_roberta(recipe, text, tmp_path):
    recipe.main((text,), 280, tmp_path / "out", kind="roberta")
    tokenizer = ByteBPETokenizer.from_preset(tmp_path / "out")
    assert tokenizer.vocabulary_size == 280
    assert tokenizer.encode("", "").token_ids == [0, 2, 2, 2]
    assert (tokenizer.pad_id, tokenizer.unknown_id, tokenizer.mask_id) == (1, 3, 279)


def test_byte_bpe_is_trained_with_the_words_of_other_models(recipe, text, tmp_path):
    options = {"kind": "byte_bpe", "split": "clip"}
    recipe.main((text,), 560, tmp_path / "out", **options)
    tokenizer = ByteBPETokenizer.from_preset(tmp_path / "out")
    assert tokenizer.split == "clip" and "zoo</w>" in tokenizer.vocabulary
    with pytest.raises(ValueError, match="with kind byte_bpe.*kind=unigram, split=cl"):
        recipe.main((text,), 300, tmp_path / "no", kind="unigram", split="clip")


@pytest.mark.parametrize("options", [{"cased": True}, {"alphabet_size": 9}])
def test_options_for_another_kind_are_refused(recipe, text, tmp_path, options):
    name, value = next(iter(options.items()))
    with pytest.raises(
        ValueError, match=f"with kind wordpiece.*byte_bpe.*{name}={value}"
    ):
        recipe.main((text,), 300, tmp_path / "out", kind="byte_bpe", **options)
    assert not (tmp_path / "out").exists()


def test_options_for_another_kind_are_one_line_on_the_command_line(
    command, text, tmp_path
):
    flags = ["--kind", "byte_bpe", "--vocabulary-size", 300, "--cased"]
    output = tmp_path / "out"
    result = command("train_tokenizer", "--input", text, *flags, "--output", output)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: cased and alphabet_size")


@pytest.mark.parametrize("kind", ["wordpiece", "byte_bpe"])
def test_the_first_row_of_a_table_without_a_header_is_text(
    recipe, tmp_path, capsys, kind
):
    (tmp_path / "a.csv").write_text("zebra zebra;no\nzoo zoo;yes\n")
    options = dict(kind=kind, text_column="1")
    size = 300 if kind == "byte_bpe" else 60
    recipe.main((tmp_path / "a.csv",), size, tmp_path / "with", **options)
    assert "the first line is taken for the column names 'zebra z" in (
        capsys.readouterr().err
    )
    options["header"] = False
    recipe.main((tmp_path / "a.csv",), size, tmp_path / "without", **options)
    assert "note: " not in capsys.readouterr().err
    read = [
        json.loads((tmp_path / name / "metrics.json").read_text())
        for name in ("with", "without")
    ]
    name, sizes = ("lines", [1, 2]) if kind == "wordpiece" else ("bytes", [7, 18])
    assert [metrics[name] for metrics in read] == sizes


@pytest.mark.parametrize("kind", ["unigram", "sentencepiece_bpe"])
def test_sentencepiece_is_trained_and_opens(recipe, text, tmp_path, kind):
    output = tmp_path / kind
    recipe.main((text,), 320, output, kind=kind)
    tokenizer = tokenizer_from_preset(output)
    ids = tokenizer.encode("walks to the zoo").token_ids
    assert ids[-1] == tokenizer.end_id
    assert tokenizer.detokenize(ids) == "walks to the zoo"
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["vocabulary_size"] == tokenizer.vocabulary_size
