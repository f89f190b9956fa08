"""The merges of a byte-level BPE as integer arrays: one lookup per pair of symbols.

A symbol is a byte, 0 to 255, or 256 + r for the result of merge r. The row of a left
symbol contains its right symbols. All rows share one array, each at an offset at which
its entries do not collide with those of other rows.

Source: Tarjan and Yao 1979, "Storing a sparse table", section 2,
https://doi.org/10.1145/359168.359175
"""

import dataclasses

import numpy as np

from tfzoo.errors import TokenizerError

NUM_BYTES = 256
NO_MERGE = np.int32(2**31 - 1)  # above every symbol
_FREE = -1
_SLOTS_PER_MERGE = 4  # so that a few tries suffice to place a row
_TRIES = 32
_MAX_SLOTS = 1 << 26


@dataclasses.dataclass(frozen=True)
class MergeTable:
    """`made[base[a] + b]` is the result of merging a and b if `left[base[a] + b] == a`.

    Attributes:
        base: int32 (V,), V symbols.
        left: int32 (S,), S slots; -1 for a free slot.
        made: int32 (S,).
    """

    base: np.ndarray
    left: np.ndarray
    made: np.ndarray


def merge_table(left, right):
    """Builds the table.

    Args:
        left: int (M,), left symbols of all merges, in the order of their ranks.
        right: int (M,), right symbols.

    Returns:
        A `MergeTable`.
    """
    num_symbols = NUM_BYTES + len(left)
    num_places = _SLOTS_PER_MERGE * num_symbols
    base = np.zeros(num_symbols, np.int32)
    owner = np.full(num_places + num_symbols, _FREE, np.int32)
    made = np.full(num_places + num_symbols, NO_MERGE, np.int32)
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
            made = np.pad(made, (0, more), constant_values=NO_MERGE)
        chosen = np.argmax(fits)
        base[owners[row]] = places[chosen]
        owner[slots[chosen]] = owners[row]
        made[slots[chosen]] = NUM_BYTES + ranks
    return MergeTable(base, owner, made)
