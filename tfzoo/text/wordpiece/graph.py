"""WordPiece in a TensorFlow graph of core operations, all texts of a batch at once.

The texts form one stream of N code points, and every step processes the whole stream:

1. Decode UTF-8 and look up every code point in one table: its output of BERT's
   normalizer, whether it is part of a word, and its symbol in the vocabulary's
   alphabet.
2. Rewrite the stream where a code point is removed or becomes several.
3. Keep the M symbols of words, and mark where words start.
4. Split all words into tokens: `longest_match`.

Source: Devlin et al. 2018, https://arxiv.org/abs/1810.04805, and its `tokenization.py`
in the version of `tokenizers`; ids equal those of `tokenizers` for every text.
"""

import functools
import re

import tensorflow as tf

from tfzoo.text.graph_engine import TEXTS, GraphEngine
from tfzoo.text.wordpiece.codepoint_lookup import CodePointTable
from tfzoo.text.wordpiece.codepoint_tables import VANISHES_BETWEEN_MARKS
from tfzoo.text.wordpiece.longest_match import LongestMatch
from tfzoo.text.wordpiece.rust import MAX_WORD_LENGTH, after_another
from tfzoo.text.wordpiece.tables import (
    ENDS_WORD,
    IN_WORD,
    MASK_STAND_IN,
    SPACE,
    STARTS_WORD,
    wordpiece_tables,
)


class WordPieceGraph(GraphEngine):
    """A `WordPieceTokenizer` for use in `tf.data` and SavedModels.

    Ids equal those of the Rust engine for every text: empty, not UTF-8, with NUL, or a
    megabyte without a space. So do offsets, except for marks on one letter that are not
    in Unicode's canonical order. All operations are TensorFlow's own and run on the
    CPU; all tables are constants.

    Args:
        tokenizer: A `WordPieceTokenizer`.
    """

    def __init__(self, tokenizer):
        super().__init__(tokenizer, name="wordpiece")
        tables = wordpiece_tables(tokenizer)
        self._entries = CodePointTable(tables.pages, tables.blocks)
        self._mask_entry = tables.mask_entry
        self._reorders_marks = bool(tables.mark_order.any())
        self._match = LongestMatch(tables.trie, tokenizer.unknown_id, MAX_WORD_LENGTH)
        with tf.init_scope(), tf.device("CPU"):
            self._expansions = tf.constant(tables.expansions)
            self._row_starts = tf.constant(tables.row_starts)
            self._row_lengths = tf.constant(tables.row_lengths)
            self._mark_order = tf.constant(tables.mark_order)
            self._continues = tf.constant(tokenizer.continues)

    def __call__(self, texts):
        return self._tokenize(tf.convert_to_tensor(texts, tf.string))

    def detokenize(self, ids):
        """Texts of ids: words separated by a space, without padding, [CLS] and [SEP].

        Args:
            ids: int32 (B, None), ragged or not.

        Returns:
            (B,) strings.
        """
        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.RaggedTensor.from_tensor(ids)
        tokenizer = self._tokenizer
        first, later = self._token_texts
        with tf.device("CPU"):
            is_text = tf.ones_like(ids.flat_values, tf.bool)
            for index in (tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id):
                if index is not None:
                    is_text &= tf.not_equal(ids.flat_values, index)
            values = tf.boolean_mask(ids.flat_values, is_text)
            rows = tf.boolean_mask(ids.value_rowids(), is_text)
            row_before = tf.concat([[-1], rows], 0)[:-1]
            starts_text = tf.not_equal(rows, row_before)
            texts = tf.where(
                starts_text, tf.gather(first, values), tf.gather(later, values)
            )
            return tf.strings.unsorted_segment_join(texts, rows, ids.nrows())

    @functools.cached_property
    def _token_texts(self):
        vocabulary = self._tokenizer.vocabulary
        with tf.init_scope(), tf.device("CPU"):
            later = [after_another(token) for token in vocabulary]
            return tf.constant(vocabulary), tf.constant(later)

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _tokenize(self, texts):
        with tf.device("CPU"):
            code_points = tf.strings.unicode_decode(texts, "UTF-8")
            return self._ids(self._entries(code_points.flat_values), code_points)

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _places(self, texts):
        with tf.device("CPU"):
            code_points = tf.strings.unicode_decode(texts, "UTF-8")
            entries = self._entries(code_points.flat_values)
            ids, first, last = self._tokens(entries, code_points.row_splits)
            text_starts = tf.gather(code_points.row_splits, ids.value_rowids())
            starts, ends = first - text_starts, last + 1 - text_starts
            starts_word = ~tf.gather(self._continues, ids.flat_values)
            return {
                "token_ids": ids,
                "starts": ids.with_flat_values(tf.cast(starts, tf.int32)),
                "ends": ids.with_flat_values(tf.cast(ends, tf.int32)),
                "starts_word": ids.with_flat_values(starts_word),
            }

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _tokenize_with_mask(self, texts):
        with tf.device("CPU"):
            mask = re.escape(self._tokenizer.mask_token)
            other = chr(ord(MASK_STAND_IN) + 1)  # is also removed
            texts = tf.strings.regex_replace(texts, MASK_STAND_IN, other)
            texts = tf.strings.regex_replace(texts, mask, MASK_STAND_IN)
            code_points = tf.strings.unicode_decode(texts, "UTF-8")
            is_mask = tf.equal(code_points.flat_values, ord(MASK_STAND_IN))
            entries = self._entries(code_points.flat_values)
            entries = tf.where(is_mask, self._mask_entry, entries)
            return self._ids(entries, code_points)

    def _ids(self, entries, code_points):
        """Ragged ids of texts, given the entries of their code points."""
        return self._tokens(entries, code_points.row_splits)[0]

    def _tokens(self, entries, splits):
        """Ragged ids (B, None); int64 (T,) first and last code point of each token."""
        itself = tf.range(tf.size(entries, tf.int64))
        entries, splits, origins = tf.cond(
            tf.reduce_any(entries < 0),
            lambda: self._rewrite(entries, splits),
            lambda: (entries, splits, itself),
        )
        symbols, places = self._symbols(entries, splits)
        ids, first = self._match(symbols)
        # All symbols belong to words, and the tokens of a word contain all of them.
        last = (
            tf.concat([first[1:], [tf.size(symbols, tf.int64)]], 0)[: tf.size(ids)] - 1
        )
        first, last = tf.gather(places, first), tf.gather(places, last)
        splits = tf.searchsorted(first, splits, out_type=splits.dtype)
        ids = tf.RaggedTensor.from_row_splits(ids, splits, validate=False)
        return ids, tf.gather(origins, first), tf.gather(origins, last)

    def _rewrite(self, entries, splits):
        """Replaces the entries of code points that are removed or become several.

        Returns:
            Entries, the row splits of the texts, and the code points that the entries
            come from.
        """
        num_rewritten = tf.size(self._expansions)
        row = tf.maximum(tf.bitwise.invert(entries), 0)
        is_row = entries < 0
        lengths = tf.where(is_row, tf.gather(self._row_lengths, row), 1)
        itself = num_rewritten + tf.range(tf.size(entries))
        starts = tf.where(is_row, tf.gather(self._row_starts, row), itself)
        ranges = tf.ragged.range(starts, starts + lengths)
        source = ranges.flat_values
        if self._reorders_marks:
            order = tf.pad(self._mark_order, [[0, tf.size(entries)]])
            order = tf.gather(order, source)
            source = tf.cond(
                tf.reduce_any(order > 0),
                lambda: self._reorder_marks(ranges, order, entries, splits),
                lambda: source,
            )
        entries = tf.gather(tf.concat([self._expansions, entries], 0), source)
        return entries, tf.gather(ranges.row_splits, splits), ranges.value_rowids()

    def _reorder_marks(self, ranges, order, entries, splits):
        """Puts consecutive marks into Unicode's canonical order."""
        apart = tf.cast(entries == ~VANISHES_BETWEEN_MARKS, tf.int64)
        apart = tf.tensor_scatter_nd_add(
            tf.pad(apart, [[0, 1]]), splits[:, None], tf.ones_like(splits)
        )
        stretch = tf.gather(tf.cumsum(apart), ranges.value_rowids())
        stretch += tf.cumsum(tf.cast(tf.equal(order, 0), tf.int64))
        rank = stretch * 256 + tf.cast(order, tf.int64)  # classes are below 256
        return tf.gather(ranges.flat_values, tf.argsort(rank, stable=True))

    def _symbols(self, entries, splits):
        """Trie symbols (M,) of all words, and their positions in the stream."""
        before = tf.concat([[SPACE], entries], 0)
        text_starts = tf.fill(tf.shape(splits), SPACE)
        before = tf.tensor_scatter_nd_update(
            before, tf.expand_dims(splits, 1), text_starts
        )
        ended = (before[:-1] & ENDS_WORD) * STARTS_WORD
        is_in_word = tf.cast(entries & IN_WORD, tf.bool)
        places = tf.squeeze(tf.where(is_in_word), 1)
        return tf.bitwise.right_shift(tf.gather(entries | ended, places), 2), places
