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


def bpe_json(byte_fallback=True):
    """A model as in the tokenizer.json of Llama 2."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += ["\u2581", "a", "b", "c", "ab", "\u2581ab", "bc", "\u2581a"]
    merges = [
        ["\u2581", "ab"],
        ["a", "b"],
        ["b", "c"],
        ["\u2581", "a"],
        ["\u2581a", "b"],
    ]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    back = {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    steps = [back, {"type": "ByteFallback"}, {"type": "Fuse"}, strip]
    prepend = {"type": "Prepend", "prepend": "\u2581"}
    return {
        "normalizer": {"type": "Sequence", "normalizers": [prepend, replace]},
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": steps},
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": byte_fallback,
            "vocab": {piece: index for index, piece in enumerate(pieces)},
            "merges": merges,
        },
    }


def write_marian(directory, *codes, is_separate=False):
    """Writes the files of a Marian tokenizer with these language codes."""
    source, target = trained(), trained(normalization="nmt_nfkc_cf")
    vocabulary = ["</s>", "<unk>", *source.vocabulary[3:], "\u65e5\u65e5", *codes]
    words = [token for token in target.vocabulary[3:] if token not in vocabulary]
    (directory / "source.spm").write_bytes(source.model)
    (directory / "target.spm").write_bytes(target.model)
    if is_separate:
        of_target = ["</s>", "<unk>", *sorted(words + vocabulary[2:40]), *codes[:1]]
        write_ids(directory / "target_vocab.json", [*of_target, "<pad>"])
        config = '{"tokenizer_class": "MarianTokenizer", "separate_vocabs": true}'
        (directory / "tokenizer_config.json").write_text(config)
        words = []
    write_ids(directory / "vocab.json", [*vocabulary, *words, "<pad>"])


def write_ids(path, vocabulary):
    """Writes a vocabulary as a JSON object of token -> id."""
    ids = {token: index for index, token in enumerate(vocabulary)}
    path.write_text(json.dumps(ids))


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
