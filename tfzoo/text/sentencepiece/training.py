"""Learns a SentencePiece model from text, deterministically.

The library splits its work among threads and adds what they counted in their order, so
that a result depends on their number, but not on the machine.
"""

import io

from tqdm import tqdm

from tfzoo.errors import TokenizerError, require_whole, shown
from tfzoo.text.training_text import texts_of

ALGORITHMS = ("unigram", "bpe")
NORMALIZATIONS = ("nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity")
_NUM_THREADS = 16
_LONGEST_TEXT = 1 << 16  # bytes; a longer one is split, as the library would skip it


def train_model(
    source,
    *,
    vocabulary_size,
    algorithm,
    normalization,
    character_coverage,
    byte_fallback,
    user_defined_symbols,
    tokens,
    progress,
):
    """The bytes of the trained model; see `SentencePieceTokenizer.train`.

    Args:
        source: Iterable of texts, or of `pathlib.Path` of text files.
        vocabulary_size: Total number of pieces.
        algorithm: One of `ALGORITHMS`.
        normalization: One of `NORMALIZATIONS`.
        character_coverage: Share of the characters that pieces cover.
        byte_fallback: Whether an unknown character becomes its bytes.
        user_defined_symbols: Strings that are always one piece.
        tokens: Dict of "pad", "eos", "unk" and "bos" -> token or None, in the order of
            their ids.
        progress: Whether a progress bar is shown.
    """
    import sentencepiece

    require_whole("vocabulary_size", vocabulary_size, 1)
    for name, value, allowed in (
        ("algorithm", algorithm, ALGORITHMS),
        ("normalization", normalization, NORMALIZATIONS),
    ):
        if value not in allowed:
            raise ValueError(
                f"{name} must be one of {', '.join(allowed)}. Received: {shown(value)}"
            )
    there = [name for name, token in tokens.items() if token is not None]
    num_texts = 0

    def sentences():
        nonlocal num_texts
        texts = tqdm(texts_of(source), "texts", disable=not progress, unit=" texts")
        for text in texts:
            for line in text.splitlines():
                for start in range(0, len(line), _LONGEST_TEXT // 4):
                    num_texts += 1
                    yield line[start : start + _LONGEST_TEXT // 4]

    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=sentences(),
            model_writer=written,
            vocab_size=vocabulary_size,
            hard_vocab_limit=False,
            model_type=algorithm,
            normalization_rule_name=normalization,
            character_coverage=character_coverage,
            byte_fallback=byte_fallback,
            user_defined_symbols=list(user_defined_symbols),
            max_sentence_length=_LONGEST_TEXT,
            num_threads=_NUM_THREADS,
            minloglevel=2,
            **{f"{name}_piece": token for name, token in tokens.items() if token},
            **{f"{n}_id": there.index(n) if n in there else -1 for n in tokens},
        )
    except (RuntimeError, OSError) as e:
        if not num_texts:
            raise TokenizerError(
                "The text to train the tokenizer on must not be empty."
            ) from None
        raise TokenizerError(
            f"The tokenizer was not trained: {' '.join(str(e).split())}."
        ) from None
    return written.getvalue()
