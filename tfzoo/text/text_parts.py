"""Splits texts at the added tokens that are recognized in them, in TensorFlow.

Shapes: B texts; P parts of all texts, the plain texts between tokens; every part except
the first of a text follows a token.
"""

import itertools
import re
import typing

import tensorflow as tf

from tfzoo.errors import TokenizerError, shown
from tfzoo.text.added_token import AddedToken
from tfzoo.text.byte_bpe.tables import NO_TOKEN
from tfzoo.text.tokenizer import WHITE_SPACE
from tfzoo.text.vectors import preceding, where, with_values

_FENCE = b"\xff"  # a byte that UTF-8 does not have
_CODE = r"(?s)\A(>>.*?<<)"


class Parts(typing.NamedTuple):
    """Texts split at tokens.

    Attributes:
        texts: (P,) strings, the plain texts.
        token: int32 (P,), id of the token before each, or NO_TOKEN.
        splits: int64 (B + 1,), the parts at which texts start and end.
        token_starts: int32 (P,), the characters of the text at which the tokens start.
        starts: int32 (P,), likewise the plain texts.
    """

    texts: tf.Tensor
    token: tf.Tensor
    splits: tf.Tensor
    token_starts: tf.Tensor
    starts: tf.Tensor

    def ragged_ids(self, ids):
        """Ragged ids (B, None) of the texts, given those of the parts, (P, None)."""
        return self._joined(self.token, ids)

    def places(self, places):
        """The result of `ByteBPEGraph.places`, given that of the parts."""
        ids = places["token_ids"]
        inside = tf.gather(self.starts, ids.value_rowids())
        starts, ends = (
            ids.with_flat_values(places[name].flat_values + inside)
            for name in ("starts", "ends")
        )
        is_word = tf.ones_like(self.token, tf.bool)
        return {
            "token_ids": self._joined(self.token, ids),
            "starts": self._joined(self.token_starts, starts),
            "ends": self._joined(self.starts, ends),
            "starts_word": self._joined(is_word, places["starts_word"]),
        }

    def _joined(self, of_tokens, of_parts):
        """Ragged values of texts, from those of the tokens (P,) and of the parts."""
        is_token = tf.not_equal(self.token, NO_TOKEN)
        num_tokens = tf.pad(tf.cumsum(tf.cast(is_token, tf.int64)), [[1, 0]])
        splits, values = of_parts.row_splits + num_tokens, of_parts.flat_values
        part = of_parts.value_rowids()
        places = tf.range(tf.size(part, tf.int64)) + tf.gather(num_tokens, part + 1)
        joined = with_values(tf.zeros([splits[-1]], values.dtype), places, values)
        joined = with_values(
            joined,
            tf.boolean_mask(splits[:-1], is_token),
            tf.boolean_mask(of_tokens, is_token),
        )
        splits = tf.gather(splits, self.splits)
        return tf.RaggedTensor.from_row_splits(joined, splits, validate=False)


class TextParts(tf.Module):
    """Splits texts (B,) in UTF-8 into `Parts`, at the leftmost and longest tokens.

    Args:
        tokens: Sequence of `AddedToken`.
        ids: Their ids.
        codes: None; or a dict of language code -> id. Then what a plain text begins
            with, from ">>" to the first "<<", is a token, too.
        unknown_id: Id of any other language code.
    """

    def __init__(self, tokens, ids, *, codes=None, unknown_id=None):
        super().__init__(name="text_parts")
        longest_first = sorted((t.content for t in tokens), key=len, reverse=True)
        self._pattern = "|".join(map(re.escape, longest_first))
        self._has_codes = codes is not None
        if self._has_codes:
            tokens = [*tokens, *map(AddedToken, codes)]
            ids = [*ids, *codes.values(), unknown_id]
        self._strips_left = any(token.lstrip for token in tokens)
        self._strips_right = any(token.rstrip for token in tokens)
        with tf.init_scope(), tf.device("CPU"):
            self._contents = tf.constant([token.content for token in tokens], tf.string)
            self._ids = tf.constant(ids, tf.int32)
            self._lstrip = tf.constant([token.lstrip for token in tokens] + [False])
            self._rstrip = tf.constant([token.rstrip for token in tokens] + [False])

    def __call__(self, texts):
        pieces, splits, place = self._pieces(texts)
        lengths = splits[1:] - splits[:-1]
        plain, tokens = where(tf.equal(place % 2, 0)), where(tf.equal(place % 2, 1))
        follows = where(tf.gather(place, plain) > 0)  # the parts after a token
        parts = tf.gather(pieces, plain)
        numbers = self._numbers(tf.gather(pieces, tokens))
        counts = tf.strings.length(pieces, "UTF8_CHAR")
        ends = tf.cumsum(counts) - tf.repeat(
            tf.gather(tf.pad(tf.cumsum(counts), [[1, 0]]), splits[:-1]), lengths
        )
        starts = tf.gather(ends - counts, plain)
        token_starts = tf.gather(tf.pad(ends - counts, [[1, 0]]), plain)
        ends = tf.gather(ends, plain)
        if self._strips_left:
            is_before = tf.gather(self._lstrip, numbers)
            parts, cut = _stripped(
                parts, tf.boolean_mask(follows, is_before) - 1, rf"{WHITE_SPACE}+\z"
            )
            token_starts -= preceding(cut, first=0)
        if self._strips_right:
            is_after = tf.gather(self._rstrip, numbers)
            parts, cut = _stripped(
                parts, tf.boolean_mask(follows, is_after), rf"\A{WHITE_SPACE}+"
            )
            starts += cut
        return Parts(
            parts,
            with_values(
                tf.fill(tf.shape(parts), NO_TOKEN),
                follows,
                tf.gather(self._ids, numbers),
            ),
            (splits + tf.range(tf.size(splits, tf.int64))) // 2,
            token_starts,
            starts,
        )

    def _pieces(self, texts):
        """Strings, the row splits of texts, and each string's place in its text.

        A text has an odd number of pieces: plain, token, plain, token, plain.
        """
        if self._pattern:
            fenced = _FENCE + rb"\0" + _FENCE
            texts = tf.strings.regex_replace(texts, self._pattern, fenced)
        pieces = tf.strings.split(texts, _FENCE)
        if not self._has_codes:
            return _placed(pieces)
        strings, splits, place = _placed(pieces)
        fenced = _FENCE + rb"\1" + _FENCE
        coded = tf.strings.regex_replace(strings, _CODE, fenced, replace_global=False)
        strings = tf.where(tf.equal(place % 2, 0), coded, strings)
        # A separator of the operation would be missing after an empty first string.
        strings = tf.where(place > 0, tf.strings.join([_FENCE, strings]), strings)
        rows, size = pieces.value_rowids(), tf.size(splits) - 1
        texts = tf.strings.unsorted_segment_join(strings, rows, size)
        return _placed(tf.strings.split(texts, _FENCE))

    def _numbers(self, contents):
        """The numbers of tokens, that after the last for an unknown language code."""
        is_own = tf.equal(contents[:, None], self._contents)
        if self._has_codes:
            is_own = tf.concat([is_own, tf.ones_like(is_own[:, :1])], 1)
        return tf.argmax(is_own, 1, output_type=tf.int32)


def _placed(pieces):
    """Strings of ragged pieces, their row splits, and each one's place in its row."""
    splits = pieces.row_splits
    place = tf.range(splits[-1]) - tf.repeat(splits[:-1], pieces.row_lengths())
    return pieces.flat_values, splits, place


def _stripped(parts, places, pattern):
    """The parts without what matches, at some places, and the characters removed."""
    some = tf.gather(parts, places)
    parts = with_values(parts, places, tf.strings.regex_replace(some, pattern, ""))
    cut = tf.strings.length(some, "UTF8_CHAR")
    cut -= tf.strings.length(tf.gather(parts, places), "UTF8_CHAR")
    return parts, with_values(tf.zeros(tf.shape(parts), tf.int32), places, cut)


def check_apart(tokens, others):
    """Raises `TokenizerError` if a token of one group may overlap one of the other.

    `tokenizers` looks for the groups one after the other, or skips one of them.
    """
    for first, second in itertools.product(tokens, others):
        if _overlap(first, second) or _overlap(second, first):
            raise TokenizerError(
                "In a graph, an added token must not overlap a special one, or one "
                "that is looked for in normalized text. "
                f"Received: {shown(first)} and {shown(second)}."
            )


def _overlap(first, second):
    """Whether `second` may start inside `first`."""
    return second in first or any(
        first.endswith(second[:size]) for size in range(1, len(second))
    )
