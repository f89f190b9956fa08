"""What the tokenizers in TensorFlow graphs have in common."""

import tensorflow as tf

from tfzoo.text import segments

TEXTS = tf.TensorSpec([None], tf.string)


class GraphEngine(tf.Module):
    """Base of a tokenizer in TensorFlow operations, for `tf.data` and a SavedModel.

    It defines `__call__`, texts (B,) to ragged ids, `detokenize` and:

        _tokenize_with_mask: The same, where the mask token is read in texts.
        _places: What `places` returns.

    Args:
        tokenizer: The tokenizer whose ids these are.
        name: Of the module.
    """

    def __init__(self, tokenizer, name):
        super().__init__(name=name)
        self._tokenizer = tokenizer

    def encode(self, text, text_pair=None, *, max_length=None, mask_token=False):
        """Texts or pairs with special tokens, as the tokenizer's `layout` says.

        Args:
            text: (B,) strings.
            text_pair: None, or (B,) strings.
            max_length: Longest result in tokens; the longer text is cut first.
            mask_token: Whether the mask token, written in a text, is that token.

        Returns:
            {"token_ids", "segment_ids"}: ragged int32 tensors (B, None).
        """
        layout, tokenize = self._tokenizer.layout, self.__call__
        if mask_token:
            self._tokenizer.required_id("mask")
            tokenize = self._tokenize_with_mask
        texts = [text] if text_pair is None else [text, text_pair]
        with tf.device("CPU"):
            ids = map(tokenize, texts)
            return segments.pack_in_graph(*ids, layout=layout, max_length=max_length)

    def places(self, texts):
        """Ids without special tokens, and where in the texts their tokens stand.

        Args:
            texts: (B,) strings.

        Returns:
            Ragged tensors (B, None): int32 `token_ids`; int32 `starts` and `ends` in
            characters of the text; bool `starts_word`, whether the token is the first
            of its word. They are what the tokenizer's `encode` gives.
        """
        return self._places(tf.convert_to_tensor(texts, tf.string))
