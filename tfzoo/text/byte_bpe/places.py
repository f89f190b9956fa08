"""Where the tokens of a byte-level BPE stand in their texts, in TensorFlow operations.

Shapes: B texts, T tokens, W words, M characters of all texts.
"""

import typing

import tensorflow as tf

from tfzoo.text.vectors import following, with_value


class ByteStream(typing.NamedTuple):
    """Texts that are cut into tokens, all as one stream of bytes.

    Attributes:
        ids: int32 (T,) of the tokens.
        tokens: int32 (T,), the byte at which each token starts.
        words: int32 (W,), likewise.
        characters: int32 (M + 1,), likewise, and the number of all bytes.
        text_splits: int64 (B + 1,), the characters at which texts begin and end.
    """

    ids: tf.Tensor
    tokens: tf.Tensor
    words: tf.Tensor
    characters: tf.Tensor
    text_splits: tf.Tensor

    def ragged_ids(self):
        """Ragged int32 (B, None)."""
        texts = tf.gather(self.characters, self.text_splits)
        splits = tf.searchsorted(self.tokens, texts, out_type=tf.int64)
        return tf.RaggedTensor.from_row_splits(self.ids, splits, validate=False)


def places_of(stream, is_spaced, spaces, add_prefix_space):
    """What `ByteBPEGraph.places` returns.

    Args:
        stream: A `ByteStream`.
        is_spaced: bool (B,), whether a space was put before a text.
        spaces: int32 (T, 2), with how many spaces every token begins, and ends.
        add_prefix_space: Whether the tokenizer does that where a text has none.
    """
    ids = stream.ragged_ids()
    # Tokens that share a character stand at the whole of it, each of them.
    first = tf.searchsorted(stream.characters, stream.tokens, "right") - 1
    after = following(stream.tokens, last=stream.characters[-1])
    last = tf.searchsorted(stream.characters, after) - 1
    rows = ids.value_rowids()
    # A space that was added stands where the first character does.
    origins = tf.cast(stream.text_splits[:-1], tf.int32) + tf.cast(is_spaced, tf.int32)
    first, last = (tf.maximum(x - tf.gather(origins, rows), 0) for x in (first, last))
    starts, ends, (leading, trailing) = first, last + 1, tf.unstack(spaces, axis=1)
    if add_prefix_space:
        # `tokenizers` takes the one space of a first token, or of what begins where
        # the text does, for one that was added, and leaves it there.
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
