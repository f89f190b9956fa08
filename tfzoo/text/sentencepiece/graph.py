"""SentencePiece in a TensorFlow graph of core operations, a whole batch at once.

The texts form one stream of characters, and every step processes the whole stream:

1. Split the texts at the tokens that are recognized in them: `text_parts`.
2. Normalize, and end every text with NUL: `graph_normalizer`.
3. Find all pieces from every character in a trie: `piece_trie`.
4. Segment: `viterbi` for Unigram, `piece_merging` for BPE.
5. Join unknown characters, or replace them by bytes, and look up the ids:
   `unknown_pieces`.

Source: Kudo and Richardson 2018, https://arxiv.org/abs/1808.06226; ids equal those of
the engine in Python for every text.
"""

import functools
import typing

import tensorflow as tf

from tfzoo.text.byte_bpe.tables import NO_TOKEN
from tfzoo.text.graph_engine import TEXTS
from tfzoo.text.graph_with_tokens import GraphWithTokens, valid
from tfzoo.text.sentencepiece.distinct_words import DistinctWords, is_divisible
from tfzoo.text.sentencepiece.graph_decoder import GraphDecoder
from tfzoo.text.sentencepiece.graph_normalizer import GraphNormalizer
from tfzoo.text.sentencepiece.piece_merging import MergeSplitter
from tfzoo.text.sentencepiece.piece_model import UNIGRAM
from tfzoo.text.sentencepiece.piece_trie import Alphabet
from tfzoo.text.sentencepiece.unigram import UnigramSplitter
from tfzoo.text.sentencepiece.unknown_pieces import Pieces, UnknownPieces
from tfzoo.text.vectors import (
    preceding,
    row_numbers,
    where,
    with_value,
    with_values,
)


class Stream(typing.NamedTuple):
    """N characters of all texts, normalized.

    Attributes:
        code_points: int32 (N,).
        is_end: bool (N,), whether it is the NUL that ends a text.
        symbols: int32 (N,).
    """

    code_points: tf.Tensor
    is_end: tf.Tensor
    symbols: tf.Tensor


class SentencePieceGraph(GraphWithTokens):
    """A `SentencePieceTokenizer` for use in `tf.data` and SavedModels.

    Ids equal those of the engine in Python for every text: empty, not UTF-8, with NUL,
    or a megabyte without a space. All operations are TensorFlow's own and run on the
    CPU; all tables are constants.

    Args:
        tokenizer: A `SentencePieceTokenizer`.
    """

    _is_divisible = False  # sums of scores go on from the start of a text to its end

    def __init__(self, tokenizer):
        super().__init__(tokenizer, name="sentencepiece")
        model = tokenizer.piece_model
        strings = [piece for piece in model.pieces if piece is not None]
        if tokenizer.ids_of_pieces is not None:
            strings += [token for token in tokenizer.vocabulary if token is not None]
        self._normalize = GraphNormalizer(model)
        begins, self._words = self._normalize.begins, None
        if is_divisible(model, begins=begins):
            self._words = DistinctWords(model, self._normalize.decoded, begins=begins)
        self._alphabet = Alphabet(strings)
        with tf.init_scope(), tf.device("CPU"):
            self._plain_symbols = self._alphabet(tf.range(128))
        splitter = UnigramSplitter if model.algorithm == UNIGRAM else MergeSplitter
        self._split = splitter(model, self._alphabet)
        self._resolve = UnknownPieces(tokenizer, self._alphabet)
        self._splits_words = any(step.endswith("_split") for step in model.steps)

    def detokenize(self, ids):
        """Texts of ids, in UTF-8; special tokens and ids without a token add nothing.

        The same applies to ids below 0 or outside the vocabulary.

        Args:
            ids: int32 (B, None), ragged or not.

        Returns:
            (B,) strings.
        """
        with tf.device("CPU"):
            return self._decoder(ids)

    def continuations(self, before, ids):
        with tf.device("CPU"):
            return self._decoder(ids, before)

    @functools.cached_property
    def _decoder(self):
        return GraphDecoder(self._tokenizer)

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _places(self, texts):
        parts_of = self._text_parts("")
        with tf.device("CPU"):
            if parts_of is None:
                return self._plain_places(valid(texts))
            parts = parts_of(valid(texts))
            return parts.places(self._plain_places(parts.texts))

    def _ids(self, texts, name):
        parts_of = self._text_parts(name)
        with tf.device("CPU"):
            if parts_of is None:
                return self._plain_ids(valid(texts), self._normalize)
            parts = parts_of(valid(texts))
            return parts.ragged_ids(self._ids_of_parts(parts))

    def _new_text_parts(self, name):
        tokenizer, codes = self._tokenizer, None
        if tokenizer.language_codes:
            tokens = [token for token in tokenizer.vocabulary if token is not None]
            codes = [t for t in tokens if t.startswith(">>") and t.endswith("<<")]
            codes = {token: tokenizer.id_of_piece(token) for token in codes}
        return super()._new_text_parts(name, codes)

    def _ids_of_parts(self, parts):
        """Ragged ids of the plain texts, of which only the first may get a space."""
        if not self._normalize.begins_only_first:
            return self._plain_ids(parts.texts, self._normalize)
        is_first = tf.equal(parts.token, NO_TOKEN)
        groups = [where(is_first), where(~is_first)]
        first, later = (tf.gather(parts.texts, group) for group in groups)
        ids = self._plain_ids(first, self._normalize)
        ids = tf.concat([ids, self._plain_ids(later, self._normalize.inside())], 0)
        return tf.gather(ids, tf.argsort(tf.concat(groups, 0)))

    def _plain_ids(self, texts, normalize):
        """Ragged ids of texts (B,) without tokens to recognize."""
        if normalize is self._normalize and self._words is not None:
            return self._ids_of_words(texts)
        ids, splits, _ = self._ids_of_rows(texts[:0], texts, normalize)
        return tf.RaggedTensor.from_row_splits(ids, splits, validate=False)

    def _ids_of_words(self, texts):
        """The same, from the ids of the distinct words of the texts."""
        words = self._words(texts)
        ids, splits, sums = self._row_ids(words.plain, words.others)
        numbers, rows = words.numbers, words.rows
        if sums is not None:
            ids, splits, numbers, rows = self._with_sums(
                texts, ids, splits, numbers, rows, sums
            )
        starts = tf.gather(splits, numbers)
        index = tf.ragged.range(starts, tf.gather(splits, numbers + 1))
        return tf.RaggedTensor.from_row_splits(
            tf.gather(ids, index.flat_values),
            tf.gather(index.row_splits, rows),
            validate=False,
        )

    def _with_sums(self, texts, ids, splits, numbers, rows, sums):
        """The ids of words, with further ones for texts in which a sum matters.

        Such a text is a single word, with a number from U on.
        """
        before = tf.cumsum(tf.gather(sums.totals, numbers), exclusive=True)
        text = row_numbers(rows, tf.size(numbers))
        before -= tf.gather(before, tf.gather(rows, text))
        unclear = where(tf.abs(before) >= tf.gather(sums.limits, numbers))
        unclear = tf.boolean_mask(unclear, tf.gather(before, unclear) != 0)
        some = tf.unique(tf.gather(text, unclear)).y

        def with_texts():
            more, more_splits, _ = self._row_ids(texts[:0], tf.gather(texts, some))
            number = tf.size(splits) - 1 + tf.range(tf.size(some))
            first = tf.gather(rows, some)
            is_whole = with_value(tf.zeros_like(rows, tf.bool), some, value=True)
            stay = ~tf.gather(is_whole, text)
            stay = with_value(stay, first, value=True)
            count = tf.pad(tf.cumsum(tf.cast(stay, tf.int64)), [[1, 0]])
            return (
                tf.concat([ids, more], 0),
                tf.concat([splits, splits[-1] + more_splits[1:]], 0),
                tf.boolean_mask(with_values(numbers, first, number), stay),
                tf.gather(count, rows),
            )

        return tf.cond(
            tf.size(some) > 0, with_texts, lambda: (ids, splits, numbers, rows)
        )

    @functools.cached_property
    def _row_ids(self):
        """`_ids_of_rows`, traced once."""
        return tf.function(
            lambda plain, others: self._ids_of_rows(plain, others, self._normalize),
            input_signature=[TEXTS, TEXTS],
            autograph=False,
        )

    def _ids_of_rows(self, plain, others, normalize):
        """Flat ids of texts, int64 row splits, and `Sums` or None.

        Args:
            plain: Words that need no normalizer.
            others: Texts that must be normalized; they follow.
            normalize: `GraphNormalizer`.
        """
        characters = normalize(*normalize.decoded(others))
        content = [" ", plain, "\0"] if normalize.begins else [plain, "\0"]
        content = tf.strings.reduce_join(tf.strings.join(content))
        content = tf.cast(tf.io.decode_raw(content, tf.uint8), tf.int32)
        symbols = self._alphabet(characters.code_points)
        stream = Stream(
            tf.concat([content, characters.code_points], 0),
            tf.concat([tf.equal(content, 0), characters.is_end], 0),
            tf.concat([tf.gather(self._plain_symbols, content), symbols], 0),
        )
        pieces, sums = self._pieces(stream)
        ids = self._ragged(pieces, stream)
        return ids.flat_values, ids.row_splits, sums

    def _plain_places(self, texts):
        """The same with places, see `places`."""
        raw, raw_starts = self._normalize.decoded(texts)
        characters = self._normalize(raw, raw_starts)
        symbols = self._alphabet(characters.code_points)
        stream = Stream(characters.code_points, characters.is_end, symbols)
        pieces, _ = self._pieces(stream)
        starts, ends = self._normalize.places(characters, pieces, raw_starts)
        ids = self._ragged(pieces, stream)
        is_word = tf.equal(tf.gather(symbols, pieces.starts), self._alphabet.space)
        first = tf.gather(ids.row_splits, where(ids.row_lengths() > 0))
        is_word = with_value(is_word & ~pieces.is_byte, first, value=True)
        return {
            "token_ids": ids,
            "starts": ids.with_flat_values(starts),
            "ends": ids.with_flat_values(ends),
            "starts_word": ids.with_flat_values(is_word),
        }

    def _pieces(self, stream):
        """The `Pieces` of a `Stream`, and `Sums` or None."""
        symbols = stream.symbols
        resets = preceding(stream.is_end, first=True)
        if self._splits_words:
            resets |= tf.equal(symbols, self._alphabet.space)
        ids, starts, lengths, sums = self._split(symbols, resets)
        nothing = tf.zeros_like(ids, tf.bool)
        pieces = Pieces(ids, starts, starts + lengths, nothing)
        pieces = pieces.only(~tf.gather(stream.is_end, starts))
        groups = tf.cumsum(tf.cast(resets, tf.int32))
        groups = tf.gather(groups, pieces.starts)
        pieces = self._resolve(pieces, groups, symbols, stream.code_points)
        return pieces, None if self._splits_words else sums

    def _ragged(self, pieces, stream):
        """The ids of pieces as a ragged tensor (B, None)."""
        ends = tf.cast(where(stream.is_end), tf.int32)
        splits = tf.searchsorted(pieces.starts, ends, out_type=tf.int64)
        splits = tf.concat([[0], splits], 0)
        return tf.RaggedTensor.from_row_splits(pieces.ids, splits, validate=False)
