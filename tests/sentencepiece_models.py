"""Small SentencePiece models for tests, and the shared real ones."""

import functools
import gzip
import json
import pathlib
from pydoc_data import topics

import pytest

from tfzoo.text import SentencePieceTokenizer, tokenizer_from_preset

MORE_LINES = [
    line.strip()
    for name in sorted(topics.topics)[:8]
    for line in topics.topics[name].split("\n")
    if line.strip()
]
LINES = MORE_LINES[:200]
SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"
METASPACE = {
    "type": "Metaspace",
    "replacement": "\u2581",
    "prepend_scheme": "always",
    "split": True,
}
SQUEEZE = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}


@functools.cache
def trained(*, vocabulary_size=300, **options):
    """A tokenizer trained on a few hundred lines."""
    symbols = tuple(options.pop("user_defined_symbols", ()))
    vocabulary_size += 256 * options.get("byte_fallback", False)
    return SentencePieceTokenizer.train(
        LINES,
        vocabulary_size=vocabulary_size,
        user_defined_symbols=symbols,
        progress=False,
        **options,
    )


def unigram_json(pieces=(), *, split=True, normalizer=SQUEEZE, byte_fallback=False):
    """The argument `model` with a Unigram model of the trained pieces."""
    found = trained().piece_model
    vocabulary = [
        [piece, score]
        for piece, score, kind in zip(
            found.pieces, found.scores.tolist(), found.kinds, strict=True
        )
        if kind == 1
    ]
    return {
        "normalizer": normalizer,
        "pre_tokenizer": {**METASPACE, "split": split},
        "decoder": METASPACE,
        "model": {
            "type": "Unigram",
            "unk_id": 0,
            "vocab": [["<unk>", 0.0], *([piece, 0.0] for piece in pieces), *vocabulary],
            "byte_fallback": byte_fallback,
        },
    }


def real(name, directory):
    """A real tokenizer and the items that its reference gave; skips without it."""
    place = SHARED / "tokenizers" / name
    if not place.is_dir():
        pytest.skip(f"no {place}")
    expected = "expected_marian" if name == "opus-mt-en-mg" else "expected"
    items = json.loads(gzip.decompress((place / f"{expected}.json.gz").read_bytes()))
    if name == "t5":
        content = gzip.decompress((place / "tokenizer.json.gz").read_bytes())
        (directory / "tokenizer.json").write_bytes(content)
        return tokenizer_from_preset(directory), items["items"]
    if name == "opus-mt-en-mg":
        return tokenizer_from_preset(place), items["items"]
    model = (place / f"{name}.model").read_bytes()
    return SentencePieceTokenizer(model), items["items"]
