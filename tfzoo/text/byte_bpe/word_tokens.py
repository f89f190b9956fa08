"""Converts words to tokens, in TensorFlow: known ones by lookup, others by merging."""

import tensorflow as tf

from tfzoo.text.byte_bpe.long_words import LongWords
from tfzoo.text.byte_bpe.tables import NO_TOKEN, STARTS_WORD
from tfzoo.text.double_array_trie import NO_VALUE
from tfzoo.text.trie_walk import TrieWalk
from tfzoo.text.vectors import where, with_values


class WordTokens(tf.Module):
    """Converts words to tokens.

    Args:
        tables: `ByteBPETables`.

    Call arguments:
        content: int32 (N,), bytes.
        starts: int32 (W,), where the words start; words are not empty.
        ends: int32 (W,), where they end.

    Returns:
        int32 (N,): the id of the token that starts at each byte, or NO_TOKEN.
    """

    def __init__(self, tables):
        super().__init__(name="word_tokens")
        self._known = TrieWalk(tables.words, outside=STARTS_WORD)
        self._merge = LongWords(tables.merges)
        self._has_suffix = bool((tables.single != tables.last).any())
        self._lacks_bytes = NO_TOKEN in tables.single or NO_TOKEN in tables.last
        with tf.init_scope(), tf.device("CPU"):
            self._single = tf.constant(tables.single)
            self._last = tf.constant(tables.last)

    def __call__(self, content, starts, ends):
        letters = tf.tensor_scatter_nd_add(
            content, starts[:, None], tf.fill(tf.shape(starts), STARTS_WORD)
        )
        known = self._known.keys_at(letters, starts, ends - starts)
        is_known = tf.not_equal(known, NO_VALUE)
        tokens, whole = tf.fill(tf.shape(content), NO_TOKEN), where(is_known)
        tokens = with_values(tokens, tf.gather(starts, whole), tf.gather(known, whole))
        rest = where(~is_known)
        starts, ends = tf.gather(starts, rest), tf.gather(ends, rest)
        single = tf.gather(self._single, content)
        if self._has_suffix:
            last = tf.gather(self._last, tf.gather(content, ends - 1))
            single = with_values(single, ends - 1, last)
        if self._lacks_bytes:
            return self._without_vanishing(tokens, single, starts, ends)
        return self._merge(tokens, single, starts, ends)

    def _without_vanishing(self, tokens, single, starts, ends):
        """Merges words without the bytes that have no token, as `tokenizers` does."""
        has_token = tf.not_equal(single, NO_TOKEN)
        stay = where(has_token)
        place = tf.pad(tf.cumsum(tf.cast(has_token, tf.int32)), [[1, 0]])
        starts, ends = tf.gather(place, starts), tf.gather(place, ends)
        words = where(starts < ends)
        starts, ends = tf.gather(starts, words), tf.gather(ends, words)
        kept = tf.gather(tokens, stay)
        kept = self._merge(kept, tf.gather(single, stay), starts, ends)
        return with_values(tokens, stay, kept)
