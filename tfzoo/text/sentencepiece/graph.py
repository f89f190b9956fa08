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

from tfzoo.text.graph_engine import TEXTS, GraphEngine
from tfzoo.text.sentencepiece.graph_decoder import GraphDecoder
from tfzoo.text.sentencepiece.graph_normalizer import GraphNormalizer
from tfzoo.text.sentencepiece.piece_model import UNIGRAM
from tfzoo.text.sentencepiece.piece_merging import MergeSplitter
from tfzoo.text.sentencepiece.piece_trie import Alphabet
from tfzoo.text.sentencepiece.unigram import UnigramSplitter
from tfzoo.text.sentencepiece.unknown_pieces import Pieces, UnknownPieces
from tfzoo.text.vectors import preceding


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

    @tf.function(input_signature=[TEXTS], autograph=False)
    def _tokenize(self, texts):
        with tf.device("CPU"):
            pieces, characters, _, _ = self._pieces(texts)
            return self._ragged(pieces.ids, pieces, characters)

    def _pieces(self, texts):
        """The `Pieces` of texts, their `Characters`, symbols, and raw starts of texts."""
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
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

    def _ragged(self, values, pieces, characters):
        """Values (T,) of pieces as a ragged tensor (B, None)."""
        ends = tf.cast(tf.squeeze(tf.where(characters.is_end), 1), tf.int32)
        splits = tf.searchsorted(pieces.starts, ends, out_type=tf.int64)
        splits = tf.concat([[0], splits], 0)
        return tf.RaggedTensor.from_row_splits(values, splits, validate=False)
