"""Scrambled tokenizer files open, or are refused with one line, quickly."""

import gzip
import json
import random
import resource
import time

import pytest

from sentencepiece_models import trained, write_marian
from tfzoo.errors import TfzooError
from tfzoo.text import ByteBPETokenizer, tokenizer_from_preset

TEXTS = ["The zoo's lions walk, walked, walking: 12 lions.\n", "a <call> \u65e5 b"] * 5
CLIP = {"split": "clip", "normalizer": "clip", "end_of_word_suffix": "</w>"}
CALL = {"content": "<call>", "lstrip": False, "rstrip": False, "normalized": False}
CALL |= {"single_word": False, "special": False}
ODD = [None, True, -1, 0, 2**31, 2**70, 0.5, float("nan"), "", "\ud800", "<call>", []]
ODD += [{}, ["a"], {"content": "</s>"}, {"content": 3}, "a" * 9999, [[[[{"a": [0]}]]]]]


def write_pair(directory, **config):
    """vocab.json and merges.txt of a byte-level BPE, and its configuration."""
    options = CLIP if config["tokenizer_class"] == "CLIPTokenizer" else {}
    tokenizer = ByteBPETokenizer.train(
        TEXTS, vocabulary_size=600, progress=False, **options
    )
    ids = {token: index for index, token in enumerate(tokenizer.vocabulary)}
    ids["<|startoftext|>"] = len(ids)
    (directory / "vocab.json").write_text(json.dumps(ids))
    merges = ["#version: 0.2", *map(" ".join, tokenizer.merges)]
    (directory / "merges.txt").write_text("\n".join(merges) + "\n")
    (directory / "tokenizer_config.json").write_text(json.dumps(config))


def clip(directory):
    write_pair(directory, tokenizer_class="CLIPTokenizer")


def clip_text(directory):
    clip(directory)
    merges = (directory / "merges.txt").read_bytes()
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        (directory / name).unlink()
    (directory / "merges.txt").write_bytes(merges)
    compressed(directory)


def compressed(directory):
    """Writes OpenAI's file with what is in merges.txt, which is not read."""
    content = (directory / "merges.txt").read_bytes()
    path = directory / "bpe_simple_vocab_16e6.txt.gz"
    path.write_bytes(gzip.compress(content, 1))


def qwen(directory):
    added = {"700": CALL, "701": {**CALL, "content": "<|im_end|>", "special": True}}
    write_pair(directory, tokenizer_class="Qwen2Tokenizer", added_tokens_decoder=added)


def named(directory):
    write_pair(directory, tokenizer_class="GPT2Tokenizer")
    pad = {**CALL, "content": "<pad>", "special": True}
    names = {
        "pad_token": pad,
        "eos_token": "<|endoftext|>",
        "bos_token": "<|startoftext|>",
    }
    (directory / "special_tokens_map.json").write_text(json.dumps(names))
    (directory / "added_tokens.json").write_text('{"<pad>": 700}')


def t5(directory):
    trained().save_to_preset(directory)
    special = {**CALL, "special": True}
    size = trained().vocabulary_size
    config = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "pad_token": "<pad>"}
    config["added_tokens_decoder"] = {
        str(size): special,
        "0": special | {"content": "<pad>"},
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config))


def marian(directory):
    write_marian(directory, ">>fra<<")
    names = {"unk_token": "<unk>", "pad_token": "<pad>", "eos_token": "</s>"}
    (directory / "special_tokens_map.json").write_text(json.dumps(names))


FILES = {
    clip: ["merges.txt", "vocab.json"],
    clip_text: ["merges.txt", "bpe_simple_vocab_16e6.txt.gz"],
    qwen: ["tokenizer_config.json"],
    named: ["special_tokens_map.json", "added_tokens.json"],
    t5: ["tokenizer_config.json"],
    marian: ["vocab.json", "source.spm", "target.spm", "special_tokens_map.json"],
}


class Limits:
    """Opens a tokenizer and uses it, and notes how long that takes."""

    def __init__(self, directory):
        self.directory, self.slowest = directory, 0
        self.before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def __call__(self):
        start = time.process_time()
        try:
            tokenizer = tokenizer_from_preset(self.directory)
            ids = tokenizer.encode(">>fra<< The lions <call> \u65e5 e\u0301").token_ids
            tokenizer.detokenize(ids)
        finally:
            self.slowest = max(self.slowest, time.process_time() - start)

    def check(self):
        assert self.slowest < 2
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self.before
        assert grown < 200 << 10


@pytest.mark.slow
@pytest.mark.parametrize(
    "write, name", [(write, name) for write, names in FILES.items() for name in names]
)
def test_scrambled_bytes(write, name, tmp_path, refusals):
    write(tmp_path)
    opened = Limits(tmp_path)
    opened()  # what is not scrambled opens

    def again():
        if write is clip_text and name == "merges.txt":
            compressed(tmp_path)
        opened()

    assert refusals(tmp_path / name, again) > 20
    opened.check()


def places(value, path=()):
    """The paths to all values inside a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, inside in items:
        yield from places(inside, (*path, key))


def with_odd_value(content, source):
    """JSON in which one value, or one key, is an odd one."""
    content = json.loads(json.dumps(content))
    path = source.choice([*places(content)][-300:])
    if not path:
        return source.choice(ODD)
    inside = content
    for key in path[:-1]:
        inside = inside[key]
    if isinstance(inside, dict) and source.random() < 0.3:
        inside[str(source.choice(ODD))] = inside.pop(path[-1])
    else:
        inside[path[-1]] = source.choice(ODD)
    return content


@pytest.mark.slow
@pytest.mark.parametrize(
    "write, name",
    [(w, n) for w, names in FILES.items() for n in names if n.endswith(".json")],
)
def test_odd_values(write, name, tmp_path):
    write(tmp_path)
    opened, source, refused = Limits(tmp_path), random.Random(0), 0
    content = json.loads((tmp_path / name).read_text())
    for _ in range(500):
        text = json.dumps(with_odd_value(content, source))
        (tmp_path / name).write_text(text)
        try:
            opened()
        except TfzooError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 20
    opened.check()
