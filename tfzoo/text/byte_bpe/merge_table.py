"""The merges of a byte-level BPE as integer arrays: one lookup per pair of tokens.

Tokens are given by their ids. The row of a left token contains the tokens that it
merges with. All rows share one array, each at an offset at which its entries do not
collide with those of other rows.

Source: Tarjan and Yao 1979, "Storing a sparse table", section 2,
https://doi.org/10.1145/359168.359175
"""

import dataclasses

import numpy as np

from tfzoo.errors import TokenizerError

NO_MERGE = np.int32(2**31 - 1)  # above every rank
_SLOTS_PER_MERGE = 3  # so that a few tries suffice to place a row
_LONG_ROW = 16  # from here on, places are tried many at a time
_TRIES = 64
_MAX_SLOTS = 1 << 26


@dataclasses.dataclass(frozen=True)
class MergeTable:
    """`rank[base[a] + b]` is the rank of merging a and b if `left[base[a] + b] == a`.

    Attributes:
        base: int32 (V,), V tokens.
        left: int32 (S,), S slots; -1 for a free slot.
        rank: int32 (S,), NO_MERGE for a free slot.
        made: int32 (M,), the token that each of M merges makes.
        leads_back: bool (M,), whether a merge of a lower rank joins what this one makes
            to another token.
    """

    base: np.ndarray
    left: np.ndarray
    rank: np.ndarray
    made: np.ndarray
    leads_back: np.ndarray


def merge_table(left, right, made, num_tokens):
    """Builds the table.

    Args:
        left: int (M,), left tokens of all merges, in the order of their ranks.
        right: int (M,), right tokens.
        made: int (M,), results.
        num_tokens: Number of tokens V.

    Returns:
        A `MergeTable`.
    """
    ranks = np.lexsort((right, left))
    base = np.zeros(num_tokens, np.int32)
    owners, offsets = _offsets(left[ranks], right[ranks], num_tokens)
    base[owners] = offsets
    slots = base[left] + right
    size = int(base.max(initial=0)) + num_tokens
    owner, rank = np.full(size, -1, np.int32), np.full(size, NO_MERGE, np.int32)
    owner[slots], rank[slots] = left, np.arange(len(left))
    first_use = np.full(num_tokens, NO_MERGE)
    for side in (left, right):
        np.minimum.at(first_use, side, np.arange(len(side), dtype=np.int32))
    leads_back = first_use[made] < np.arange(len(made))
    return MergeTable(base, owner, rank, made.astype(np.int32), leads_back)


def _offsets(row, column, num_columns):
    """The different rows, and offsets such that no two entries have the same slot.

    Args:
        row: int (M,), rows of the entries, in ascending order.
        column: int (M,), their columns.
        num_columns: Number of columns.
    """
    rows, first, counts = np.unique(row, return_index=True, return_counts=True)
    num_offsets = _SLOTS_PER_MERGE * len(row) + num_columns
    taken = bytearray(num_offsets + num_columns)
    offsets = np.zeros(len(rows), np.int64)
    source = np.random.default_rng(0)
    longest_first = np.argsort(-counts, kind="stable")
    for number in longest_first[: np.count_nonzero(counts > 1)].tolist():
        columns = column[first[number] : first[number] + counts[number]]
        fit = _fit_long if len(columns) >= _LONG_ROW else _fit
        while True:
            found = fit(taken, source.integers(num_offsets, size=_TRIES), columns)
            if found is not None:
                break
            num_offsets += num_offsets // 8
            taken += bytes(num_offsets + num_columns - len(taken))
            if len(taken) > _MAX_SLOTS:
                raise TokenizerError(
                    f"The merges must fit into a table of {_MAX_SLOTS} slots: too many "
                    "tokens merge with too many others."
                )
        offsets[number] = found
    # A row with one entry fits anywhere; these get the free slots in order.
    only = column[first[counts == 1]]
    free = np.frombuffer(taken[num_columns:] + bytes(len(only)), np.uint8) == 0
    offsets[counts == 1] = num_columns + np.flatnonzero(free)[: len(only)] - only
    return rows, offsets


def _fit(taken, tries, columns):
    """The first of some offsets that fits, or None; takes its slots."""
    columns = columns.tolist()
    for offset in tries.tolist():
        if not any(taken[offset + column] for column in columns):
            for column in columns:
                taken[offset + column] = 1
            return offset
    return None


def _fit_long(taken, tries, columns):
    """The same for a long row."""
    is_taken = np.frombuffer(taken, np.uint8)
    fits = np.flatnonzero(~is_taken[tries[:, None] + columns].any(axis=1))
    if not len(fits):
        return None
    offset = int(tries[fits[0]])
    is_taken[offset + columns] = 1
    return offset
