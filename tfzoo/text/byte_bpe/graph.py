"""Byte-level BPE in a TensorFlow graph of core operations, a whole batch at once.

The texts form one stream of N bytes, and every step processes the whole stream:

1. Split the texts at special tokens, and add a space before them if the tokenizer does.
   Decode UTF-8, look up the kind of each code point, and mark where the words of
   GPT-2's pattern start: `gpt2_words`.
2. Look up every word in a trie of the words that are a single token: `trie_walk`.
3. Merge the bytes of the other words: `long_words`, with `merging`.

Source: Radford et al. 2019, section 2.2, and its `encoder.py`,
https://github.com/openai/gpt-2, in the version of `tokenizers`; ids equal those of
`tokenizers` for every text.
"""

import functools

import tensorflow as tf

from tfzoo.text.byte_bpe import byte_alphabet
from tfzoo.text.byte_bpe.gpt2_words import word_starts
from tfzoo.text.byte_bpe.long_words import NO_TOKEN, LongWords
from tfzoo.text.byte_bpe.places import ByteStream, places_of
from tfzoo.text.byte_bpe.tables import (
    KIND,
    LENGTH_SHIFT,
    STARTS_WORD,
    byte_bpe_tables,
)
from tfzoo.text.double_array_trie import NO_VALUE
from tfzoo.text.graph_engine import TEXTS, GraphEngine
from tfzoo.text.tokenizer import WHITE_SPACE
from tfzoo.text.trie_walk import TrieWalk
from tfzoo.text.vectors import following, row_numbers, where, with_value, with_values
from tfzoo.text.wordpiece.codepoint_lookup import CodePointTable

_SPACE = byte_alphabet.CHARACTERS[ord(" ")]
_ENDING_SPACES = rf"{WHITE_SPACE}+\z"  # what `lstrip` removes before a special token


class ByteBPEGraph(GraphEngine):
    """A `ByteBPETokenizer` for use in `tf.data` and SavedModels.

    Ids equal those of the Rust engine for every text: empty, not UTF-8, with NUL, or a
    megabyte without a space. All operations are TensorFlow's own and run on the CPU;
    all tables are constants.

    Args:
        tokenizer: A `ByteBPETokenizer`.

    Call arguments, besides the texts:
        end_token: Whether the end token is recognized in texts.
    """

    def __init__(self, tokenizer):
        super().__init__(tokenizer, name="byte_bpe")
        tables = byte_bpe_tables(tokenizer)
        self._entries = CodePointTable(tables.pages, tables.blocks)
        self._words = TrieWalk(tables.words, outside=STARTS_WORD)
        self._long_words = LongWords(tables.merges)
        with tf.init_scope(), tf.device("CPU"):
            self._ids = tf.constant(tables.ids)

    def __call__(self, texts, *, end_token=False):
        texts = tf.convert_to_tensor(texts, tf.string)
        if not end_token:
            return self._tokenize(texts)
        self._tokenizer.required_id("end")
        return self._tokenize_with_end(texts)

    def detokenize(self, ids):
        """Texts of ids, in UTF-8; special tokens and ids without a token add nothing.

        The same applies to ids below 0 or outside the vocabulary. Bytes that are not
        UTF-8 become U+FFFD, as in Python's `decode("utf-8", "replace")`.

        Args:
            ids: int32 (B, None), ragged or not.

        Returns:
            (B,) strings.
        """
        with tf.device("CPU"):
            if not isinstance(ids, tf.RaggedTensor):
                ids = tf.RaggedTensor.from_tensor(ids)
            size = self._tokenizer.vocabulary_size
            values, splits = ids.flat_values, ids.row_splits
            values = tf.where((values >= 0) & (values < size), values, size)
            contents = tf.gather(self._contents, values)
            rows = row_numbers(splits, tf.size(values))
            num_rows = tf.size(splits) - 1
            return _valid(tf.strings.unsorted_segment_join(contents, rows, num_rows))

    @functools.cached_property
    def _contents(self):
        """The bytes of every token, followed by an empty string for any other id."""
        special = set(self._tokenizer.special_tokens)
        contents = [
            b"" if token is None or token in special else byte_alphabet.bytes_of(token)
            for token in self._tokenizer.vocabulary
        ]
        with tf.init_scope(), tf.device("CPU"):
            return tf.constant([*contents, b""])

    @functools.cached_property
    def _spaces(self):
        """int32 (V, 2): number of leading and trailing spaces of every token."""
        tokens = [token or "" for token in self._tokenizer.vocabulary]
        leading, trailing = (
            [len(token) - len(strip(token, _SPACE)) for token in tokens]
            for strip in (str.lstrip, str.rstrip)
        )
        with tf.init_scope(), tf.device("CPU"):
            return tf.constant(list(zip(leading, trailing, strict=True)), tf.int32)

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _tokenize(self, texts):
        with tf.device("CPU"):
            return self._stream(self._spaced(_valid(texts))[0]).ragged_ids()

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _places(self, texts):
        with tf.device("CPU"):
            texts, is_spaced = self._spaced(_valid(texts))
            stream = self._stream(texts)
            spaces = tf.gather(self._spaces, stream.ids)
            add_prefix_space = self._tokenizer.add_prefix_space
            return places_of(stream, is_spaced, spaces, add_prefix_space)

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _tokenize_with_end(self, texts):
        tokenizer = self._tokenizer
        return self._tokenize_around(texts, tokenizer.end_token, tokenizer.end_id)

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _tokenize_with_mask(self, texts):
        tokenizer = self._tokenizer
        return self._tokenize_around(
            texts, tokenizer.mask_token, tokenizer.mask_id, lstrip=tokenizer.mask_lstrip
        )

    def _tokenize_around(self, texts, token, token_id, *, lstrip=False):
        """Ids of texts in which a special token is recognized.

        With `lstrip`, it includes the spaces before it.
        """
        with tf.device("CPU"):
            parts = tf.strings.split(_valid(texts), token)
            # Every part except the first of a text follows a special token.
            is_first = with_value(
                tf.zeros([tf.size(parts.flat_values) + 1], tf.bool),
                parts.row_splits,
                value=True,
            )
            texts = parts.flat_values
            if lstrip:
                stripped = tf.strings.regex_replace(texts, _ENDING_SPACES, "")
                texts = tf.where(is_first[1:], texts, stripped)
            ids = self._stream(self._spaced(texts)[0]).ragged_ids()
            ids, splits = ids.flat_values, ids.row_splits
            follows = where(~is_first[:-1])
            num_tokens = tf.cumsum(tf.cast(~is_first, tf.int64))[:-1]
            places = tf.range(tf.size(ids, tf.int64)) + tf.gather(
                num_tokens, row_numbers(splits, tf.size(ids))
            )
            size = tf.size(ids) + tf.size(follows)
            ids = with_values(tf.fill([size], token_id), places, ids)
            splits = tf.gather(splits, parts.row_splits)
            splits += tf.gather(tf.pad(num_tokens, [[1, 0]]), parts.row_splits)
            return tf.RaggedTensor.from_row_splits(ids, splits, validate=False)

    def _spaced(self, texts):
        """Texts (B,) with a space before them if needed, and whether it was added."""
        if not self._tokenizer.add_prefix_space:
            return texts, tf.zeros_like(texts, tf.bool)
        first = tf.strings.substr(texts, 0, 1)
        is_spaced = tf.not_equal(first, " ") & tf.not_equal(first, "")
        return tf.where(is_spaced, tf.strings.join([" ", texts]), texts), is_spaced

    def _stream(self, texts):
        """The `ByteStream` of texts (B,) in UTF-8."""
        content = tf.io.decode_raw(tf.strings.reduce_join(texts), tf.uint8)
        content = tf.cast(content, tf.int32)
        code_points = tf.strings.unicode_decode(texts, "UTF-8")
        entries = self._entries(code_points.flat_values)
        lengths = tf.bitwise.right_shift(entries, LENGTH_SHIFT) + 1
        characters = tf.pad(tf.cumsum(lengths), [[1, 0]])
        words = word_starts(
            code_points.flat_values, entries & KIND, code_points.row_splits
        )
        words = tf.gather(characters, words)
        symbols = self._symbols(content, words, following(words, last=characters[-1]))
        tokens = tf.cast(where(tf.not_equal(symbols, NO_TOKEN)), tf.int32)
        ids = tf.gather(self._ids, tf.gather(symbols, tokens))
        return ByteStream(ids, tokens, words, characters, code_points.row_splits)

    def _symbols(self, content, starts, ends):
        """int32 (N,): the symbol of the token that starts at each byte, or NO_TOKEN."""
        letters = tf.tensor_scatter_nd_add(
            content * 2, starts[:, None], tf.fill(tf.shape(starts), STARTS_WORD)
        )
        known = self._words.keys_at(letters, starts, ends - starts)
        is_known = tf.not_equal(known, NO_VALUE)
        symbols, whole = tf.fill(tf.shape(content), NO_TOKEN), where(is_known)
        symbols = with_values(
            symbols, tf.gather(starts, whole), tf.gather(known, whole)
        )
        rest = where(~is_known)
        return self._long_words(
            symbols, content, tf.gather(starts, rest), tf.gather(ends, rest)
        )


def _valid(texts):
    """Texts in UTF-8, with invalid bytes replaced as in Python."""
    return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
