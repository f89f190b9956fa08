"""Base class of the tokenizers in TensorFlow operations."""

import tensorflow as tf

from tfzoo.text import in_parts, segments

TEXTS = tf.TensorSpec([None], tf.string)


class GraphEngine(tf.Module):
    """Base of a tokenizer in TensorFlow operations, for `tf.data` and SavedModels.

    Subclasses define `__call__` (texts (B,) to ragged ids), `detokenize` and:

        _tokenize_with_mask: Like `__call__`, but recognizes the mask token in texts.
        _places: Implements `places`.
        _is_divisible: Whether a long text may be tokenized in pieces.

    Args:
        tokenizer: The tokenizer with the vocabulary and the options.
        name: Name of the module.

    Call arguments:
        texts: (B,) strings.

    Returns:
        Ragged int32 tensor (B, None) of ids without special tokens.
    """

    _is_divisible = True

    def __init__(self, tokenizer, name):
        super().__init__(name=name)
        self._tokenizer = tokenizer

    def encode(self, text, text_pair=None, *, max_length=None, mask_token=False):
        """Encodes texts or pairs with the special tokens of the tokenizer's `layout`.

        Args:
            text: (B,) strings.
            text_pair: None, or (B,) strings.
            max_length: Maximum number of tokens; the longer text is truncated first.
            mask_token: Whether the mask token is recognized in texts.

        Returns:
            {"token_ids", "segment_ids"}: ragged int32 tensors (B, None).
        """
        layout, token = self._tokenizer.layout_ids, None
        if mask_token:
            self._tokenizer.required_id("mask")
            token = "mask"
        texts = [text] if text_pair is None else [text, text_pair]
        with tf.device("CPU"):
            ids = [self.in_bounds(each, token) for each in texts]
            return segments.pack_in_graph(*ids, layout=layout, max_length=max_length)

    def in_bounds(self, texts, token=None):
        """Ids without special tokens; a single long text is tokenized in pieces.

        Args:
            texts: (B,) strings.
            token: None, or the name of the special token to recognize in texts: "mask"
                or "end".

        Returns:
            Ragged int32 tensor (B, None).
        """
        texts = tf.convert_to_tensor(texts, tf.string)
        tokenize, is_divided = self.__call__, self._is_divisible
        if token is not None:
            tokenize = getattr(self, f"_tokenize_with_{token}")
            is_divided &= " " not in getattr(self._tokenizer, f"{token}_token")
        if not is_divided:
            return tokenize(texts)

        def some(texts):
            return {"ids": tokenize(texts).flat_values}

        def whole():
            ids = tokenize(texts)
            return ids.flat_values, ids.row_splits

        def in_some():
            ids = in_parts.in_pieces(some, texts[0])["ids"]
            return ids, tf.stack([0, tf.size(ids, tf.int64)])

        with tf.device("CPU"):
            values, splits = tf.cond(_is_long(texts), in_some, whole)
            return tf.RaggedTensor.from_row_splits(values, splits, validate=False)

    def places_in_bounds(self, texts):
        """The same as `places`; a single long text is tokenized in pieces."""
        texts = tf.convert_to_tensor(texts, tf.string)
        # A tokenizer that adds a space before texts would add it before pieces, too.
        adds_space = getattr(self._tokenizer, "add_prefix_space", False)
        if adds_space or not self._is_divisible:
            return self._places(texts)

        def some(texts):
            places = self._places(texts)
            characters = tf.strings.unicode_decode(texts, "UTF-8").row_lengths()
            found = {name: value.flat_values for name, value in places.items()}
            counts = places["token_ids"].row_lengths()
            return {**found, "counts": counts, "characters": characters}

        def whole():
            places = self._places(texts)
            splits = places["token_ids"].row_splits
            return {name: x.flat_values for name, x in places.items()}, splits

        def in_some():
            found = in_parts.in_pieces(some, texts[0])
            counts, characters = found.pop("counts"), found.pop("characters")
            before = tf.repeat(tf.cumsum(characters, exclusive=True), counts)
            for name in ("starts", "ends"):
                found[name] += tf.cast(before, tf.int32)
            return found, tf.stack([0, tf.size(before, tf.int64)])

        with tf.device("CPU"):
            found, splits = tf.cond(_is_long(texts), in_some, whole)
            return {
                name: tf.RaggedTensor.from_row_splits(value, splits, validate=False)
                for name, value in found.items()
            }

    def places(self, texts):
        """Ids without special tokens, and the positions of the tokens in the texts.

        Args:
            texts: (B,) strings.

        Returns:
            Ragged tensors (B, None): int32 `token_ids`; int32 `starts` and `ends` in
            characters of the text; bool `starts_word`, whether the token is the first
            of its word. They equal those of the tokenizer's `encode`.
        """
        return self._places(tf.convert_to_tensor(texts, tf.string))


def _is_long(texts):
    size = tf.reduce_sum(tf.strings.length(texts))
    return tf.equal(tf.size(texts), 1) & (size > 2 * in_parts.PIECE)
