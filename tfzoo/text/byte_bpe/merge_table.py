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
_FREE = -1
_SLOTS_PER_MERGE = 4  # so that a few tries suffice to place a row
_TRIES = 32
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
    base, owner, rank = _rows(left, right, num_tokens)
    first_use = np.full(num_tokens, NO_MERGE)
    for side in (left, right):
        np.minimum.at(first_use, side, np.arange(len(side), dtype=np.int32))
    leads_back = first_use[made] < np.arange(len(made))
    return MergeTable(base, owner, rank, made.astype(np.int32), leads_back)


def _rows(left, right, num_tokens):
    """The arrays `base`, `left` and `rank` of a `MergeTable`."""
    num_places = _SLOTS_PER_MERGE * max(num_tokens, len(left))
    base = np.zeros(num_tokens, np.int32)
    owner = np.full(num_places + num_tokens, _FREE, np.int32)
    rank = np.full(num_places + num_tokens, NO_MERGE, np.int32)
    by_left = np.argsort(left, kind="stable")
    owners, first, counts = np.unique(
        left[by_left], return_index=True, return_counts=True
    )
    source = np.random.default_rng(0)
    for row in np.argsort(-counts, kind="stable"):
        ranks = by_left[first[row] : first[row] + counts[row]]
        while True:
            places = source.integers(num_places, size=_TRIES)
            slots = places[:, None] + right[ranks]
            fits = (owner[slots] == _FREE).all(axis=1)
            if fits.any():
                break
            more = num_places // 8
            if len(owner) + more > _MAX_SLOTS:
                raise TokenizerError(
                    f"The merges must fit into a table of {_MAX_SLOTS} slots: too many "
                    "tokens merge with too many others."
                )
            num_places += more
            owner = np.pad(owner, (0, more), constant_values=_FREE)
            rank = np.pad(rank, (0, more), constant_values=NO_MERGE)
        chosen = np.argmax(fits)
        base[owners[row]] = places[chosen]
        owner[slots[chosen]] = owners[row]
        rank[slots[chosen]] = ranks
    return base, owner, rank
