"""The precompiled rules of a SentencePiece normalizer, which replace strings by others.

The content has the size of a trie in bytes, the trie, and the replacements, each ended
by NUL. The trie is a double array over the bytes of UTF-8, in the layout of Darts-clone
(equal subtrees are stored once): the unit of a node has the offset of its children, its
own byte, and a bit that says whether a rule ends here; if so, the child of byte 0 has
the position of the replacement.

Source: `normalizer.cc` of https://github.com/google/sentencepiece, and
https://github.com/s-yata/darts-clone
"""

import dataclasses
import functools

import numpy as np

from tfzoo.text.wordpiece.codepoint_tables import NUM_CODE_POINTS

LONGEST_RULE = 32  # bytes; also the most rules that the library finds at one position
BLOCK = 256  # units; the children of a node are in one block
HAS_RULE = 1 << 8
LABEL = 0x800000FF
_BYTES = np.arange(1, 256)
_IS_INNER = _BYTES & 0xC0 == 0x80  # bytes that continue a character
_NUM_INNER = np.select([_BYTES < 0xC0, _BYTES < 0xE0, _BYTES < 0xF0], [0, 1, 2], 3)


@dataclasses.dataclass(frozen=True)
class Charsmap:
    """The rules as arrays; without any, `units` is empty.

    Attributes:
        units: uint32 (U,), the trie.
        replacements: bytes.
    """

    units: np.ndarray
    replacements: bytes

    @classmethod
    def read(cls, content):
        """Reads and checks the content of a `precompiled_charsmap`, bytes.

        The libraries check little: what passes here, they read inside its bounds.

        Raises:
            ValueError: the content is invalid.
        """
        if not content:
            return cls(np.zeros(0, np.uint32), b"")
        size = int.from_bytes(content[:4], "little")
        if size % (4 * BLOCK) or not 0 < size < len(content) - 4:
            raise ValueError(
                "The trie of a charsmap must be whole blocks inside of it. "
                f"Received: {size} of {len(content)} bytes"
            )
        units = np.frombuffer(content, "<u4", size // 4, offset=4)
        found = cls(units, content[4 + size :])
        found._check()
        return found

    def _check(self):
        if self.replacements[-1]:
            raise ValueError("The replacements of a charsmap must end with NUL")
        self.replacements.decode()  # a `UnicodeDecodeError` is a `ValueError`
        starts_character = np.frombuffer(self.replacements, np.uint8) & 0xC0 != 0x80
        # A state is a node, and the number of bytes that its character still lacks.
        states = np.zeros(1, np.int64)
        for _ in range(LONGEST_RULE + 1):
            nodes, lacking = states >> 2, states & 3
            bases = self.bases(nodes)
            if bases.max() >= len(self.units):
                raise ValueError("The trie of a charsmap must not leave its array")
            ends = self.units[nodes] & HAS_RULE != 0
            values = self.units[bases[ends]] & 0x7FFFFFFF
            if (
                lacking[ends].any()
                or (values >= len(self.replacements)).any()
                or not starts_character[values].all()
            ):
                raise ValueError("A rule of a charsmap must map characters to others")
            parent, label = np.nonzero(self._children(nodes))
            if not len(parent):
                return
            lacking = lacking[parent]
            if ((lacking > 0) != _IS_INNER[label]).any():
                raise ValueError("The trie of a charsmap must be of UTF-8")
            children = bases[parent] ^ _BYTES[label]
            lacking = np.where(lacking > 0, lacking - 1, _NUM_INNER[label])
            states = np.unique(children << 2 | lacking)
        raise ValueError(f"A rule of a charsmap must have <= {LONGEST_RULE} bytes")

    def bases(self, nodes):
        """What to combine with a byte, by exclusive or, for the child of a node."""
        units = self.units[nodes].astype(np.int64)
        return nodes ^ (units >> 10) << (units >> 6 & 8)

    def _children(self, nodes):
        """bool (N, 255): whether each of N nodes has a child of the bytes from 1 on."""
        return self.units[self.bases(nodes)[:, None] ^ _BYTES] & LABEL == _BYTES

    @functools.cached_property
    def first_characters(self):
        """Which rules begin with a character.

        Returns:
            Two bool arrays (0x110000,): whether a rule consists of the character, and
            whether a longer rule begins with it; and bool (256,), the bytes that follow
            the first character of any rule.
        """
        is_rule, leads_on = np.zeros((2, NUM_CODE_POINTS), bool)
        follows = np.zeros(256, bool)
        code_points, nodes = self._first_nodes
        ends, which = np.unique(nodes, return_inverse=True)
        is_rule[code_points] = self.units[nodes] & HAS_RULE != 0
        below = self._children(ends)
        leads_on[code_points] = below.any(axis=1)[which]
        follows[_BYTES] |= below.any(axis=0)
        return is_rule, leads_on, follows

    @functools.cached_property
    def single_rules(self):
        """The characters that a rule consists of, and what replaces them.

        Returns:
            Three int arrays (R,): their code points; and the first and the last code
            point of the replacement, 0 if it is empty.
        """
        code_points, nodes = self._first_nodes
        is_rule = self.units[nodes] & HAS_RULE != 0
        code_points, nodes = code_points[is_rule], nodes[is_rule]
        replaced, starts, lengths = self.replaced
        value = self.units[self.bases(nodes)] & 0x7FFFFFFF
        last = starts[value] + np.maximum(lengths[value] - 1, 0)
        return code_points, replaced[starts[value]], replaced[last]

    @functools.cached_property
    def replaced(self):
        """The replacements as characters.

        Returns:
            int32 arrays: the code points of all replacements; and for every byte, the
            character that it belongs to, and the number of characters from there to the
            end of the replacement.
        """
        content = np.frombuffer(self.replacements, np.uint8)
        character = np.cumsum(content & 0xC0 != 0x80) - 1
        nul = np.flatnonzero(content == 0)
        ends = nul[np.searchsorted(nul, np.arange(len(content)))]
        code_points = np.array(list(map(ord, self.replacements.decode())), np.int32)
        lengths = character[ends] - character
        return code_points, character.astype(np.int32), lengths.astype(np.int32)

    @functools.cached_property
    def leads(self):
        """The bytes with which characters of rules start.

        Returns:
            Two bool (256,): those of first characters, and those of later ones.
        """
        first, later = np.zeros((2, 256), bool)
        states, is_root = np.zeros(1 if len(self.units) else 0, np.int64), True
        while len(states):
            nodes, lacking = states >> 2, states & 3
            parent, label = np.nonzero(self._children(nodes))
            lacking = lacking[parent]
            (first if is_root else later)[_BYTES[label[lacking == 0]]] = True
            children = self.bases(nodes)[parent] ^ _BYTES[label]
            lacking = np.where(lacking > 0, lacking - 1, _NUM_INNER[label])
            states, is_root = np.unique(children << 2 | lacking), False
        return first, later

    @functools.cached_property
    def _first_nodes(self):
        """The code points of first characters, and the nodes they lead to."""
        found = [np.zeros((0, 2), np.int64)]
        # A state is a node, a code point, and the number of bytes that it lacks.
        states = np.zeros((1 if len(self.units) else 0, 3), np.int64)
        while len(states):
            nodes, code_points, lacking = states.T
            parent, label = np.nonzero(self._children(nodes))
            children = self.bases(nodes)[parent] ^ _BYTES[label]
            value, is_first = _BYTES[label], nodes[parent] == 0
            num_inner = _NUM_INNER[label]
            of_first = value & (0x7F >> num_inner + (num_inner > 0))
            bits = np.where(is_first, of_first, value & 63)
            code_points = code_points[parent] << 6 | bits
            lacking = np.where(is_first, num_inner, lacking[parent] - 1)
            whole = (lacking == 0) & (code_points < NUM_CODE_POINTS)
            found.append(np.stack([code_points, children], 1)[whole])
            states = np.stack([children, code_points, lacking], 1)[lacking > 0]
        return np.concatenate(found).T


def starting_with(leads):
    """bool (0x110000,): whether the UTF-8 of a code point starts with such a byte.

    Args:
        leads: bool (256,).
    """
    code_points = np.arange(NUM_CODE_POINTS)
    lead = np.select(
        [code_points < 0x80, code_points < 0x800, code_points < 0x10000],
        [code_points, code_points >> 6 | 0xC0, code_points >> 12 | 0xE0],
        code_points >> 18 | 0xF0,
    )
    return leads[lead]
