"""Base class of the graph engines that recognize several tokens in texts."""

import tensorflow as tf

from tfzoo.text.added_token import AddedToken
from tfzoo.text.graph_engine import TEXTS, GraphEngine
from tfzoo.text.text_parts import TextParts
from tfzoo.text.vectors import where, with_values


class GraphWithTokens(GraphEngine):
    """Base of the graph engines of `GenerativeTokenizer`s.

    Subclasses define what `GraphEngine` asks for and:

        _ids: Function of texts (B,) and the name of a special token, or "", that
            returns the ragged ids, with this token recognized.

    Args:
        tokenizer: The tokenizer, with the `AddedToken`s `added_tokens`.
        name: Name of the module.

    Call arguments, besides the texts:
        end_token: Whether the end token is recognized in texts.
    """

    def __init__(self, tokenizer, name):
        super().__init__(tokenizer, name)
        self._parts = {}

    def __call__(self, texts, *, end_token=False):
        texts = tf.convert_to_tensor(texts, tf.string)
        if not end_token:
            return self._tokenize(texts)
        self._tokenizer.required_id("end")
        return self._tokenize_with_end(texts)

    def continuations(self, before, ids):
        """The texts that ids add to those of the ids before them.

        Args:
            before: int32 (B, None), ragged or not.
            ids: int32 (B, None), ragged or not.

        Returns:
            (B,) strings, as from the tokenizer's `continuation`.
        """
        del before
        return self.detokenize(ids)

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _tokenize(self, texts):
        return self._ids(texts, "")

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _tokenize_with_end(self, texts):
        return self._ids(texts, "end")

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _tokenize_with_mask(self, texts):
        return self._ids(texts, "mask")

    def _text_parts(self, name):
        """The `TextParts` at added tokens and the named special token, or None."""
        if name not in self._parts:
            self._parts[name] = self._new_text_parts(name)
        return self._parts[name]

    def _new_text_parts(self, name, codes=None):
        tokenizer = self._tokenizer
        tokens = list(tokenizer.added_tokens)
        if name:
            lstrip = name == "mask" and tokenizer.mask_lstrip
            tokens.append(AddedToken(getattr(tokenizer, f"{name}_token"), lstrip))
        ids = [tokenizer.token_to_id(token.content) for token in tokens]
        if not tokens and codes is None:
            return None
        return TextParts(tokens, ids, codes=codes, unknown_id=tokenizer.unknown_id)


def valid(texts):
    """Texts in UTF-8, with invalid bytes replaced as in Python."""
    others = where(~tf.strings.regex_full_match(texts, r"[\x00-\x7f]*"))
    some = tf.strings.unicode_transcode(tf.gather(texts, others), "UTF-8", "UTF-8")
    return with_values(texts, others, some)
