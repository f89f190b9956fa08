"""Broken and malicious directories are rejected quickly, with a one-line message."""

import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys

import pytest

from tfzoo.errors import TfzooError
from tfzoo.families import BertEncoder, RobertaEncoder
from tfzoo.tasks import MaskedLM, from_preset
from tfzoo.text import (
    ROBERTA_TOKENS,
    ByteBPETokenizer,
    WordPieceTokenizer,
    tokenizer_from_preset,
)

SIZES = dict(num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=12)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b"]
    encoder = BertEncoder(len(words), max_sequence_length=9, **SIZES)
    directory = tmp_path_factory.mktemp("bert") / "bert"
    MaskedLM(encoder, WordPieceTokenizer(words)).save_to_preset(directory)
    return directory


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    tokenizer = ByteBPETokenizer.train(
        ["abab abc"] * 9, vocabulary_size=266, progress=False, **ROBERTA_TOKENS
    )
    encoder = RobertaEncoder(
        tokenizer.vocabulary_size, max_sequence_length=9, padding_id=1, **SIZES
    )
    directory = tmp_path_factory.mktemp("roberta") / "roberta"
    MaskedLM(encoder, tokenizer).save_to_preset(directory)
    return directory


def changed(name, **fields):
    """Change that sets fields of a JSON file."""

    def change(directory):
        content = json.loads((directory / name).read_text()) | fields
        return {name: json.dumps(content).encode()}

    return change


def replaced(name, content):
    """Change that replaces the bytes of a file."""
    return lambda directory: {name: content}


def without_json(name, content):
    """Change that replaces tokenizer.json with other files."""
    return lambda directory: {"tokenizer.json": None, name: content}


def header(tensors, size=None):
    head = json.dumps(tensors, separators=(",", ":")).encode()
    return struct.pack("<Q", len(head) if size is None else size) + head + bytes(64)


def one_more_word(directory):
    content = json.loads((directory / "tokenizer.json").read_text())
    content["model"]["vocab"]["more"] = len(content["model"]["vocab"])
    return {"tokenizer.json": json.dumps(content).encode()}


DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
HOSTILE = "\x1b]0;x\x07\n\u202e" + "t" * 5000
EMPTY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
WHOLE = {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]}
MANY = {f"t{i}": EMPTY for i in range(40_000)} | {"whole": WHOLE}
TENSOR = {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}
BAD = {
    "bert": [
        *(
            (changed("config.json", **{field: value}), field)
            for field in ("vocab_size", "hidden_size", "num_hidden_layers")
            for value in (1e12, 10**12, 10**9, -1, None)
        ),
        (changed("config.json", max_position_embeddings=10**12), "max_position"),
        (changed("config.json", intermediate_size=10**9), "intermediate_size"),
        (changed("config.json", type_vocab_size=10**9), "type_vocab_size"),
        (replaced("config.json", DEEP), "nested too deeply"),
        (replaced("config.json", b"[" * 10**6), "nested too deeply"),
        (replaced("config.json", b'{"hidden_size": ' + b"9" * 10**6), "JSON"),
        (replaced("tokenizer.json", DEEP), "nested too deeply"),
        (replaced("tokenizer_config.json", DEEP), "nested too deeply"),
        (replaced("model.safetensors", header({}, 1 << 62)), "header must be"),
        (replaced("model.safetensors", header({"a": TENSOR})), "a"),
        (replaced("model.safetensors", header({HOSTILE: 3})), r"\x1b]0;x\x07\n\u202et"),
        (replaced("model.safetensors", header(MANY)), "at most 20000 tensors"),
        (
            replaced(
                "model.safetensors", header({"a": {**EMPTY, "shape": [0, 1 << 62]}})
            ),
            "a: The shape, with each 0 counted as 1",
        ),
        (changed("config.json", model_type=HOSTILE), "supports only bert"),
        (changed("config.json", architectures=[HOSTILE, 1]), "a list of names"),
        (changed("config.json", **{HOSTILE: 1, "hidden_act": HOSTILE}), "hidden_act"),
        (changed("tokenizer_config.json", mask_token=[HOSTILE]), "must be a string"),
        (changed("tokenizer_config.json", unk_token=HOSTILE), "the unknown token"),
        (without_json("vocab.txt", b"[UNK]\n\xff\n"), "vocab.txt:2"),
        (without_json("vocab.txt", b"[UNK]\n\x1b[2J\n\x1b[2J\n"), "must be unique"),
        (replaced("model.safetensors", b"\x80\x04cos\nsystem\n."), "pickle"),
        (without_json("vocab.txt", b""), "vocab.txt"),
        (without_json("vocab.txt", None), "vocab.txt"),
        (one_more_word, "must not have more tokens than the embedding"),
    ],
    "roberta": [
        (without_json("vocab.json", b"{}"), "vocab.json"),
        (without_json("vocab.json", b'{"a": 1000000000000}'), "vocab.json"),
        (without_json("vocab.json", b'{"a": 0, "a": 1}'), "vocab.json"),
        (without_json("merges.txt", b"#version: 0.2\na zz\n"), "merges.txt:2"),
        (without_json("merges.txt", b"#version: 0.2\na\n"), "merges.txt:2"),
    ],
}
CASES = [(kind, number) for kind, cases in BAD.items() for number in range(len(cases))]

OPENING = """
import json, pathlib, sys, time
import tfzoo
from tfzoo.errors import TfzooError
def kilobytes(name):
    return int(open("/proc/self/status").read().split(name)[1].split()[0])
tfzoo.MaskedLM.from_preset(sys.argv[1])
for directory in sys.argv[2:]:
    open("/proc/self/clear_refs", "w").write("5")  # resets the peak
    before, start, message = kilobytes("VmRSS:"), time.perf_counter(), None
    try:
        tfzoo.MaskedLM.from_preset(directory)
    except TfzooError as error:
        message = str(error)
    seconds = time.perf_counter() - start
    print(json.dumps([message, seconds, kilobytes("VmHWM:") - before]))
"""


@pytest.fixture(scope="module")
def spoilt(bert, roberta, tmp_path_factory):
    """Function of a case that returns its directory."""
    good = {"bert": bert, "roberta": roberta}

    def spoilt(kind, number):
        folder = tmp_path_factory.mktemp("bad")
        intact = {path.name: path.read_bytes() for path in good[kind].iterdir()}
        for name, content in {**intact, **BAD[kind][number][0](good[kind])}.items():
            if content is not None:
                (folder / name).write_bytes(content)
        return folder

    return spoilt


@pytest.mark.parametrize(("kind", "number"), CASES)
def test_it_is_refused_in_one_line(kind, number, spoilt):
    directory = spoilt(kind, number)
    with pytest.raises(TfzooError) as error:
        MaskedLM.from_preset(directory)
    message = str(error.value)
    assert message.isprintable() and len(message) < 1000
    assert message.startswith(str(directory))  # that it names the file, too
    assert BAD[kind][number][1] in message


NO_PLACES = ["x" * 5000, "a\0b", "\ud800", "x" * 300, "\x1b[2J\n\u202e"]
NO_PLACES += ["hf://" + "x" * 5000, "hf:/x"]


@pytest.mark.parametrize("reference", NO_PLACES, ids=range(len(NO_PLACES)))
@pytest.mark.parametrize("below", [True, False])
def test_a_reference_that_is_no_place_is_one_line(reference, below, tmp_path):
    for opened in (
        MaskedLM.from_preset,
        BertEncoder.from_preset,
        WordPieceTokenizer.from_preset,
        from_preset,
        tokenizer_from_preset,
    ):
        with pytest.raises(TfzooError) as error:
            opened(tmp_path / reference if below else reference)
        message = str(error.value)
        assert message.isprintable() and len(message) < 1500


def test_a_directory_that_is_not_utf_8_opens(bert, tmp_path):
    copy = tmp_path / os.fsdecode(b"caf\xe9")
    task = MaskedLM.from_preset(shutil.copytree(bert, copy))
    task.save_to_preset(copy / "again")
    assert "\udce9" in str(copy)
    (copy / "again" / "config.json").write_text("{}")
    with pytest.raises(TfzooError, match=r"caf\\udce9/again/config.json: "):
        MaskedLM.from_preset(copy / "again")


def test_a_loop_of_links_is_one_line(bert, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for name in ("config.json", "model.safetensors"):
        copy = shutil.copytree(bert, tmp_path / name)
        (copy / name).unlink()
        (copy / name).symlink_to(name)
        for directory in (copy, tmp_path / "loop"):
            with pytest.raises(TfzooError) as error:
                MaskedLM.from_preset(directory)
            assert str(error.value).startswith(str(directory))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_is_refused_in_two_seconds_and_200_megabytes(bert, spoilt):
    done = subprocess.run(
        [sys.executable, "-c", OPENING, str(bert), *(spoilt(*case) for case in CASES)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    for case, line in zip(CASES, lines, strict=True):
        message, seconds, kilobytes = json.loads(line)
        assert message is not None, case
        assert seconds < 2, case
        assert kilobytes < 200 * 1024, case


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("bert", "tokenizer.json"),
        ("bert", "vocab.txt"),
        ("bert", "tokenizer_config.json"),
        ("roberta", "tokenizer.json"),
        ("roberta", "vocab.json"),
        ("roberta", "merges.txt"),
        ("roberta", "tokenizer_config.json"),
    ],
)
def test_a_scrambled_file_of_a_tokenizer_opens_or_is_refused(
    kind, name, bert, roberta, tmp_path, refusals
):
    for path in {"bert": bert, "roberta": roberta}[kind].iterdir():
        if path.name != "tokenizer.json" or name == path.name:
            (tmp_path / path.name).write_bytes(path.read_bytes())

    def opened():
        tokenizer_from_preset(tmp_path).tokenize("ab [MASK] \u00e9")

    assert refusals(tmp_path / name, opened) > 50


def test_nothing_outside_of_the_directory_is_read(bert, tmp_path):
    shards = {"weight_map": {"a": "../../secret.safetensors"}}
    for path in bert.iterdir():
        if path.name != "model.safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps(shards))
    with pytest.raises(TfzooError, match="must be in the directory"):
        MaskedLM.from_preset(pathlib.Path(tmp_path))
