"""The merges of a byte-level BPE as integer arrays: one lookup per pair of tokens.

Tokens are given by their ids. The row of a left token contains the tokens that it
merges with. All rows share one array: see `sparse_rows`.
"""

import dataclasses

import numpy as np

from tfzoo.text.sparse_rows import row_offsets

NO_MERGE = np.int32(2**31 - 1)  # above every rank


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
    owners, counts = np.unique(left[ranks], return_counts=True)
    base[owners] = row_offsets(counts, right[ranks], room=3)
    slots = base[left] + right
    size = int(base.max(initial=0)) + num_tokens
    owner, rank = np.full(size, -1, np.int32), np.full(size, NO_MERGE, np.int32)
    owner[slots], rank[slots] = left, np.arange(len(left))
    first_use = np.full(num_tokens, NO_MERGE)
    for side in (left, right):
        np.minimum.at(first_use, side, np.arange(len(side), dtype=np.int32))
    leads_back = first_use[made] < np.arange(len(made))
    return MergeTable(base, owner, rank, made.astype(np.int32), leads_back)
