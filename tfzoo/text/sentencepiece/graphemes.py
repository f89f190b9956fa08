"""Short grapheme clusters, as far as the normalizer of `tokenizers` depends on them.

It looks up a cluster of fewer than six bytes as a whole, and every character of a
longer one by itself. In so few bytes, whether two neighbors belong together depends on
these two alone (except that a copyright sign, a joiner and a pictograph are one cluster
of six bytes or more). So the engine itself tells, by what it drops: a cluster becomes
what a rule makes of its first character.

Source: Unicode Standard Annex 29, https://www.unicode.org/reports/tr29, in the version
of `tokenizers`
"""

import functools

import numpy as np
import tensorflow as tf
from tokenizers import normalizers

from tfzoo.text.sentencepiece.charsmap import BLOCK, HAS_RULE
from tfzoo.text.vectors import following, preceding, where, with_value, with_values
from tfzoo.text.wordpiece.codepoint_lookup import CodePointTable
from tfzoo.text.wordpiece.codepoint_tables import NUM_CODE_POINTS, two_level

_MARK, _JOINER, _COPYRIGHT, _REGISTERED = 0x301, 0x200D, 0xA9, 0xAE
_LONGEST = 5  # bytes
EXTENDS, _TAKES_MARK, PREPENDS, _PICTOGRAPH = 1, 2, 4, 8
_PROBED = ((1, 0xD800), (0xE000, 0x14700), (0x16000, 0x19000), (0x1A000, 0x20000))
_PROBED = (*_PROBED, (0xE0000, 0xE1000))


class Graphemes(tf.Module):
    """Finds clusters of at most five bytes.

    Call arguments:
        code_points: int32 (N,).
        splits: int64 (B + 1,), where texts start and end.
        begins: Whether the first character of a text is not part of it.

    Returns:
        int32 (N,): number of characters of the short cluster that starts at each
        character; 1 for a character in a longer one.
    """

    def __init__(self):
        super().__init__(name="graphemes")
        self._flags = CodePointTable(*two_level(grapheme_flags()))

    def __call__(self, code_points, splits, *, begins):
        flags = self._flags(code_points)
        before = preceding(flags, first=0)

        def has(flags, flag):
            return tf.not_equal(flags & flag, 0)

        joins = has(flags, EXTENDS) & has(before, _TAKES_MARK)
        joins |= has(before, PREPENDS) & has(flags, _TAKES_MARK)
        is_return = tf.equal(code_points, ord("\r"))
        joins |= tf.equal(code_points, ord("\n")) & preceding(is_return, first=False)
        is_joiner = tf.equal(code_points, _JOINER)
        is_copyright = tf.equal(code_points, _COPYRIGHT)
        is_copyright |= tf.equal(code_points, _REGISTERED)
        emoji = preceding(is_joiner & preceding(is_copyright, first=False), first=False)
        joins |= has(flags, _PICTOGRAPH) & emoji
        apart = tf.concat([splits[:-1], splits[:-1] + int(begins)], 0)
        joins = with_value(joins, apart, value=False)
        cluster = tf.cumsum(tf.cast(~joins, tf.int32)) - 1
        num_bytes = 1 + sum(
            tf.cast(code_points >= limit, tf.int32) for limit in (0x80, 0x800, 0x10000)
        )
        starts = where(~joins)
        sizes = following(starts, last=tf.size(joins, tf.int64)) - starts
        is_short = tf.math.segment_sum(num_bytes, cluster) <= _LONGEST
        sizes = tf.where(is_short, tf.cast(sizes, tf.int32), 1)
        return with_values(tf.ones_like(code_points), starts, sizes)


@functools.lru_cache(maxsize=1)
def grapheme_flags():
    """int32 (0x110000,): the flags of every code point."""
    probed = np.concatenate([np.arange(*pair) for pair in _PROBED])
    probed = probed[~np.isin(probed, [ord("\r"), ord("\n")])]
    normalize = normalizers.Precompiled(_charsmap(probed)).normalize_str

    def drops(*characters):
        """Whether any character of each line is dropped."""
        columns = [np.broadcast_to(c, probed.shape) for c in (*characters, ord("\n"))]
        text = np.stack(columns, 1).astype("<u4").tobytes().decode("utf-32-le")
        lines = normalize(text).split("\n")[:-1]
        return np.array([len(line) < len(characters) for line in lines])

    extends, base = drops(ord("a"), probed), ~drops(probed, _JOINER, _MARK)
    flags = np.full(NUM_CODE_POINTS, _TAKES_MARK, np.int32)  # ideographs, unassigned
    flags[[0, ord("\r"), ord("\n")]] = 0
    flags[probed] = extends * EXTENDS | (extends | base) * _TAKES_MARK
    flags[probed] |= drops(probed, ord("a")) * PREPENDS
    flags[probed] |= ~drops(_COPYRIGHT, _JOINER, probed) * _PICTOGRAPH
    return flags


def _charsmap(code_points):
    """The content of a charsmap that replaces each of these characters by "x"."""
    characters = [chr(c).encode() for c in code_points]
    blocks = {b"": 1}  # prefix -> block of its children
    for content in characters:
        for end in range(1, len(content)):
            blocks.setdefault(content[:end], len(blocks) + 1)
    leaf = BLOCK * (len(blocks) + 1)  # of all rules
    units = np.zeros(leaf + BLOCK, "<u4")
    units[leaf] = 1 << 31
    units[0] = BLOCK << 10
    for prefix, block in blocks.items():
        if prefix:
            node = BLOCK * blocks[prefix[:-1]] + prefix[-1]
            units[node] = prefix[-1] | (node ^ BLOCK * block) << 10
    for content in characters:
        node = BLOCK * blocks[content[:-1]] + content[-1]
        units[node] = content[-1] | HAS_RULE | (node ^ leaf) << 10
    return units.nbytes.to_bytes(4, "little") + units.tobytes() + b"x\0"
