"""SentencePiece in a TensorFlow graph of core operations, a whole batch at once.

The texts form one stream of characters, and every step processes the whole stream:

1. Normalize, and end every text with NUL: `graph_normalizer`.
2. Find all pieces from every character in a trie: `piece_trie`.
3. Segment: `viterbi` for Unigram, `piece_merging` for BPE.
4. Join unknown characters, or replace them by bytes, and look up the ids:
   `unknown_pieces`.

Source: Kudo and Richardson 2018, https://arxiv.org/abs/1808.06226; ids equal those of
the engine in Python for every text.
"""

import functools

import tensorflow as tf

from tfzoo.errors import TokenizerError
from tfzoo.text.around_token import ids_around_token
from tfzoo.text.graph_engine import TEXTS, GraphEngine
from tfzoo.text.sentencepiece.graph_decoder import GraphDecoder
from tfzoo.text.sentencepiece.graph_normalizer import GraphNormalizer
from tfzoo.text.sentencepiece.piece_merging import MergeSplitter
from tfzoo.text.sentencepiece.piece_model import UNIGRAM
from tfzoo.text.sentencepiece.piece_trie import Alphabet
from tfzoo.text.sentencepiece.unigram import UnigramSplitter
from tfzoo.text.sentencepiece.unknown_pieces import Pieces, UnknownPieces
from tfzoo.text.tokenizer import WHITE_SPACE
from tfzoo.text.vectors import preceding, where, with_value

_ENDING_SPACES = rf"{WHITE_SPACE}+\z"  # what `lstrip` removes before a special token


class SentencePieceGraph(GraphEngine):
    """A `SentencePieceTokenizer` for use in `tf.data` and SavedModels.

    Ids equal those of the engine in Python for every text: empty, not UTF-8, with NUL,
    or a megabyte without a space. All operations are TensorFlow's own and run on the
    CPU; all tables are constants.

    Args:
        tokenizer: A `SentencePieceTokenizer`.
    """

    def __init__(self, tokenizer):
        super().__init__(tokenizer, name="sentencepiece")
        model = tokenizer.piece_model
        strings = [piece for piece in model.pieces if piece is not None]
        if tokenizer.ids_of_pieces is not None:
            strings += [token for token in tokenizer.vocabulary if token is not None]
        self._normalize = GraphNormalizer(model)
        self._alphabet = Alphabet(strings)
        splitter = UnigramSplitter if model.algorithm == UNIGRAM else MergeSplitter
        self._split = splitter(model, self._alphabet)
        self._resolve = UnknownPieces(tokenizer, self._alphabet)
        self._splits_words = any(step.endswith("_split") for step in model.steps)

    def __call__(self, texts):
        return self._tokenize(tf.convert_to_tensor(texts, tf.string))

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

    @functools.cached_property
    def _decoder(self):
        return GraphDecoder(self._tokenizer)

    def in_bounds(self, texts, token=None):
        """Ids without special tokens, as from a call.

        A long text is not divided: sums of scores go on from its start to its end.

        Args:
            texts: (B,) strings.
            token: None, or "mask" to recognize the mask token in texts.

        Returns:
            Ragged int32 tensor (B, None).
        """
        if token is None:
            return self(texts)
        return self._tokenize_with_mask(tf.convert_to_tensor(texts, tf.string))

    def places_in_bounds(self, texts):
        """The same as `places`; a long text is not divided."""
        return self.places(texts)

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _tokenize(self, texts):
        with tf.device("CPU"):
            return self._ids(_valid(texts))

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _tokenize_with_mask(self, texts):
        tokenizer = self._tokenizer
        lstrip = _ENDING_SPACES if tokenizer.mask_lstrip else None
        with tf.device("CPU"):
            return ids_around_token(
                _valid(texts),
                tokenizer.mask_token,
                tokenizer.mask_id,
                self._ids,
                lstrip=lstrip,
            )

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _places(self, texts):
        if self._tokenizer.recognizes_unknown:
            raise TokenizerError(
                "A graph has no offsets where the unknown token is recognized in texts."
            )
        with tf.device("CPU"):
            pieces, characters, symbols, raw_starts = self._pieces(_valid(texts))
            starts, ends = self._normalize.places(characters, pieces, raw_starts)
            ids = self._ragged(pieces, characters)
            is_word = tf.equal(tf.gather(symbols, pieces.starts), self._alphabet.space)
            first = tf.gather(ids.row_splits, where(ids.row_lengths() > 0))
            is_word = with_value(is_word & ~pieces.is_byte, first, value=True)
            return {
                "token_ids": ids,
                "starts": ids.with_flat_values(starts),
                "ends": ids.with_flat_values(ends),
                "starts_word": ids.with_flat_values(is_word),
            }

    def _ids(self, texts):
        """Ragged ids of texts (B,) in UTF-8."""
        tokenizer = self._tokenizer

        def plain(texts):
            pieces, characters, *_ = self._pieces(texts)
            return self._ragged(pieces, characters)

        if not tokenizer.recognizes_unknown:
            return plain(texts)
        token = tokenizer.unknown_token
        return ids_around_token(texts, token, tokenizer.unknown_id, plain)

    def _pieces(self, texts):
        """`Pieces` and `Characters` of texts, symbols, and where texts start in raw."""
        characters, raw_starts = self._normalize(texts)
        symbols = self._alphabet(characters.code_points)
        resets = preceding(characters.is_end, first=True)
        if self._splits_words:
            resets |= tf.equal(symbols, self._alphabet.space)
        ids, starts, lengths = self._split(symbols, resets)
        nothing = tf.zeros_like(ids, tf.bool)
        pieces = Pieces(ids, starts, starts + lengths, nothing)
        pieces = pieces.only(~tf.gather(characters.is_end, starts))
        groups = tf.cumsum(tf.cast(resets, tf.int32))
        groups = tf.gather(groups, pieces.starts)
        pieces = self._resolve(pieces, groups, symbols, characters.code_points)
        return pieces, characters, symbols, raw_starts

    def _ragged(self, pieces, characters):
        """The ids of pieces as a ragged tensor (B, None)."""
        ends = tf.cast(where(characters.is_end), tf.int32)
        splits = tf.searchsorted(pieces.starts, ends, out_type=tf.int64)
        splits = tf.concat([[0], splits], 0)
        return tf.RaggedTensor.from_row_splits(pieces.ids, splits, validate=False)


def _valid(texts):
    """Texts in UTF-8, with invalid bytes replaced as in Python."""
    return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
