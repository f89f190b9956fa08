"""Offsets of the tokens of a byte-level BPE in their texts, in TensorFlow operations.

Shapes: B texts; T tokens, W words and M characters of all texts.
"""

import typing

import tensorflow as tf

from tfzoo.text.vectors import following, preceding, with_value


class ByteStream(typing.NamedTuple):
    """Tokenized texts as one stream of bytes.

    Attributes:
        ids: int32 (T,), ids of the tokens.
        tokens: int32 (T,), the byte at which each token starts.
        word_starts: int32 (W,), the byte at which each word starts.
        word_ends: int32 (W,), the byte after each word.
        characters: int32 (M + 1,), the byte at which each character starts, followed by
            the total number of bytes.
        splits: int64 (B + 1,), the characters at which texts start and end.
        origins: int64 (M,), the character of all texts that each character comes from,
            before they were normalized.
        origin_splits: int64 (B + 1,), the characters at which texts start and end,
            before they were normalized.
    """

    ids: tf.Tensor
    tokens: tf.Tensor
    word_starts: tf.Tensor
    word_ends: tf.Tensor
    characters: tf.Tensor
    splits: tf.Tensor
    origins: tf.Tensor
    origin_splits: tf.Tensor

    def ragged_ids(self):
        """The ids as a ragged int32 tensor (B, None)."""
        texts = tf.gather(self.characters, self.splits)
        splits = tf.searchsorted(self.tokens, texts, out_type=tf.int64)
        return tf.RaggedTensor.from_row_splits(self.ids, splits, validate=False)


def places_of(stream, is_spaced):
    """The result of `ByteBPEGraph.places`, with offsets that include spaces.

    Args:
        stream: A `ByteStream`.
        is_spaced: bool (B,), whether a space was added before the text.
    """
    ids = stream.ragged_ids()
    word = tf.searchsorted(stream.word_starts, stream.tokens, "right") - 1
    after = following(stream.tokens, last=stream.characters[-1])
    after = tf.minimum(after, tf.gather(stream.word_ends, word))
    # Tokens that share a character all span the whole character.
    first = tf.searchsorted(stream.characters, stream.tokens, "right") - 1
    last = tf.searchsorted(stream.characters, after) - 1
    first, last = (tf.gather(stream.origins, x) for x in (first, last))
    # An added space has the position of the first character.
    origins = stream.origin_splits[:-1] + tf.cast(is_spaced, tf.int64)
    origins = tf.gather(origins, ids.value_rowids())
    first, last = (tf.cast(tf.maximum(x - origins, 0), tf.int32) for x in (first, last))
    starts_word = tf.not_equal(word, preceding(word, first=-1))
    return {
        "token_ids": ids,
        "starts": ids.with_flat_values(first),
        "ends": ids.with_flat_values(last + 1),
        "starts_word": ids.with_flat_values(starts_word),
    }


def without_spaces(places, spaces, *, add_prefix_space):
    """`places` with offsets that do not include the spaces of tokens.

    Args:
        places: As returned by `places_of`.
        spaces: int32 (V, 2), number of leading and trailing spaces of every token.
        add_prefix_space: Whether the tokenizer adds a space before texts without one.
    """
    ids = places["token_ids"]
    starts, ends = places["starts"].flat_values, places["ends"].flat_values
    leading, trailing = tf.unstack(tf.gather(spaces, ids.flat_values), axis=1)
    if add_prefix_space:
        # `tokenizers` considers a single space of the first token, or of a token that
        # starts where the text does, as added, and keeps it.
        is_first = tf.zeros([tf.size(starts) + 1], tf.bool)
        is_first = with_value(is_first, ids.row_starts(), value=True)[:-1]
        is_first |= tf.equal(starts, 0)
        leading = tf.where(is_first & tf.equal(leading, 1), 0, leading)
    starts = tf.minimum(starts + leading, ends)
    ends = tf.where(ends >= trailing, tf.maximum(ends - trailing, starts), ends)
    return places | {
        "starts": ids.with_flat_values(starts),
        "ends": ids.with_flat_values(ends),
    }
