"""The merges that byte-pair encoding by scores can make.

A `.model` file has scores of pieces, not a list of merges, and most pieces can be split
in several ways into two others. Only one of them is ever merged: let the neighbors x
and y be merged to z somewhere in a text. Until then no merge crosses a border of z, and
the merges inside z are those that z makes on its own: as long as the parts inside are
the same in both, the best merge inside z is the same, the leftmost of equals, and in
the text no other merge changes these parts. So z on its own also ends with merging x
and y; and if it does not end as one piece, nothing is ever merged to z.
"""

import numpy as np

_NONE = np.iinfo(np.int64).max


def possible_merges(pieces, symbols, ranks):
    """The merges of which at most one makes each piece.

    Args:
        pieces: List of P pieces, each of at least one character.
        symbols: Dict of piece or character -> its symbol, an integer >= 0.
        ranks: int (P,), the ranks of the pieces; the lowest merges first.

    Returns:
        int32 arrays (M,): left symbols, right symbols, and indices of the pieces that
        they make. Pieces that can be split in only one way are not followed, and may
        include some that are never made.
    """
    left, right, made = _splits(pieces, symbols)
    counts = np.bincount(made, minlength=len(pieces))
    several = np.flatnonzero(counts > 1)
    kept = counts[made] == 1
    if len(several):
        size = max(symbols.values()) + 1
        made_symbol = np.array([symbols[piece] for piece in pieces], np.int64)
        keys = left.astype(np.int64) * size + right
        order = np.argsort(keys)
        table = _Table(
            keys[order], np.asarray(ranks)[made][order], made_symbol[made][order], size
        )
        contents = [[symbols[c] for c in pieces[index]] for index in several]
        last_left, last_right = table.last_merge(contents)
        found = np.full(len(pieces), -1, np.int64)
        found[several] = np.where(last_left < 0, -1, last_left * size + last_right)
        kept |= (counts[made] > 1) & (keys == found[made])
    return left[kept], right[kept], made[kept]


def _splits(pieces, symbols):
    """All ways to split a piece into two symbols: left, right, index of the piece."""
    left, right, made = [], [], []
    get = symbols.get
    for index, piece in enumerate(pieces):
        for place in range(1, len(piece)):
            one = get(piece[:place])
            if one is None:
                continue
            other = get(piece[place:])
            if other is not None:
                left.append(one)
                right.append(other)
                made.append(index)
    return (np.array(x, np.int32) for x in (left, right, made))


class _Table:
    """Merges by their pairs of symbols.

    Args:
        keys: int64 (M,), left symbol times `size` plus right symbol, ascending.
        ranks: int (M,).
        made: int64 (M,), the symbols that they make.
        size: Number of symbols.
    """

    def __init__(self, keys, ranks, made, size):
        self._keys, self._made, self._size = keys, made, size
        self._ranks = np.append(ranks, _NONE)

    def last_merge(self, contents):
        """The merge that ends each row; -1 if it does not end as one symbol.

        Args:
            contents: List of R lists of at least two symbols.

        Returns:
            int64 (R,), left and right symbols.
        """
        lengths = np.array(list(map(len, contents)))
        parts = np.concatenate(contents).astype(np.int64)
        rows = np.repeat(np.arange(len(contents)), lengths)
        left, right = np.full((2, len(contents)), -1, np.int64)
        while len(parts):
            starts = np.flatnonzero(np.diff(rows, prepend=-1))
            counts = np.diff(starts, append=len(rows))
            slots = self._slots(parts, rows)
            ranks = self._ranks[slots]
            lowest = np.minimum.reduceat(ranks, starts)
            best = np.flatnonzero(
                (ranks == np.repeat(lowest, counts)) & (ranks != _NONE)
            )
            best = best[np.diff(rows[best], prepend=-1) > 0]  # the leftmost of a row
            ends = best[np.isin(rows[best], rows[starts[counts == 2]])]
            left[rows[ends]], right[rows[ends]] = parts[ends], parts[ends + 1]
            parts[best] = self._made[slots[best]]
            stays = np.repeat((lowest != _NONE) & (counts > 2), counts)
            stays[best + 1] = False
            parts, rows = parts[stays], rows[stays]
        return left, right

    def _slots(self, parts, rows):
        """Index of the merge of every part with the next one of its row, or M."""
        keys = parts[:-1] * self._size + parts[1:]
        found = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        is_merge = (self._keys[found] == keys) & (rows[:-1] == rows[1:])
        return np.append(np.where(is_merge, found, len(self._keys)), len(self._keys))
