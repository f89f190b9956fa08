"""Byte-level BPE in a TensorFlow graph of core operations, a whole batch at once.

The texts form one stream of N bytes, and every step processes the whole stream:

1. Split the texts at added tokens: `text_parts`. Add a space before them if the
   tokenizer does, decode UTF-8, and normalize: `normalization`.
2. Look up the kind of each code point, and find the words: `words`.
3. Look up every word in a trie of the words that are a single token, and merge the
   bytes of the others: `word_tokens`.

Ids equal those of `tokenizers` for every text. Sources: see `tokenizer`.
"""

import functools

import tensorflow as tf

from tfzoo.errors import TokenizerError, shown
from tfzoo.text.byte_bpe import byte_alphabet
from tfzoo.text.byte_bpe.code_point_kinds import (
    KIND,
    LENGTH_SHIFT,
    code_point_entries,
)
from tfzoo.text.byte_bpe.normalization import NORMALIZATIONS
from tfzoo.text.byte_bpe.places import ByteStream, places_of, without_spaces
from tfzoo.text.byte_bpe.tables import NO_TOKEN, byte_bpe_tables
from tfzoo.text.byte_bpe.word_tokens import WordTokens
from tfzoo.text.byte_bpe.words import words_of
from tfzoo.text.graph_engine import TEXTS
from tfzoo.text.graph_with_tokens import GraphWithTokens, valid
from tfzoo.text.text_parts import check_apart
from tfzoo.text.tokenizer import WHITE_SPACE
from tfzoo.text.vectors import row_numbers, where
from tfzoo.text.wordpiece.codepoint_lookup import CodePointTable

_SPACE = byte_alphabet.CHARACTERS[ord(" ")]
# What Python's `strip` removes
_AROUND = rf"\A(?:{WHITE_SPACE}|[\x1c-\x1f])+|(?:{WHITE_SPACE}|[\x1c-\x1f])+\z"


class ByteBPEGraph(GraphWithTokens):
    """A `ByteBPETokenizer` for use in `tf.data` and SavedModels.

    Ids equal those of the Rust engine for every text: empty, not UTF-8, with NUL, or a
    megabyte without a space. So do offsets, except for added tokens that include white
    space around them, and in words with bytes that have no token: `tokenizers` counts
    without these. All operations are TensorFlow's own and run on the CPU; all tables
    are constants.

    Args:
        tokenizer: A `ByteBPETokenizer`.

    Raises:
        TokenizerError: the tokenizer has added tokens that overlap special ones or each
            other, or looks for them in normalized text.
    """

    def __init__(self, tokenizer):
        super().__init__(tokenizer, name="byte_bpe")
        self._entries = CodePointTable(*code_point_entries())
        self._word_tokens = WordTokens(byte_bpe_tables(tokenizer))
        normalizer, self._normalize = tokenizer.normalizer, None
        if normalizer is not None:
            self._normalize = NORMALIZATIONS[normalizer]()
        _check_added(tokenizer)

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
            texts = tf.strings.unsorted_segment_join(contents, rows, num_rows)
            return self._without_suffix(valid(texts))

    def _without_suffix(self, texts):
        """Texts with a space for each suffix, without white space around them."""
        suffix = self._tokenizer.end_of_word_suffix
        if not suffix:
            return texts
        texts = tf.strings.regex_replace(texts, suffix, " ")
        return tf.strings.regex_replace(texts, _AROUND, "")

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
        spaces = "".join([_SPACE, *filter(str.isspace, map(chr, range(0x3001)))])
        tokens = [token or "" for token in self._tokenizer.vocabulary]
        leading, trailing = (
            [len(token) - len(strip(token, spaces)) for token in tokens]
            for strip in (str.lstrip, str.rstrip)
        )
        with tf.init_scope(), tf.device("CPU"):
            return tf.constant(list(zip(leading, trailing, strict=True)), tf.int32)

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _places(self, texts):
        add_prefix_space, parts = self._tokenizer.add_prefix_space, None
        parts_of = self._text_parts("")
        with tf.device("CPU"):
            texts = valid(texts)
            if parts_of is not None:
                parts = parts_of(texts)
                texts = parts.texts
            texts, is_spaced = self._spaced(texts)
            places = places_of(self._stream(texts), is_spaced)
            places = parts.places(places) if parts else places
            return without_spaces(
                places, self._spaces, add_prefix_space=add_prefix_space
            )

    def _ids(self, texts, name):
        with tf.device("CPU"):
            texts, parts_of = valid(texts), self._text_parts(name)
            if parts_of is None:
                return self._stream(self._spaced(texts)[0]).ragged_ids()
            parts = parts_of(texts)
            texts = self._spaced(parts.texts)[0]
            return parts.ragged_ids(self._stream(texts).ragged_ids())

    def _spaced(self, texts):
        """Texts (B,) with a space before them if needed, and whether it was added."""
        if not self._tokenizer.add_prefix_space:
            return texts, tf.zeros_like(texts, tf.bool)
        first = tf.strings.substr(texts, 0, 1)
        is_spaced = tf.not_equal(first, " ") & tf.not_equal(first, "")
        return tf.where(is_spaced, tf.strings.join([" ", texts]), texts), is_spaced

    @property
    def _is_divisible(self):
        tokens = self._tokenizer.added_tokens
        return not any(token.rstrip or " " in token.content for token in tokens)

    def _stream(self, texts):
        """The `ByteStream` of texts (B,) in UTF-8."""
        content, code_points, splits = _decoded(texts)
        origins, origin_splits = tf.range(tf.size(code_points, tf.int64)), splits
        if self._normalize is not None:
            code_points, splits, origins = self._normalize(code_points, splits)
            texts = tf.strings.unicode_encode(
                tf.RaggedTensor.from_row_splits(code_points, splits, validate=False),
                "UTF-8",
            )
            content = _bytes_of(texts)
        entries = self._entries(code_points)
        lengths = tf.bitwise.right_shift(entries, LENGTH_SHIFT) + 1
        characters = tf.pad(tf.cumsum(lengths), [[1, 0]])
        words = words_of(self._tokenizer.split, code_points, entries & KIND, splits)
        starts, ends = (tf.gather(characters, place) for place in words)
        ids = self._word_tokens(content, starts, ends)
        tokens = tf.cast(where(tf.not_equal(ids, NO_TOKEN)), tf.int32)
        return ByteStream(
            tf.gather(ids, tokens),
            tokens,
            starts,
            ends,
            characters,
            splits,
            origins,
            origin_splits,
        )


def _check_added(tokenizer):
    """Raises `TokenizerError` for added tokens that `TextParts` does not recognize."""
    tokens = tokenizer.added_tokens
    later = [token.content for token in tokens if token.normalized]
    if later and tokenizer.normalizer is not None:
        raise TokenizerError(
            "In a graph, an added token of a tokenizer that normalizes texts must not "
            f"be looked for in normalized text. Received: {shown(later[0])}."
        )
    sooner = [token.content for token in tokens if not token.normalized]
    check_apart(later, sooner)
    check_apart(later + sooner, tokenizer.special_tokens)


def _bytes_of(texts):
    """The bytes of all texts, int32."""
    content = tf.io.decode_raw(tf.strings.reduce_join(texts), tf.uint8)
    return tf.cast(content, tf.int32)


def _decoded(texts):
    """Bytes and code points of texts, int32, and the code points at which they start.

    The last are int64 (B + 1,). Texts in ASCII need no decoding.
    """
    content = _bytes_of(texts)

    def as_they_are():
        lengths = tf.strings.length(texts)
        return content, tf.pad(tf.cumsum(tf.cast(lengths, tf.int64)), [[1, 0]])

    def decoded():
        code_points = tf.strings.unicode_decode(texts, "UTF-8")
        return code_points.flat_values, code_points.row_splits

    is_ascii = tf.reduce_all(content < 128)
    return content, *tf.cond(is_ascii, as_they_are, decoded)
