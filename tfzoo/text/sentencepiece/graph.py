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

import tensorflow as tf

from tfzoo.text.byte_bpe.tables import NO_TOKEN
from tfzoo.text.graph_engine import TEXTS
from tfzoo.text.graph_with_tokens import GraphWithTokens, valid
from tfzoo.text.sentencepiece.graph_decoder import GraphDecoder
from tfzoo.text.sentencepiece.graph_normalizer import GraphNormalizer
from tfzoo.text.sentencepiece.piece_merging import MergeSplitter
from tfzoo.text.sentencepiece.piece_model import UNIGRAM
from tfzoo.text.sentencepiece.piece_trie import Alphabet
from tfzoo.text.sentencepiece.unigram import UnigramSplitter
from tfzoo.text.sentencepiece.unknown_pieces import Pieces, UnknownPieces
from tfzoo.text.vectors import preceding, where, with_value


class SentencePieceGraph(GraphWithTokens):
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

    def in_bounds(self, texts, token=None):
        """Ids without special tokens, as from a call.

        A long text is not divided: sums of scores go on from its start to its end.

        Args:
            texts: (B,) strings.
            token: None, or the name of the special token to recognize in texts: "mask"
                or "end".

        Returns:
            Ragged int32 tensor (B, None).
        """
        tokenize = self if token is None else getattr(self, f"_tokenize_with_{token}")
        return tokenize(tf.convert_to_tensor(texts, tf.string))

    def places_in_bounds(self, texts):
        """The same as `places`; a long text is not divided."""
        return self.places(texts)

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
        """Ragged ids of texts (B,) in UTF-8 without tokens to recognize."""
        pieces, characters, *_ = self._pieces(texts, normalize)
        return self._ragged(pieces, characters)

    def _plain_places(self, texts):
        """The same with places, see `places`."""
        pieces, characters, symbols, raw_starts = self._pieces(texts, self._normalize)
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

    def _pieces(self, texts, normalize):
        """`Pieces` and `Characters` of texts, symbols, and where texts start in raw."""
        characters, raw_starts = normalize(texts)
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
