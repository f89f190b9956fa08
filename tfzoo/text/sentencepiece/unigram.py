"""Unigram in TensorFlow operations: pieces of a stream of characters.

Source: Kudo 2018, section 3.2, https://arxiv.org/abs/1804.10959
"""

import numpy as np
import tensorflow as tf

from tfzoo.text.sentencepiece import json_file
from tfzoo.text.sentencepiece.piece_model import (
    CONTROL,
    NORMAL,
    USER_DEFINED,
)
from tfzoo.text.sentencepiece.piece_trie import PieceMatches
from tfzoo.text.sentencepiece.viterbi import Viterbi

_PENALTY = 10.0  # of an unknown character, below the lowest score
_BONUS = 0.1  # of a user-defined symbol, for every byte but the first


class UnigramSplitter(tf.Module):
    """Splits characters into pieces.

    Args:
        model: `PieceModel`.
        alphabet: `Alphabet` of its pieces.

    Call arguments:
        symbols: int32 (N,), the last one `OUTSIDE`.
        resets: bool (N,), whether a character starts a row: a text; or a word, where
            the model splits texts into words.

    Returns:
        Model ids of T pieces, `NO_VALUE` for an unknown character; their first
        characters, and their lengths, int32 (T,); and `Sums` of the rows.
    """

    def __init__(self, model, alphabet):
        super().__init__(name="unigram")
        kinds = model.kinds
        if model.is_tokenizers:
            matched, dtype = kinds != CONTROL, tf.float64
            scores = json_file.scores_as_read(model.scores)
            lowest = scores.min()
        else:
            matched = np.isin(kinds, [NORMAL, USER_DEFINED])
            scores, dtype = _library_scores(model), tf.float32
            lowest = np.float32(model.scores[kinds == NORMAL].min(initial=0))
        # A space in a text is "\u2581" by now.
        ids = [i for i in np.flatnonzero(matched) if " " not in model.pieces[i]]
        trie = alphabet.trie([model.pieces[i] for i in ids], ids)
        unknown = float(scores.dtype.type(lowest) - scores.dtype.type(_PENALTY))
        self._matches = PieceMatches(trie, scores, unknown, dtype)
        self._viterbi = Viterbi(max(float(np.abs(scores).max()), abs(unknown)))

    def __call__(self, symbols, resets):
        matches = self._matches(symbols)
        ends, lengths, sums = self._viterbi(matches.scores, matches.longest, resets)
        columns = tf.shape(matches.values)[0] - lengths
        values = tf.gather_nd(matches.values, tf.stack([columns, ends], 1))
        return values, ends + 1 - lengths, lengths, sums


def _library_scores(model):
    """float32 (P,): the scores that `sentencepiece` adds."""
    scores = model.scores.astype(np.float32)
    for index in np.flatnonzero(model.kinds == USER_DEFINED):
        scores[index] = _BONUS * (len(model.pieces[index].encode()) - 1)
    return scores
