"""WordPiece with the library `tokenizers`: in Rust, multithreaded, with offsets."""

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from tfzoo.text.rust_engine import flat_columns, ids_in_chunks, places_of
from tfzoo.text.segments import join, pack

PREFIX = "##"  # marks a token that continues a word
MAX_WORD_LENGTH = 100  # characters; longer words are unknown


class WordPieceRust:
    """The engine that a `WordPieceTokenizer` uses in Python.

    Args:
        tokenizer: A `WordPieceTokenizer`.
    """

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer
        self._rust = rust_tokenizer(tokenizer)
        self._rust_with_mask = None

    def tokenize(self, texts):
        """Yields the ids of every text of an iterable."""
        for chunk in ids_in_chunks(self._rust, texts):
            yield from chunk

    def encode(self, texts, max_length):
        """The `Encoding` of one or two texts."""
        layout = self._tokenizer.layout_ids
        return join([places_of(self._rust, text) for text in texts], layout, max_length)

    def encode_batch(self, columns, max_length, *, mask_token):
        """The `EncodedBatch` of one or two iterables of texts."""
        layout = self._tokenizer.layout_ids
        rust = self._with_mask() if mask_token else self._rust
        columns = flat_columns(rust, columns)
        return pack(*columns, layout=layout, max_length=max_length)

    def _with_mask(self):
        self._tokenizer.required_id("mask")
        if self._rust_with_mask is None:
            special = [self._tokenizer.mask_token]
            self._rust_with_mask = rust_tokenizer(self._tokenizer, special)
        return self._rust_with_mask


def rust_tokenizer(tokenizer, special_tokens=()):
    """The `tokenizers.Tokenizer` of a `WordPieceTokenizer`.

    Args:
        tokenizer: A `WordPieceTokenizer`.
        special_tokens: Special tokens to recognize in texts.
    """
    ids = {token: index for index, token in enumerate(tokenizer.vocabulary)}
    result = Tokenizer(
        models.WordPiece(
            ids,
            unk_token=tokenizer.unknown_token,
            max_input_chars_per_word=MAX_WORD_LENGTH,
            continuing_subword_prefix=PREFIX,
        )
    )
    result.normalizer = bert_normalizer(
        tokenizer.lowercase, tokenizer.strip_accents, tokenizer.split_cjk
    )
    result.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    result.decoder = decoders.WordPiece(prefix=PREFIX, cleanup=False)
    result.add_special_tokens(list(special_tokens))
    return result


def bert_normalizer(lowercase, strip_accents, split_cjk):
    """BERT's normalizer; `strip_accents=None` strips accents if `lowercase`."""
    return normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=split_cjk,
        strip_accents=strip_accents,
        lowercase=lowercase,
    )


def after_another(token):
    """The text that a token appends to that of the tokens before it."""
    return token[len(PREFIX) :] if token.startswith(PREFIX) else f" {token}"
