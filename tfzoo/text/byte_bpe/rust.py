"""Byte-level BPE with the library `tokenizers`: in Rust, multithreaded."""

import functools

from tokenizers import AddedToken, Tokenizer, models, processors

from tfzoo.text.byte_bpe import declaration
from tfzoo.text.rust_engine import RustEngine


class ByteBPERust(RustEngine):
    """The engine that a `ByteBPETokenizer` uses in Python."""

    def __init__(self, tokenizer):
        super().__init__(tokenizer)
        self._plain = rust_tokenizer(tokenizer)

    def encode_words(self, words):
        """The ids of words, written in characters of `byte_alphabet`: list of lists."""
        rust = Tokenizer(self._plain.model)
        return [encoding.ids for encoding in rust.encode_batch_fast(words)]

    def words(self, text):
        """The words of a text, written in characters of `byte_alphabet`."""
        words = self._plain.pre_tokenizer.pre_tokenize_str(text)
        return [word for word, _ in words]

    @functools.cached_property
    def _with_end(self):
        self._tokenizer.required_id("end")
        return rust_tokenizer(self._tokenizer, [AddedToken(self._tokenizer.end_token)])

    @functools.cached_property
    def _with_special(self):
        tokens = map(AddedToken, self._tokenizer.special_tokens)
        return rust_tokenizer(self._tokenizer, list(tokens))

    @functools.cached_property
    def _with_mask(self):
        self._tokenizer.required_id("mask")
        lstrip = self._tokenizer.mask_lstrip
        token = AddedToken(self._tokenizer.mask_token, lstrip=lstrip)
        return rust_tokenizer(self._tokenizer, [token])

    @functools.cached_property
    def _with_places(self):
        """An engine whose offsets exclude the space before a token."""
        rust = rust_tokenizer(self._tokenizer)
        rust.post_processor = processors.ByteLevel(
            add_prefix_space=self._tokenizer.add_prefix_space, trim_offsets=True
        )
        return rust


def rust_tokenizer(tokenizer, recognized=()):
    """The `tokenizers.Tokenizer` of a `ByteBPETokenizer`.

    Args:
        tokenizer: A `ByteBPETokenizer`.
        recognized: The special tokens that are recognized in texts, `AddedToken`s of
            `tokenizers`. The others are plain text.
    """
    result = declaration.rust_without_model(
        tokenizer.normalizer,
        tokenizer.split,
        add_prefix_space=tokenizer.add_prefix_space,
    )
    ids = {token: i for i, token in enumerate(tokenizer.vocabulary) if token}
    result.model = models.BPE(
        ids,
        list(tokenizer.merges),
        end_of_word_suffix=tokenizer.end_of_word_suffix,
        ignore_merges=tokenizer.ignore_merges,
    )
    if tokenizer.added_tokens:
        result.add_tokens(
            [AddedToken(**token._asdict()) for token in tokenizer.added_tokens]
        )
    if recognized:
        result.add_special_tokens(recognized)
    elif tokenizer.added_tokens:
        # Text that a special token takes up is not searched for other tokens.
        result.add_special_tokens(list(tokenizer.special_tokens))
        result.encode_special_tokens = True
    return result
