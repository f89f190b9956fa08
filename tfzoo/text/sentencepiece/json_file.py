"""`tokenizer.json` of a SentencePiece model, the format of `tokenizers`.

The file lists what happens to a text: normalizers, a pre-tokenizer, the model, and the
decoder for the way back. Converters write few combinations of them; these are read, and
anything else is refused by its name.
"""

import json

import numpy as np
from tokenizers import Tokenizer

from tfzoo import files
from tfzoo.errors import TokenizerError, shown
from tfzoo.text import templates, tokenizer_files
from tfzoo.text.byte_bpe.rules import in_order
from tfzoo.text.sentencepiece.json_steps import (
    LIKE,
    check,
    decoder_kind,
    normalizer_steps,
)
from tfzoo.text.sentencepiece.piece_model import (
    BPE,
    BYTES,
    CONTROL,
    NORMAL,
    SPACE,
    UNIGRAM,
    UNKNOWN,
    PieceModel,
)
from tfzoo.text.tokenizer_files import MAX_VOCABULARY_SIZE

PARTS = ("normalizer", "pre_tokenizer", "decoder", "model")


def is_sentencepiece(content):
    """Whether the content of a file is a model of this kind.

    A BPE of bytes has a pre-tokenizer `ByteLevel`; one of SentencePiece has none, and
    falls back to bytes or writes spaces as pieces do.
    """
    parts = tokenizer_files.parts(content, ["model"])["model"]
    if parts.get("type") == "Unigram":
        return True
    written = json.dumps([content.get(name) for name in PARTS[:3]], ensure_ascii=False)
    is_bpe = parts.get("type") == "BPE" or "merges" in parts
    return is_bpe and SPACE in written and '"ByteLevel"' not in written


def read_json(path):
    """Reads the model of such a file.

    Returns:
        The constructor argument `model`; the list of added tokens; and the `Layout` of
        tokens that the file specifies, or None.

    Raises:
        TokenizerError: the file is invalid or not SentencePiece's.
    """
    content = files.read_json(path, TokenizerError)
    model = {name: content.get(name) for name in PARTS}
    added = content.get("added_tokens") or []
    processor = content.get(templates.FIELD)
    kind = processor.get("type") if isinstance(processor, dict) else processor
    tokenizer_files.check_field(
        kind, [None, templates.TEMPLATE], path, templates.FIELD, LIKE
    )
    if kind is None:
        return model, added, None
    ids = {
        token["content"]: token.get("id")
        for token in added
        if isinstance(token, dict) and isinstance(token.get("content"), str)
    }
    return model, added, templates.read_template(processor, ids, path)


def read_model(model, special=()):
    """The `PieceModel` of the parts of a file.

    Args:
        model: Dict of `PARTS` -> JSON value.
        special: Pieces that are special tokens, which no text contains.

    Raises:
        TokenizerError: a part is invalid or not SentencePiece's.
    """
    parts = tokenizer_files.parts(model, ["model"])["model"]
    kind = parts.get("type", "BPE" if "merges" in parts else None)
    check(kind, ["Unigram", "BPE"], "model.type")
    fallback = parts.get("byte_fallback")
    check(fallback, [True, False, None], "model.byte_fallback")
    read = _unigram if kind == "Unigram" else _bpe
    pieces, unknown_id, arguments = read(parts)
    if fallback and not set(BYTES) <= set(pieces):
        raise TokenizerError(
            "A model with byte_fallback must have a piece for each of 256 bytes.",
            tensor="model.vocab",
        )
    special = set(special)
    kinds = np.array([CONTROL if p in special else NORMAL for p in pieces], np.int8)
    kinds[unknown_id] = UNKNOWN
    charsmap, steps = normalizer_steps(model)
    return PieceModel(
        algorithm=UNIGRAM if kind == "Unigram" else BPE,
        is_tokenizers=True,
        pieces=pieces,
        kinds=kinds,
        unknown_id=unknown_id,
        byte_fallback=bool(fallback),
        charsmap=charsmap,
        steps=steps,
        decodes=decoder_kind(model.get("decoder")),
        **arguments,
    )


def _unigram(model):
    """Pieces, the unknown id, and further arguments of a `PieceModel`."""
    vocabulary, unknown_id = model.get("vocab"), model.get("unk_id")
    if (
        not isinstance(vocabulary, list)
        or not 0 < len(vocabulary) <= MAX_VOCABULARY_SIZE
        or not all(_is_entry(entry) for entry in vocabulary)
    ):
        raise TokenizerError(
            "The vocabulary must be a list of pieces, each with its score.",
            tensor="model.vocab",
        )
    pieces = tuple(piece for piece, _ in vocabulary)
    _check_unique(pieces)
    if type(unknown_id) is not int or not 0 <= unknown_id < len(pieces):
        raise TokenizerError(
            f"This must be the id of a piece. Received: {shown(unknown_id)}.",
            tensor="model.unk_id",
        )
    scores = np.array([float(score) for _, score in vocabulary])
    return pieces, unknown_id, {"scores": scores}


def scores_as_read(scores):
    """The scores of a Unigram model as `tokenizers` reads them from JSON.

    It may round the last of 17 digits differently from Python.
    """
    vocabulary = [[str(index), score] for index, score in enumerate(scores.tolist())]
    model = {"type": "Unigram", "unk_id": 0, "vocab": vocabulary}
    empty = {"version": "1.0", "added_tokens": [], "model": model}
    read = json.loads(Tokenizer.from_str(json.dumps(empty)).to_str())
    return np.array([score for _, score in read["model"]["vocab"]])


def _is_entry(entry):
    if not isinstance(entry, list) or len(entry) != 2:
        return False
    piece, score = entry
    is_number = type(score) in (int, float) and abs(score) <= 1e9
    return isinstance(piece, str) and piece != "" and is_number and _is_unicode(piece)


def _is_unicode(piece):
    return piece.isascii() or not any("\ud800" <= c < "\ue000" for c in piece)


def _check_unique(pieces):
    if len(set(pieces)) < len(pieces):
        seen = set()
        twice = next(p for p in pieces if p in seen or seen.add(p))
        raise TokenizerError(
            f"Pieces must be unique. Received: {shown(twice)} twice.",
            tensor="model.vocab",
        )


def _bpe(model):
    """The same for a BPE model."""
    for name, allowed in (
        ("dropout", [None, 0.0]),
        ("continuing_subword_prefix", [None, ""]),
        ("end_of_word_suffix", [None, ""]),
        ("ignore_merges", [None, False]),
        ("fuse_unk", [True, False, None]),
    ):
        check(model.get(name), allowed, f"model.{name}")
    pieces = tuple(in_order(model.get("vocab"), None, "model.vocab"))
    ids = {piece: index for index, piece in enumerate(pieces) if piece is not None}
    if not all(isinstance(p, str) and p and _is_unicode(p) for p in ids):
        raise TokenizerError(
            "A piece must be a non-empty string.", tensor="model.vocab"
        )
    merges = model.get("merges")
    if not isinstance(merges, list):
        raise TokenizerError("This must be a list.", tensor="model.merges")
    merges = [tuple(m.split(" ")) if isinstance(m, str) else m for m in merges]
    for rank, merge in enumerate(merges):
        if not (
            isinstance(merge, list | tuple)
            and len(merge) == 2
            and all(isinstance(part, str) and part in ids for part in merge)
            and "".join(merge) in ids
        ):
            raise TokenizerError(
                "A merge must be two pieces, and their result must be one. Received: "
                f"{json.dumps(merge)[:80]}.",
                tensor=f"model.merges[{rank}]",
            )
    unknown = model.get("unk_token")
    if not isinstance(unknown, str) or unknown not in ids:
        raise TokenizerError(
            f"This must be a piece. Received: {shown(unknown)}.",
            tensor="model.unk_token",
        )
    return (
        pieces,
        ids[unknown],
        {
            "merges": tuple(map(tuple, merges)),
            "fuses_unknown": bool(model.get("fuse_unk")),
        },
    )
