"""What a SentencePiece model consists of, whichever file it was read from."""

import dataclasses

import numpy as np

from tfzoo.text.sentencepiece.charsmap import Charsmap

UNIGRAM, BPE = "unigram", "bpe"
SPACE = "\u2581"  # stands for a space in pieces
# Kinds of pieces, as in `sentencepiece_model.proto`
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))  # pieces of byte fallback


@dataclasses.dataclass(frozen=True)
class PieceModel:
    """A model as the graph engine reads it.

    Attributes:
        algorithm: `UNIGRAM` or `BPE`.
        is_tokenizers: Whether ids are those of `tokenizers`, otherwise those of the
            library `sentencepiece`.
        pieces: Tuple of str, in the order of the model's ids.
        kinds: int8 (P,), the kinds of P pieces.
        unknown_id: Id of the unknown piece.
        scores: float64 (P,), for Unigram and for BPE of `sentencepiece`.
        merges: Pairs of pieces in the order of their ranks, for BPE of `tokenizers`.
        byte_fallback: Whether an unknown character becomes its bytes.
        fuses_unknown: Whether adjacent unknown characters are one unknown piece.
        unknown_surface: The text of an unknown piece.
        charsmap: The `Charsmap` of the normalizer.
        steps: How texts become pieces' characters: see `graph_normalizer`.
        decodes: How pieces become text: see `graph_decoder`.
    """

    algorithm: str
    is_tokenizers: bool
    pieces: tuple
    kinds: np.ndarray
    unknown_id: int
    scores: np.ndarray | None = None
    merges: tuple = ()
    byte_fallback: bool = False
    fuses_unknown: bool = True
    unknown_surface: str = " \u2047 "
    charsmap: Charsmap | None = None
    steps: tuple = ()
    decodes: str = ""
