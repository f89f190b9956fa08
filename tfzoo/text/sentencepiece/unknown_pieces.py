"""From the pieces of a stream of characters to ids, in TensorFlow operations.

Adjacent unknown characters are one unknown piece, or each becomes its bytes.

Shapes: N characters and T pieces of all texts.
"""

import typing

import tensorflow as tf

from tfzoo.text.double_array_trie import NO_VALUE
from tfzoo.text.sentencepiece.piece_model import BYTES, UNIGRAM
from tfzoo.text.sentencepiece.piece_trie import OUTSIDE
from tfzoo.text.trie_walk import TrieWalk
from tfzoo.text.vectors import following, preceding, where


class Pieces(typing.NamedTuple):
    """T pieces.

    Attributes:
        ids: int32 (T,), ids of the model, then of the tokenizer.
        starts: int32 (T,), their first characters.
        ends: int32 (T,), the characters after their last ones.
        is_byte: bool (T,), whether a piece is a byte of an unknown character.
    """

    ids: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor
    is_byte: tf.Tensor

    def only(self, is_kept):
        """The pieces for which `is_kept` is True."""
        return Pieces(*(tf.gather(x, where(is_kept)) for x in self))


class UnknownPieces(tf.Module):
    """Resolves unknown characters, and maps the ids of the model to the tokenizer's.

    Args:
        tokenizer: `SentencePieceTokenizer`.
        alphabet: `Alphabet` of its pieces and vocabulary.

    Call arguments:
        pieces: `Pieces` without those that end a text; `NO_VALUE` is unknown.
        groups: int32 (T,), number of the text, or word, in which unknown characters are
            joined.
        symbols: int32 (N,).
        code_points: int32 (N,).

    Returns:
        `Pieces`.
    """

    def __init__(self, tokenizer, alphabet):
        super().__init__(name="unknown_pieces")
        model = tokenizer.piece_model
        self._model, self._unknown_id = model, tokenizer.unknown_id
        number = {piece: index for index, piece in enumerate(model.pieces)}
        ids = tokenizer.ids_of_pieces
        with tf.init_scope(), tf.device("CPU"):
            self._ids = None if ids is None else tf.constant(ids)
            if model.byte_fallback:
                self._bytes = tf.constant([number[b] for b in BYTES], tf.int32)
        others = [
            (token, index)
            for index, token in enumerate(tokenizer.vocabulary)
            if ids is not None and token and token not in number
            if not tokenizer.special[index]
        ]
        self._others = None
        if others:  # an unknown piece can be a token of the vocabulary
            self._others = TrieWalk(
                alphabet.trie(*zip(*others, strict=True)), outside=OUTSIDE
            )

    def __call__(self, pieces, groups, symbols, code_points):
        model = self._model
        is_unknown = tf.equal(pieces.ids, NO_VALUE)
        if model.byte_fallback:
            pieces = tf.cond(
                tf.reduce_any(is_unknown),
                lambda: self._as_bytes(pieces, is_unknown, code_points),
                lambda: pieces,
            )
            is_unknown = tf.equal(pieces.ids, NO_VALUE)
        elif model.fuses_unknown:
            if model.is_tokenizers and model.algorithm == UNIGRAM:
                is_unknown |= tf.equal(pieces.ids, model.unknown_id)
            same = is_unknown & preceding(is_unknown, first=False)
            same &= tf.equal(groups, preceding(groups, first=-1))
            ends = tf.boolean_mask(pieces.ends, ~following(same, last=False))
            pieces = pieces.only(~same)._replace(ends=ends)
            is_unknown = tf.boolean_mask(is_unknown, ~same)
        ids = pieces.ids
        if self._ids is not None:
            ids = tf.gather(self._ids, tf.maximum(ids, 0))
        found = NO_VALUE
        if self._others is not None:
            unknown = where(is_unknown)
            starts, ends = (
                tf.gather(pieces.starts, unknown),
                tf.gather(pieces.ends, unknown),
            )
            found = self._others.keys_at(symbols, starts, ends - starts)
            found = tf.tensor_scatter_nd_update(
                tf.fill(tf.shape(ids), NO_VALUE), unknown[:, None], found
            )
        found = tf.where(tf.equal(found, NO_VALUE), self._unknown_id, found)
        return pieces._replace(ids=tf.where(is_unknown, found, ids))

    def _as_bytes(self, pieces, is_unknown, code_points):
        """Replaces unknown characters by the pieces of their bytes."""
        character = tf.gather(code_points, pieces.starts)
        is_space = tf.equal(character, ord(" "))
        character = tf.where(is_space, 0x2581, character)
        num_bytes = 1 + sum(
            tf.cast(character >= limit, tf.int32) for limit in (0x80, 0x800, 0x10000)
        )
        counts = tf.where(is_unknown, num_bytes, 1)
        source = tf.repeat(tf.range(tf.size(counts)), counts)
        first = tf.cumsum(counts, exclusive=True)
        number = tf.range(tf.size(source)) - tf.gather(first, source)
        pieces = Pieces(*(tf.gather(x, source) for x in pieces))
        is_byte = tf.gather(is_unknown, source)
        num_bytes = tf.gather(num_bytes, source)
        shift = tf.maximum(6 * (num_bytes - 1 - number), 0)
        bits = tf.bitwise.right_shift(tf.gather(character, source), shift)
        leads = tf.gather(tf.constant([0, 0, 0xC0, 0xE0, 0xF0]), num_bytes)
        value = tf.where(tf.equal(number, 0), bits | leads, bits & 0x3F | 0x80)
        value = tf.gather(self._bytes, tf.where(is_byte, value, 0))
        return pieces._replace(
            ids=tf.where(is_byte, value, pieces.ids), is_byte=is_byte
        )
