"""A trie in two integer arrays: one addition and one comparison per symbol.

A state is a slot. From state `s`, the symbol `c` leads to slot `t = base[s] + c` if
`check[t] == s`. Source: Aoe 1989, "An efficient digital search algorithm by using a
double-array structure", https://doi.org/10.1109/32.31365
"""

import dataclasses
import itertools

import numpy as np

ROOT = 0
NO_VALUE = -1
_WINDOW = 128  # number of slots to try at a time
_MANY = 16  # from this number of children on


@dataclasses.dataclass(frozen=True)
class DoubleArrayTrie:
    """The trie of a set of keys, each a sequence of symbols with a value.

    All arrays are int32 (S,), with S slots. A base plus any symbol is a valid index.

    Attributes:
        base: Offset to which a symbol is added; `dead` for a slot without children.
        check: The parent slot, or -1.
        value: Value of the longest key on the path to the slot, or -1.
        length: Number of symbols of that key, or 0.
        dead: A base from which no symbol leads anywhere.
        depth: Number of symbols of the longest key.
    """

    base: np.ndarray
    check: np.ndarray
    value: np.ndarray
    length: np.ndarray
    dead: int
    depth: int


def double_array_trie(keys, values, num_symbols):
    """Builds the trie.

    Args:
        keys: Sequence of distinct, non-empty sequences of symbols, which are integers
            >= 0 and < `num_symbols`.
        values: Their values, integers >= 0.
        num_symbols: Number of symbols.

    Returns:
        A `DoubleArrayTrie`.
    """
    order = sorted(range(len(keys)), key=keys.__getitem__)
    keys, values = [keys[i] for i in order], np.array(values, np.int64)[order]
    parent, symbol, depth, end = _nodes(keys)
    value = np.full(len(parent), NO_VALUE)
    value[end] = values
    length = np.where(value == NO_VALUE, 0, depth)
    for level in range(1, int(depth.max()) + 1):
        (unnamed,) = np.nonzero((depth == level) & (value == NO_VALUE))
        value[unnamed] = value[parent[unnamed]]
        length[unnamed] = length[parent[unnamed]]
    node_base = _place(parent, symbol, num_symbols)
    slot = np.concatenate([[ROOT], node_base[parent[1:]] + symbol[1:]])
    dead = int(slot.max()) + 1
    inner = node_base != NO_VALUE
    size = max(dead, int(node_base.max())) + num_symbols
    arrays = {
        "base": _scattered(size, slot[inner], node_base[inner], dead),
        "check": _scattered(size, slot[1:], slot[parent[1:]], -1),
        "value": _scattered(size, slot, value, NO_VALUE),
        "length": _scattered(size, slot, length, 0),
    }
    return DoubleArrayTrie(**arrays, dead=dead, depth=int(depth.max()))


def _scattered(size, indices, updates, default):
    array = np.full(size, default, np.int32)
    array[indices] = updates
    return array


def _nodes(keys):
    """Parent, symbol and depth of every node, and the end node of every key.

    Nodes are in the order of the sorted keys: node 0 is the root, a parent precedes its
    children, and the children of a node are in the order of their symbols.
    """
    lengths = np.array([len(key) for key in keys])
    inside = np.arange(lengths.max()) < lengths[:, None]
    symbols = np.full(inside.shape, -1, np.int32)
    flat = itertools.chain.from_iterable(keys)
    symbols[inside] = np.fromiter(flat, np.int32, lengths.sum())
    shared = np.zeros(inside.shape, bool)
    shared[1:] = np.logical_and.accumulate(symbols[1:] == symbols[:-1], axis=1)
    new = inside & ~shared
    path = np.zeros((len(keys), lengths.max() + 1), np.int32)
    path[:, 1:][new] = np.arange(1, new.sum() + 1)
    path = np.maximum.accumulate(path, axis=0)  # the last node at each depth
    row, column = np.nonzero(new)
    root = [0]
    return (
        np.concatenate([root, path[row, column]]),
        np.concatenate([root, symbols[new]]),
        np.concatenate([root, column + 1]),
        path[np.arange(len(keys)), lengths],
    )


def _place(parent, symbol, num_symbols):
    """Chooses bases such that no two nodes share a slot; -1 for a leaf."""
    base = np.full(len(parent), NO_VALUE)
    by_parent = np.argsort(parent[1:], kind="stable") + 1
    owners, first, counts = np.unique(
        parent[by_parent], return_index=True, return_counts=True
    )
    size = len(parent) + num_symbols + _WINDOW
    free = bytearray(b"\1") * (2 * size)
    free[ROOT] = 0
    lowest = {}  # number of children -> where the search continues
    by_size = np.argsort(-counts, kind="stable")[: np.sum(counts > 1)]
    for index in by_size.tolist():
        children = symbol[by_parent[first[index] : first[index] + counts[index]]]
        fit = _fit_many if len(children) >= _MANY else _fit
        start = lowest.get(len(children), 0)
        while True:
            if start + _WINDOW + num_symbols > len(free):
                free += b"\1" * size
            found = fit(free, start, children)
            if found is not None:
                break
            start += _WINDOW
            lowest[len(children)] = start
        base[owners[index]] = found
    single = counts == 1  # these fit anywhere and get the free slots in order
    only = symbol[by_parent[first[single]]]
    slots = num_symbols + np.flatnonzero(
        np.frombuffer(free[num_symbols:] + b"\1" * len(only), bool)
    )
    base[owners[single]] = slots[: len(only)] - only
    return base


def _fit(free, start, children):
    """The first base with the first child in a window, or None; takes its slots."""
    first, *others = children.tolist()
    slot, end = max(start, first) - 1, start + _WINDOW
    while (slot := free.find(1, slot + 1, end)) >= 0:
        base = slot - first
        if all(free[base + child] for child in others):
            for child in (first, *others):
                free[base + child] = 0
            return base
    return None


def _fit_many(free, start, children):
    """The same for many children."""
    is_free = np.frombuffer(free, bool)
    candidates = start + np.flatnonzero(is_free[start : start + _WINDOW])
    candidates = candidates[candidates >= children[0]] - children[0]
    fits = is_free[candidates[:, None] + children].all(axis=1)
    if not fits.any():
        return None
    base = int(candidates[np.argmax(fits)])
    for child in children.tolist():
        free[base + child] = 0
    return base
