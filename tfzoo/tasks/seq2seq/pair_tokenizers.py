"""Tokenizers of both sides of pairs, trained on them once per run."""

import hashlib

from tfzoo.files import json_digest, written_beside
from tfzoo.text.preset_tokenizer import tokenizer_from_preset
from tfzoo.text.sentencepiece.tokenizer import SentencePieceTokenizer


def trained_tokenizers(pairs, directory, *, algorithm, vocabulary_size, separate):
    """SentencePiece tokenizers of sources and targets, which may be the same.

    They are kept in a directory, in which a run that goes on finds them again.

    Args:
        pairs: `TextPairs`.
        directory: Where to keep them, for example a run's `checkpoints`.
        algorithm: "unigram" or "bpe".
        vocabulary_size: Maximum number of pieces of each.
        separate: Whether either side has a vocabulary of its own.

    Returns:
        Tokenizers of sources and of targets.

    Raises:
        TokenizerError: `vocabulary_size` is too small for the characters of the text.
    """
    options = dict(algorithm=algorithm, vocabulary_size=vocabulary_size)

    def tokenizer(*sides):
        digest = hashlib.sha256()
        for text in (text for side in sides for text in side):
            digest.update(text.encode() + b"\n")
        key = json_digest({**options, "text": digest.hexdigest()})
        path = directory / f"tokenizer_{key[:16]}"
        if not path.exists():
            learned = SentencePieceTokenizer.train(
                [text for side in sides for text in side], progress=False, **options
            )
            with written_beside(path, directory=True) as beside:
                learned.save_to_preset(beside)
        return tokenizer_from_preset(path)

    if separate:
        return tokenizer(pairs.sources), tokenizer(pairs.targets)
    shared = tokenizer(pairs.sources, pairs.targets)
    return shared, shared
