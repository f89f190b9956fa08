"""The normalizer of a SentencePiece model, in TensorFlow operations.

All texts of a batch form one stream of N characters. A text is a space, if the model
begins texts with one, the text itself, and NUL, which separates it from the next text
and is in no piece. Rules then replace characters, and spaces are removed.

Source: `normalizer.cc` of https://github.com/google/sentencepiece, or the normalizers
and pre-tokenizers of `tokenizers`
"""

import copy
import typing

import tensorflow as tf

from tfzoo.text.sentencepiece.graphemes import Graphemes
from tfzoo.text.sentencepiece.piece_model import SPACE, USER_DEFINED
from tfzoo.text.sentencepiece.piece_places import (
    aligned,
    aligned_places,
    library_places,
    with_end_origins,
    with_prefix_origins,
)
from tfzoo.text.sentencepiece.piece_trie import OUTSIDE, Alphabet
from tfzoo.text.sentencepiece.rule_matches import RuleMatches, leftmost
from tfzoo.text.trie_walk import TrieWalk
from tfzoo.text.vectors import (
    following,
    preceding,
    where,
    with_value,
    with_values,
)

_KEPT = -1
_SPACE, _PIECE_SPACE = ord(" "), ord(SPACE)
_WHITE_SPACE = (*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B))
_WHITE_SPACE += (0x2028, 0x2029, 0x202F, 0x205F, 0x3000)


class Characters(typing.NamedTuple):
    """A stream of N characters.

    Attributes:
        code_points: int32 (N,); NUL ends each text.
        origins: int32 (N,), the characters of the raw stream that they come from: for
            `sentencepiece`, the first one of what was replaced together; for
            `tokenizers`, its alignments.
        is_end: bool (N,), whether a character ends a text.
        starts_chunk: bool (N,), whether a character is the first of what replaces a
            part of the raw stream.
    """

    code_points: tf.Tensor
    origins: tf.Tensor
    is_end: tf.Tensor
    starts_chunk: tf.Tensor

    def only(self, is_kept):
        """The characters for which `is_kept` is True."""
        return Characters(*(tf.gather(x, where(is_kept)) for x in self))


class GraphNormalizer(tf.Module):
    """Makes the characters that are split into pieces; spaces are not yet "\\u2581".

    Args:
        model: `PieceModel`.

    Call arguments:
        code_points: int32 (N,), those of texts by `decoded`.
        splits: int64 (B + 1,), where the texts start and end.

    Returns:
        `Characters`.
    """

    def __init__(self, model):
        super().__init__(name="normalizer")
        steps = model.steps
        self._steps, self._is_tokenizers = steps, model.is_tokenizers
        scheme = next((s for s in steps if s.startswith("metaspace")), "")
        self._begins_unless_space = "always" in scheme or "first" in scheme
        self.begins = "dummy_prefix" in steps or self._begins_unless_space
        self.begins_only_first = "first" in scheme  # of the parts between tokens
        self._rules = self._graphemes = None
        if model.charsmap is not None and len(model.charsmap.units):
            is_tokenizers = "graphemes" in steps
            self._rules = RuleMatches(model.charsmap, is_shortest=is_tokenizers)
            self._graphemes = Graphemes() if is_tokenizers else None
        self._kept = None  # user-defined symbols, which no rule changes
        if "rules" in steps:
            kinds = zip(model.pieces, model.kinds, strict=True)
            kept = [piece for piece, kind in kinds if kind == USER_DEFINED]
            if kept:
                self._letters = Alphabet(kept, joins_spaces=False)
                trie = self._letters.trie(kept, range(len(kept)))
                self._kept = TrieWalk(trie, outside=OUTSIDE)

    def inside(self):
        """This normalizer for parts of texts that do not get a space at their start."""
        other = copy.copy(self)
        other._begins_unless_space = False
        other.begins = "dummy_prefix" in self._steps
        return other

    def decoded(self, texts):
        """The raw code points int32 (N,) of texts (B,), and where texts start and end.

        A text has an added space at its start, if `begins`, and NUL at its end.
        """
        parts = [" ", texts, "\0"] if self.begins else [texts, "\0"]
        decoded = tf.strings.unicode_decode(tf.strings.join(parts), "UTF-8")
        return decoded.flat_values, decoded.row_splits

    def __call__(self, code_points, splits):
        characters = Characters(
            code_points,
            tf.range(tf.size(code_points)),
            with_value(tf.zeros_like(code_points, tf.bool), splits[1:] - 1, value=True),
            tf.ones_like(code_points, tf.bool),
        )
        starts, lengths, values = self._matches(code_points, splits)
        characters = tf.cond(
            tf.size(starts) > 0,
            lambda: self._replaced(characters, splits, starts, lengths, values),
            lambda: characters,
        )
        return self._spaced(characters)

    def _matches(self, code_points, splits):
        """What is replaced, or kept as a whole.

        Returns:
            int64 (M,), first characters; int32 (M,), numbers of characters; and int32
            (M,), the first byte of the replacement, `_KEPT` for what is kept.
        """
        is_own = tf.ones_like(code_points, tf.bool)
        if self.begins:  # the space before a text is not part of it
            is_own = with_value(is_own, splits[:-1], value=False)
        starts = tf.zeros([0], tf.int64)
        lengths = values = tf.zeros([0], tf.int32)
        if self._rules is not None:
            candidates = self._rules.candidates(code_points)
            candidates = tf.boolean_mask(candidates, tf.gather(is_own, candidates))
            starts, lengths, values = tf.cond(
                tf.size(candidates) > 0,
                lambda: self._rule_matches(candidates, code_points, splits),
                lambda: (starts, lengths, values),
            )
        if self._kept is not None:
            node = self._kept.from_all(self._letters(code_points))
            kept = tf.where(is_own, tf.gather(self._kept.length, node), 0)
            nothing = tf.zeros_like(code_points)
            lengths = with_values(nothing, starts, lengths)
            values = tf.where(kept > 0, _KEPT, with_values(nothing, starts, values))
            lengths = tf.where(kept > 0, kept, lengths)
            starts = where(lengths > 0)
            lengths, values = tf.gather(lengths, starts), tf.gather(values, starts)
        return starts, lengths, values

    def _rule_matches(self, candidates, code_points, splits):
        limits = tf.fill(tf.shape(candidates), tf.int32.max)
        if self._graphemes is not None:
            clusters = self._graphemes(code_points, splits, begins=self.begins)
            limits = tf.gather(clusters, candidates)
        lengths, values = self._rules(candidates, code_points, limits)
        if self._graphemes is not None:  # the rest of a grapheme is dropped
            lengths = tf.where(lengths > 0, limits, 0)
        found = where(lengths > 0)
        return tuple(tf.gather(x, found) for x in (candidates, lengths, values))

    def _replaced(self, characters, splits, starts, lengths, values):
        """The characters after the matches, which are taken from left to right."""
        ends = starts + tf.cast(lengths, tf.int64)
        taken = where(leftmost(starts, ends))
        starts, ends, values = (tf.gather(x, taken) for x in (starts, ends, values))
        code_points = characters.code_points
        size = tf.size(code_points)
        origins = tf.range(size)
        if self._kept is not None:
            is_kept = tf.equal(values, _KEPT)
            spans = tf.ragged.range(
                tf.boolean_mask(starts, is_kept), tf.boolean_mask(ends, is_kept)
            )
            inside = spans.flat_values
            first = tf.gather(tf.boolean_mask(starts, is_kept), spans.value_rowids())
            origins = with_values(origins, inside, tf.cast(first, tf.int32))
            starts, ends, values = (
                tf.boolean_mask(x, ~is_kept) for x in (starts, ends, values)
            )
        if self._rules is None:
            is_first = tf.not_equal(origins, preceding(origins, first=-1))
            return characters._replace(origins=origins, starts_chunk=is_first)
        starts, ends = tf.cast(starts, tf.int32), tf.cast(ends, tf.int32)
        lengths = tf.gather(self._rules.lengths, values)
        firsts = tf.gather(self._rules.starts, values)
        changes = lengths - (ends - starts)
        places = starts + tf.cumsum(changes, exclusive=True)  # of the replacements
        # Characters come from the replacements or, after these, from the raw stream.
        raw = tf.size(self._rules.code_points)
        both = tf.concat([self._rules.code_points, code_points], 0)
        jumps = tf.concat([firsts - raw - starts, raw + ends - firsts - lengths], 0)
        steps = tf.tensor_scatter_nd_add(
            tf.ones([size + tf.reduce_sum(changes)], tf.int32),
            tf.concat([places, places + lengths], 0)[:, None],
            jumps,
        )
        index = raw - 1 + tf.cumsum(steps)
        new = tf.cast(where(index < raw), tf.int32)
        match = tf.searchsorted(places, new, side="right") - 1
        source = with_values(index - raw, new, tf.gather(starts, match))
        is_end = tf.gather(characters.is_end, source)
        if self._is_tokenizers:
            is_removed = tf.equal(following(starts, last=-1), ends)
            is_removed &= tf.equal(following(lengths, last=1), 0)
            own = aligned(
                new - tf.gather(places, match),
                *(tf.gather(x, match) for x in (starts, ends, lengths, is_removed)),
            )
            origins = with_values(source, new, own)
            # What is removed at the start of a text is not counted.
            real = where(preceding(is_end, first=True)) + int(self.begins)
            lead = tf.gather(origins, real) - tf.cast(splits[:-1], tf.int32)
            origins -= tf.gather(lead - int(self.begins), _text_of(is_end))
        else:
            origins = tf.gather(origins, source)
        return Characters(
            tf.gather(both, index),
            origins,
            is_end,
            tf.not_equal(origins, preceding(origins, first=-1)),
        )

    def _spaced(self, characters):
        """The characters after the rules for spaces."""
        for step in self._steps:
            if step == "remove_extra_spaces":
                characters = self._without_extra_spaces(characters)
            elif step.startswith("squeeze"):
                is_space = tf.equal(characters.code_points, _SPACE)
                is_extra = is_space & following(is_space, last=False)
                characters = characters.only(~is_extra | self._is_added(characters))
            elif step == "strip_right":
                blank = _is_white(characters.code_points) & ~self._is_added(characters)
                characters = characters.only(~_trail(blank, characters.is_end))
            elif step == "split_spaces":
                characters = self._between_words(characters)
        if self.begins and "remove_extra_spaces" not in self._steps:
            is_empty = following(characters.is_end, last=False)
            if not self._is_tokenizers:  # a text of which nothing is left has a space
                origins = characters.origins
                is_empty &= tf.equal(following(origins, last=0), origins + 1)
            characters = characters.only(~(self._is_added(characters) & is_empty))
        if self._begins_unless_space:
            next_blank = following(_is_blank(characters.code_points), last=False)
            characters = characters.only(~(self._is_added(characters) & next_blank))
        return characters

    def places(self, characters, pieces, raw_starts):
        """First characters of T pieces in their texts, and those after their last ones.

        Returns:
            Two int32 (T,).
        """
        before = tf.cast(raw_starts[:-1], tf.int32) + int(self.begins)
        origins = characters.origins - tf.gather(before, _text_of(characters.is_end))
        if not self._is_tokenizers:
            return library_places(tf.maximum(origins, 0), pieces)
        return aligned_places(origins, pieces)

    def _is_added(self, characters):
        """Whether a character is the space before a text."""
        if not self.begins:
            return tf.zeros_like(characters.is_end)
        return preceding(characters.is_end, first=True) & ~characters.is_end

    def _between_words(self, characters):
        """One space before each word; white space is removed."""
        is_white = _is_white(characters.code_points)
        code_points = tf.where(is_white, _SPACE, characters.code_points)
        ends = characters.is_end | _is_blank(code_points)
        is_extra = is_white & following(ends, last=False)
        characters = characters._replace(code_points=code_points)
        return characters.only(~is_extra | self._is_added(characters))

    def _without_extra_spaces(self, characters):
        """One space between words, none at the end of a text or before it.

        What replaces a part of the text keeps spaces after its first other character.
        """
        code_points, is_end = characters.code_points, characters.is_end
        is_space = tf.equal(code_points, _SPACE)
        before = preceding(is_space, first=not self.begins)
        if not self.begins:
            before |= preceding(is_end, first=False)
        starts = characters.starts_chunk

        def in_chunks():
            chunk = tf.cumsum(tf.cast(starts, tf.int32)) - 1
            first = tf.gather(where(starts), chunk)
            others = tf.cumsum(tf.cast(~is_space, tf.int32), exclusive=True)
            leads = tf.equal(others, tf.gather(others, first))
            return leads & tf.gather(before, first)

        if self.begins:
            added = self._is_added(characters)
            origins = with_prefix_origins(
                characters.origins, characters.starts_chunk, is_space, added
            )
            characters = characters._replace(origins=origins)
        extra = is_space & tf.cond(tf.reduce_all(starts), lambda: before, in_chunks)
        characters = characters.only(~extra)
        blank = _is_blank(characters.code_points)
        origins = with_end_origins(characters.origins, blank, characters.is_end)
        characters = characters._replace(origins=origins)
        return characters.only(~_trail(blank, characters.is_end))


def _text_of(is_end):
    """The text of every character, int32 (N,)."""
    return tf.cumsum(tf.cast(is_end, tf.int32), exclusive=True)


def _trail(blank, is_end):
    """Which blanks are at the end of a text: bool (N,)."""
    others, blanks = where(~blank), where(blank)
    number = tf.cumsum(tf.cast(~blank, tf.int32))
    after = tf.gather(others, tf.gather(number, blanks))
    trailing = tf.boolean_mask(blanks, tf.gather(is_end, after))
    return with_value(tf.zeros_like(blank), trailing, value=True)


def _is_blank(code_points):
    return tf.equal(code_points, _SPACE) | tf.equal(code_points, _PIECE_SPACE)


def _is_white(code_points):
    return tf.reduce_any(tf.equal(code_points[:, None], _WHITE_SPACE), 1)
