"""SentencePiece's own files, `.model` and `.spm`: a `ModelProto`, read and checked.

The library trusts a file and may crash on a scrambled one, so that it only ever gets
what is checked here.

Source: `sentencepiece_model.proto` of https://github.com/google/sentencepiece; Kudo and
Richardson 2018, https://arxiv.org/abs/1808.06226
"""

import functools

import numpy as np
from google.protobuf.message import DecodeError

from tfzoo.errors import TokenizerError, shown
from tfzoo.text.sentencepiece.charsmap import Charsmap
from tfzoo.text.sentencepiece.piece_model import (
    BPE,
    BYTE,
    BYTES,
    CONTROL,
    NORMAL,
    SPACE,
    UNIGRAM,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    PieceModel,
)
from tfzoo.text.tokenizer_files import MAX_VOCABULARY_SIZE

_ALGORITHMS = {1: UNIGRAM, 2: BPE}
_KINDS = (NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE)
_MOST_SCORE = 1e9
_OF_TRAINER = ("model_type", "byte_fallback", "unk_surface")


@functools.lru_cache(maxsize=8)
def read_model(content):
    """The `PieceModel` of a file.

    Args:
        content: bytes.

    Raises:
        TokenizerError: the content is invalid, or has an option that is not supported.
    """
    proto = parsed(content)
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    algorithm = _ALGORITHMS.get(trainer.model_type)
    for name, value, allowed in (
        ("trainer_spec.model_type", algorithm, (UNIGRAM, BPE)),
        (
            "trainer_spec.treat_whitespace_as_suffix",
            trainer.treat_whitespace_as_suffix,
            (False,),
        ),
        ("normalizer_spec.escape_whitespaces", normalizer.escape_whitespaces, (True,)),
        ("denormalizer_spec", len(proto.denormalizer_spec.precompiled_charsmap), (0,)),
    ):
        if value not in allowed:
            raise TokenizerError(
                f"This must be {' or '.join(map(str, allowed))}. Received: "
                f"{shown(value)}.",
                tensor=name,
            )
    pieces = _pieces(proto, trainer.byte_fallback)
    kinds = np.array([piece.type for piece in proto.pieces], np.int8)
    scores = np.array([piece.score for piece in proto.pieces])
    if not (np.abs(scores) <= _MOST_SCORE).all():
        raise TokenizerError(
            f"A score must be a number of at most {_MOST_SCORE:g}. Received: "
            f"{shown(scores[~(np.abs(scores) <= _MOST_SCORE)][0])}.",
            tensor="pieces",
        )
    try:
        charsmap = Charsmap.read(normalizer.precompiled_charsmap)
    except ValueError as e:
        raise TokenizerError(
            f"{e}.", tensor="normalizer_spec.precompiled_charsmap"
        ) from None
    steps = ["rules"]
    steps += ["remove_extra_spaces"] * normalizer.remove_extra_whitespaces
    steps += ["dummy_prefix"] * normalizer.add_dummy_prefix
    return PieceModel(
        algorithm=algorithm,
        is_tokenizers=False,
        pieces=pieces,
        kinds=kinds,
        scores=scores,
        unknown_id=int(np.flatnonzero(kinds == UNKNOWN)[0]),
        byte_fallback=trainer.byte_fallback,
        unknown_surface=trainer.unk_surface,
        charsmap=charsmap,
        steps=tuple(steps),
    )


def parsed(content):
    """The `ModelProto` of a file's bytes."""
    from sentencepiece import sentencepiece_model_pb2

    try:
        return sentencepiece_model_pb2.ModelProto.FromString(content)
    except (DecodeError, UnicodeDecodeError):
        raise TokenizerError(
            "The file must be a model of SentencePiece (a ModelProto)."
        ) from None


def processor_of(content):
    """The `SentencePieceProcessor` of a checked file, without its self-test."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    proto, kept = parsed(content), sentencepiece_model_pb2.ModelProto()
    kept.pieces.extend(proto.pieces)
    kept.normalizer_spec.CopyFrom(proto.normalizer_spec)
    for name in _OF_TRAINER:
        setattr(kept.trainer_spec, name, getattr(proto.trainer_spec, name))
    try:
        kept.DiscardUnknownFields()
        return sentencepiece.SentencePieceProcessor(
            model_proto=kept.SerializeToString()
        )
    except RuntimeError as e:
        raise TokenizerError(f"SentencePiece refuses the model: {e}.") from None


def _pieces(proto, byte_fallback):
    """The pieces, checked; they are unique, and one is unknown."""
    pieces = tuple(piece.piece for piece in proto.pieces)
    if not 0 < len(pieces) <= MAX_VOCABULARY_SIZE:
        raise TokenizerError(
            f"A model must have 1 to {MAX_VOCABULARY_SIZE} pieces. "
            f"Received: {len(pieces)}.",
            tensor="pieces",
        )
    ids, kinds = {}, [piece.type for piece in proto.pieces]
    for index, (piece, kind) in enumerate(zip(pieces, kinds, strict=True)):
        rule = None
        if not isinstance(piece, str):
            rule = "A piece must be UTF-8"
        elif not piece or "\0" in piece:
            rule = "A piece must be a non-empty string without NUL"
        elif kind not in _KINDS:
            rule = f"The type of a piece must be one of {_KINDS}"
        elif ids.setdefault(piece, index) != index:
            rule = "Pieces must be unique"
        elif kind == BYTE and not (byte_fallback and piece in BYTES):
            rule = "A piece of a byte must be <0x00> to <0xFF>, with byte_fallback"
        elif kind == USER_DEFINED and SPACE in piece[1:]:
            rule = "A user-defined symbol must have no space inside"
        if rule:
            raise TokenizerError(
                f"{rule}. Received: {shown(piece)} of type {kind}.",
                tensor=f"pieces[{index}]",
            )
    if kinds.count(UNKNOWN) != 1:
        raise TokenizerError(
            f"One piece must be unknown. Received: {kinds.count(UNKNOWN)}.",
            tensor="pieces",
        )
    if byte_fallback and kinds.count(BYTE) != len(BYTES):
        raise TokenizerError(
            "A model with byte_fallback must have a piece for each of 256 bytes. "
            f"Received: {kinds.count(BYTE)}.",
            tensor="pieces",
        )
    return pieces
