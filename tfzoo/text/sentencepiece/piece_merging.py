"""Byte-pair encoding in TensorFlow operations: pieces of a stream of characters.

Of all neighbors that make a piece together, those with the best one are merged first,
the leftmost of equals. In `tokenizers`, how good a merge is depends on both neighbors,
in `sentencepiece` on the result alone; either way, the result of a merge may be part of
a better one, so that a span takes one merge after another. Spans do so side by side.

A text is divided into spans where no piece contains both neighbors; what is still long
is divided as in `long_words`, whose two properties hold for any order of the merges.
Up to the first merge across a border, the merges on each side are those that the side
makes on its own, as each is the best one there; and if a merge across the border of two
tokens is ever the best one of all, then it is also the best one in these two tokens.

Source: Sennrich et al. 2016, section 3.2, https://arxiv.org/abs/1508.07909, and
`bpe_model.cc` of https://github.com/google/sentencepiece
"""

import itertools

import numpy as np
import tensorflow as tf

from tfzoo.errors import TokenizerError, shown
from tfzoo.text.byte_bpe.long_words import LongWords
from tfzoo.text.byte_bpe.tables import NO_TOKEN
from tfzoo.text.double_array_trie import NO_VALUE
from tfzoo.text.sentencepiece.last_merges import possible_merges
from tfzoo.text.sentencepiece.piece_model import (
    NORMAL,
    SPACE,
    UNUSED,
    USER_DEFINED,
)
from tfzoo.text.sentencepiece.piece_trie import OUTSIDE
from tfzoo.text.sentencepiece.rule_matches import leftmost
from tfzoo.text.sparse_rows import row_offsets
from tfzoo.text.trie_walk import TrieWalk
from tfzoo.text.vectors import (
    following,
    preceding,
    row_numbers,
    where,
    with_value,
    with_values,
)

_NO_MERGE = 2**31 - 1
_ROUNDS = 8  # for all spans; then only the unfinished ones continue
_VECTOR = tf.TensorShape([None])


class MergeSplitter(tf.Module):
    """Splits characters into pieces; arguments and results as in `UnigramSplitter`.

    There are no sums: the last result is None.

    Args:
        model: `PieceModel`.
        alphabet: `Alphabet` of its pieces.
    """

    def __init__(self, model, alphabet):
        super().__init__(name="byte_pair_encoding")
        if (model.kinds == UNUSED).any():
            unused = model.pieces[int(np.argmax(model.kinds == UNUSED))]
            raise TokenizerError(
                "A BPE model must have no unused pieces for a graph. Received: "
                f"{shown(unused)}."
            )
        is_text = np.isin(model.kinds, [NORMAL, USER_DEFINED])
        ids = {
            piece: index
            for index, piece in enumerate(model.pieces)
            if piece is not None and is_text[index] and " " not in piece
        }
        self._num_pieces = len(model.pieces)
        symbols = dict(ids)  # also of characters that are only part of pieces
        others = (c for c in dict.fromkeys("".join(ids)) if c not in ids)
        symbols.update(zip(others, itertools.count(self._num_pieces)))
        self._none = self._num_pieces + len(symbols) - len(ids)
        merges = _merges(model, ids, symbols)
        self._merge = LongSpans(Merging(*merges, num_symbols=self._none + 1))
        of_character = np.full(alphabet.size, self._none, np.int32)
        known = symbols if not model.is_tokenizers else ids
        inner = np.zeros(alphabet.size, bool)
        for character, letter in alphabet.items():
            of_character[letter] = known.get(character, self._none)
        for piece in (piece for piece in ids if SPACE in piece[1:]):
            for before in (a for a, b in itertools.pairwise(piece) if b == SPACE):
                inner[alphabet.letter(before)] = True
        self._space = alphabet.space
        frozen = [p for p in ids if model.kinds[ids[p]] == USER_DEFINED]
        self._frozen = None
        if frozen:
            trie = alphabet.trie(frozen, [ids[p] for p in frozen])
            self._frozen = TrieWalk(trie, outside=OUTSIDE)
        with tf.init_scope(), tf.device("CPU"):
            self._of_character = tf.constant(of_character)
            self._before_space = tf.constant(inner)

    def __call__(self, symbols, resets):
        parts = tf.gather(self._of_character, symbols)
        places = tf.range(tf.size(symbols))
        before = tf.gather(self._before_space, preceding(symbols, first=OUTSIDE))
        starts_span = resets | (tf.equal(symbols, self._space) & ~before)
        if self._frozen is not None:
            parts, places, starts_span = self._freeze(symbols, parts, starts_span)
        starts = tf.cast(where(starts_span), tf.int32)
        ends = following(starts, last=tf.size(parts))
        made = self._merge(tf.fill(tf.shape(parts), NO_TOKEN), parts, starts, ends)
        tokens = tf.cast(where(tf.not_equal(made, NO_TOKEN)), tf.int32)
        ids, first = tf.gather(made, tokens), tf.gather(places, tokens)
        lengths = following(first, last=tf.size(symbols)) - first
        is_piece = ids < self._num_pieces
        return tf.where(is_piece, ids, NO_VALUE), first, lengths, None

    def _freeze(self, symbols, parts, starts_span):
        """Makes user-defined symbols single parts, and spans of their own."""
        node = self._frozen.from_all(symbols)
        lengths = tf.gather(self._frozen.length, node)
        found = where(lengths > 0)
        ends = found + tf.cast(tf.gather(lengths, found), tf.int64)
        taken = where(leftmost(found, ends))
        found, ends = tf.gather(found, taken), tf.gather(ends, taken)
        ids = tf.gather(self._frozen.value, tf.gather(node, found))
        parts = with_values(parts, found, ids)
        after = with_value(tf.pad(starts_span, [[0, 1]]), ends, value=True)[:-1]
        starts_span = with_value(after, found, value=True)
        inside = tf.ragged.range(found + 1, ends).flat_values
        stay = where(with_value(tf.ones_like(starts_span), inside, value=False))
        places = tf.cast(stay, tf.int32)
        return tf.gather(parts, stay), places, tf.gather(starts_span, stay)


class LongSpans(LongWords):
    """Merges spans of any length in linear time.

    Args:
        merge: `Merging`.
    """

    def __init__(self, merge):
        tf.Module.__init__(self, name="long_spans")
        self._merge = merge


class Merging(tf.Module):
    """Converts spans of parts to pieces.

    Args:
        left: int (M,), left symbols of the pairs that merge.
        right: int (M,), right symbols.
        ranks: int (M,); the lowest merges first.
        made: int (M,), the symbols that they make.
        num_symbols: Number of symbols.

    Call arguments:
        symbols: int32 (N,), to be updated.
        content: int32 (N,), the symbols of the parts.
        starts: int32 (W,), where the spans start; spans are not empty.
        ends: int32 (W,), where they end.

    Returns:
        int32 (N,): `symbols`, with each piece of the spans at its first part.
    """

    def __init__(self, left, right, ranks, made, *, num_symbols):
        super().__init__(name="merging")
        order = np.lexsort((right, left))
        owners, counts = np.unique(left[order], return_counts=True)
        base = np.zeros(num_symbols, np.int32)
        base[owners] = row_offsets(counts, right[order])
        slots = base[left] + right
        size = int(base.max()) + num_symbols
        owner, number = np.full(size, -1, np.int32), np.zeros(size, np.int32)
        owner[slots], number[slots] = left, np.arange(len(left))
        with tf.init_scope(), tf.device("CPU"):
            self._base = tf.constant(base)
            self._owner, self._number = tf.constant(owner), tf.constant(number)
            self._rank = tf.constant(np.append(ranks, _NO_MERGE), tf.int32)
            self._made = tf.constant(np.append(made, 0), tf.int32)

    def __call__(self, symbols, content, starts, ends):
        places = tf.ragged.range(starts, ends).flat_values
        splits = tf.pad(tf.cumsum(ends - starts), [[1, 0]])
        spans = row_numbers(splits, tf.size(places))
        symbols, *_ = tf.while_loop(
            lambda symbols, parts, *_: tf.size(parts) > 0,
            self._rounds,
            (symbols, tf.gather(content, places), spans, places),
            shape_invariants=(_VECTOR,) * 4,
        )
        return symbols

    def _rounds(self, symbols, parts, spans, places):
        """Runs a few rounds, then writes the finished spans and drops them."""
        ranks, made = self._pairs(parts, spans)
        parts, spans, places, ranks, made = tf.while_loop(
            lambda parts, spans, places, ranks, made: tf.reduce_any(ranks < _NO_MERGE),
            self._round,
            (parts, spans, places, ranks, made),
            shape_invariants=(_VECTOR,) * 5,
            maximum_iterations=_ROUNDS,
        )
        lowest = tf.gather(tf.math.segment_min(ranks, spans), spans)
        is_finished = tf.equal(lowest, _NO_MERGE)
        done, left = where(is_finished), where(~is_finished)
        symbols = with_values(symbols, tf.gather(places, done), tf.gather(parts, done))
        parts, spans, places = (tf.gather(x, left) for x in (parts, spans, places))
        # Spans are numbered again, as a segment without parts costs time.
        is_first = tf.not_equal(spans, preceding(spans, first=-1))
        return symbols, parts, tf.cumsum(tf.cast(is_first, tf.int32)) - 1, places

    def _pairs(self, parts, spans):
        """Rank and result of merging every part with the next one in its span."""
        slots = tf.gather(self._base, parts) + following(parts, last=0)
        is_merge = tf.equal(tf.gather(self._owner, slots), parts)
        is_merge &= tf.equal(following(spans, last=-1), spans)
        merges = tf.gather(self._number, slots)
        ranks = tf.where(is_merge, tf.gather(self._rank, merges), _NO_MERGE)
        return ranks, tf.gather(self._made, merges)

    def _round(self, parts, spans, places, ranks, made):
        """Merges the first pair of the lowest rank in every span."""
        lowest = tf.math.segment_min(ranks, spans)
        is_lowest = tf.equal(ranks, tf.gather(lowest, spans)) & (ranks < _NO_MERGE)
        candidates = where(is_lowest)
        owners = tf.gather(spans, candidates)
        first = tf.not_equal(owners, preceding(owners, first=-1))
        chosen = tf.boolean_mask(candidates, first)
        parts = with_values(parts, chosen, tf.gather(made, chosen))
        stay = where(with_value(tf.ones_like(is_lowest), chosen + 1, value=False))
        parts, spans, places = (tf.gather(x, stay) for x in (parts, spans, places))
        return parts, spans, places, *self._pairs(parts, spans)


def _merges(model, ids, symbols):
    """Arrays (M,): left and right symbols, ranks, and the symbols that they make."""
    if model.is_tokenizers:
        return _listed_merges(model, ids)
    pieces, indices = list(ids), np.array(list(ids.values()), int)
    scores = np.asarray(model.scores)[indices]
    _, ranks = np.unique(-scores, return_inverse=True)
    left, right, made = possible_merges(pieces, symbols, ranks)
    return left, right, ranks[made], indices[made]


def _listed_merges(model, ids):
    """The same for a list of merges; of a pair that occurs twice, the last counts."""
    ranks = {pair: rank for rank, pair in enumerate(model.merges)}
    for pair in ranks:
        for part in (*pair, "".join(pair)):
            if part not in ids:
                raise TokenizerError(
                    "A merge must be of pieces of text for a graph. Received: "
                    f"{shown(pair)}."
                )
    merges = [
        (ids[left], ids[right], rank, ids[left + right])
        for (left, right), rank in ranks.items()
    ]
    return np.array(merges, int).reshape(-1, 4).T
