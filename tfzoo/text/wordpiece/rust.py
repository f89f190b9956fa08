"""WordPiece with the library `tokenizers`: in Rust, multithreaded, with offsets."""

import functools

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from tfzoo.text.rust_engine import RustEngine

PREFIX = "##"  # marks a token that continues a word
MAX_WORD_LENGTH = 100  # characters; longer words are unknown


class WordPieceRust(RustEngine):
    """The engine that a `WordPieceTokenizer` uses in Python."""

    def __init__(self, tokenizer):
        super().__init__(tokenizer)
        self._plain = rust_tokenizer(tokenizer)

    @functools.cached_property
    def _with_mask(self):
        self._tokenizer.required_id("mask")
        return rust_tokenizer(self._tokenizer, [self._tokenizer.mask_token])


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
