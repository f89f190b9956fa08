"""Offsets of the tokens of a byte-level BPE in their texts, in TensorFlow operations.

Shapes: B texts; T tokens, W words and M characters of all texts.
"""

import typing

import tensorflow as tf

from tfzoo.text.vectors import following, with_value


class ByteStream(typing.NamedTuple):
    """Tokenized texts as one stream of bytes.

    Attributes:
        ids: int32 (T,), ids of the tokens.
        tokens: int32 (T,), the byte at which each token starts.
        words: int32 (W,), the byte at which each word starts.
        characters: int32 (M + 1,), the byte at which each character starts, followed by
            the total number of bytes.
        text_splits: int64 (B + 1,), the characters at which texts start and end.
    """

    ids: tf.Tensor
    tokens: tf.Tensor
    words: tf.Tensor
    characters: tf.Tensor
    text_splits: tf.Tensor

    def ragged_ids(self):
        """The ids as a ragged int32 tensor (B, None)."""
        texts = tf.gather(self.characters, self.text_splits)
        splits = tf.searchsorted(self.tokens, texts, out_type=tf.int64)
        return tf.RaggedTensor.from_row_splits(self.ids, splits, validate=False)


def places_of(stream, is_spaced, spaces, add_prefix_space):
    """The result of `ByteBPEGraph.places`.

    Args:
        stream: A `ByteStream`.
        is_spaced: bool (B,), whether a space was added before the text.
        spaces: int32 (T, 2), number of leading and trailing spaces of every token.
        add_prefix_space: Whether the tokenizer adds a space before texts without one.
    """
    ids = stream.ragged_ids()
    # Tokens that share a character all span the whole character.
    first = tf.searchsorted(stream.characters, stream.tokens, "right") - 1
    after = following(stream.tokens, last=stream.characters[-1])
    last = tf.searchsorted(stream.characters, after) - 1
    rows = ids.value_rowids()
    # An added space has the position of the first character.
    origins = tf.cast(stream.text_splits[:-1], tf.int32) + tf.cast(is_spaced, tf.int32)
    first, last = (tf.maximum(x - tf.gather(origins, rows), 0) for x in (first, last))
    starts, ends, (leading, trailing) = first, last + 1, tf.unstack(spaces, axis=1)
    if add_prefix_space:
        # `tokenizers` considers a single space of the first token, or of a token that
        # starts where the text does, as added, and keeps it.
        is_first = tf.zeros([tf.size(starts) + 1], tf.bool)
        is_first = with_value(is_first, ids.row_starts(), value=True)[:-1]
        is_first |= tf.equal(starts, 0)
        leading = tf.where(is_first & tf.equal(leading, 1), 0, leading)
    starts = tf.minimum(starts + leading, ends)
    ends = tf.where(ends >= trailing, tf.maximum(ends - trailing, starts), ends)
    is_word = tf.zeros([stream.characters[-1] + 1], tf.bool)
    is_word = with_value(is_word, stream.words, value=True)
    return {
        "token_ids": ids,
        "starts": ids.with_flat_values(starts),
        "ends": ids.with_flat_values(ends),
        "starts_word": ids.with_flat_values(tf.gather(is_word, stream.tokens)),
    }
