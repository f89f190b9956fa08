"""Learns a SentencePiece model from text, deterministically.

The library splits its work among threads and adds what they counted in their order, so
that a result depends on their number, but not on the machine.
"""

import io

from tqdm import tqdm

from tfzoo.errors import TokenizerError, about, require_whole, shown
from tfzoo.text.tokenizer_classes import start_and_end
from tfzoo.text.training_text import named_files, texts_of

ALGORITHMS = ("unigram", "bpe")
NORMALIZATIONS = ("nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity")
_NUM_THREADS = 16
_LONGEST_TEXT = 1 << 16  # bytes; a longer one is split, as the library would skip it


class LearnsPieces:
    """Mixin of `SentencePieceTokenizer`: `train`."""

    @classmethod
    def train(
        cls,
        source,
        *,
        vocabulary_size,
        algorithm="unigram",
        normalization="nmt_nfkc",
        character_coverage=0.9995,
        byte_fallback=False,
        user_defined_symbols=(),
        unknown_token="<unk>",
        pad_token="<pad>",
        start_token=None,
        end_token="</s>",
        progress=True,
    ):
        """Trains a tokenizer on text; the result is deterministic.

        The pad, end, unknown and start token come first, in this order, as in T5; then
        the bytes, user-defined symbols and pieces. A text ends with the end token and
        begins with the start token, if there are any.

        Args:
            source: Iterable of texts, or list of `pathlib.Path` of text files (UTF-8;
                gzip if their name ends in .gz). White space at the ends of lines has
                no effect.
            vocabulary_size: Maximum number of pieces; fewer if the text is too small.
            algorithm: "unigram" or "bpe".
            normalization: Rules of the normalizer: "nmt_nfkc", "nfkc", "nmt_nfkc_cf",
                "nfkc_cf" or "identity".
            character_coverage: Share of the characters of the text that pieces cover, 0
                to 1; the rarest characters are unknown.
            byte_fallback: Whether an unknown character becomes its bytes.
            user_defined_symbols: Strings that are always one piece.
            unknown_token: Token for unknown text.
            pad_token: Token for padding, or None.
            start_token: Token that starts a text, or None.
            end_token: Token that ends a text, or None.
            progress: Whether a progress bar is shown.

        Raises:
            TokenizerError: a file cannot be read, the text is empty, or
                `vocabulary_size` is too small for the characters and special tokens.
        """
        tokens = {"pad": pad_token, "eos": end_token, "unk": unknown_token}
        with about(named_files(source)):
            model = train_model(
                source,
                vocabulary_size=vocabulary_size,
                algorithm=algorithm,
                normalization=normalization,
                character_coverage=character_coverage,
                byte_fallback=byte_fallback,
                user_defined_symbols=user_defined_symbols,
                tokens={**tokens, "bos": start_token},
                progress=progress,
            )
        return cls(
            model,
            pad_token=pad_token,
            start_token=start_token,
            end_token=end_token,
            layout=start_and_end(start_token is not None, end_token is not None),
        )


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
    """The bytes of the trained model; see `LearnsPieces.train`.

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
