"""Byte-level BPE in a TensorFlow graph of core operations, a whole batch at once.

The texts are one stream of N bytes, and every step works on the whole stream:

1. Decode UTF-8, look up what kind of character each code point is, and mark where the
   words of GPT-2's pattern start: `gpt2_words`.
2. Look every word up in a trie of the words that are one token.
3. Merge the bytes of the others: `merging`, and `long_words` where one is long.

Source: Radford et al. 2019, section 2.2, and its `encoder.py`,
https://github.com/openai/gpt-2, in the version of `tokenizers`, whose ids these are for
every text.
"""

import tensorflow as tf

from tfzoo.text.byte_bpe_tables import KIND, LENGTH_SHIFT, byte_bpe_tables
from tfzoo.text.codepoint_lookup import CodePointTable
from tfzoo.text.gpt2_words import word_starts
from tfzoo.text.long_words import LongWords
from tfzoo.text.trie_walk import TrieWalk
from tfzoo.text.vectors import following, where, with_values

_TEXTS = tf.TensorSpec([None], tf.string)
NO_TOKEN = -1


class ByteBPEGraph(tf.Module):
    def __init__(self, tokenizer):
        super().__init__(name="byte_bpe")
        self._tokenizer = tokenizer
        tables = byte_bpe_tables(tokenizer)
        self._entries = CodePointTable(tables.pages, tables.blocks)
        self._whole = TrieWalk(tables.words)
        self._merge = LongWords(tables.merges)
        with tf.init_scope(), tf.device("CPU"):
            self._ids = tf.constant(tables.ids)

    def __call__(self, texts):
        return self._tokenize(tf.convert_to_tensor(texts, tf.string))

    @tf.function(input_signature=[_TEXTS], autograph=False)
    def _tokenize(self, texts):
        with tf.device("CPU"):
            texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
            content = tf.io.decode_raw(tf.strings.reduce_join(texts), tf.uint8)
            content = tf.cast(content, tf.int32)
            starts, ends, splits = self._words(texts)
            symbols = self._symbols(content, starts, ends)
            places = where(tf.not_equal(symbols, NO_TOKEN))
            ids = tf.gather(self._ids, tf.gather(symbols, places))
            splits = tf.searchsorted(tf.cast(places,tf.int32), splits, out_type=tf.int64)
            return tf.RaggedTensor.from_row_splits(ids, splits, validate=False)

    def _words(self, texts):
        """Where words start and end in the bytes, and where texts do."""
        code_points = tf.strings.unicode_decode(texts, "UTF-8")
        splits, code_points = code_points.row_splits, code_points.flat_values
        entries = self._entries(code_points)
        lengths = tf.bitwise.right_shift(entries, LENGTH_SHIFT) + 1
        places = tf.pad(tf.cumsum(lengths), [[1, 0]])
        starts = word_starts(code_points, entries & KIND, splits)
        starts = tf.gather(places, starts)
        return starts, following(starts, places[-1]), tf.gather(places, splits)

    def _symbols(self, content, starts, ends):
        """int32 (N,) the symbol that starts at every byte, or NO_TOKEN."""
        letters = with_value_or(content * 2, starts)
        known = self._whole.exact(letters, starts, ends - starts)
        is_known = tf.not_equal(known, NO_TOKEN)
        symbols = tf.fill(tf.shape(content), NO_TOKEN)
        whole, rest = where(is_known), where(~is_known)
        symbols = with_values(
            symbols, tf.gather(starts, whole), tf.gather(known, whole)
        )
        return self._merge(
            symbols, content, tf.gather(starts, rest), tf.gather(ends, rest)
        )


def with_value_or(x, starts):
    return tf.tensor_scatter_nd_add(x, tf.expand_dims(starts, 1), tf.ones_like(starts))
