"""A trie in two integer arrays: one addition and one comparison per symbol.

A state is a slot. From state `s`, the symbol `c` leads to slot `t = base[s] + c` if
`check[t] == s`. Source: Aoe 1989, "An efficient digital search algorithm by using a
double-array structure", https://doi.org/10.1109/32.31365
"""

import dataclasses
import itertools

import numpy as np

from tfzoo.text.sparse_rows import row_offsets

ROOT = 0
NO_VALUE = -1


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
            >= 0 and < `num_symbols`; or strings, whose code points are the symbols.
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
    by_parent = np.argsort(parent[1:], kind="stable") + 1
    owners, counts = np.unique(parent[by_parent], return_counts=True)
    node_base = np.full(len(parent), NO_VALUE)
    node_base[owners] = row_offsets(counts, symbol[by_parent], num_taken=ROOT + 1)
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
    if isinstance(keys[0], str):
        flat = "".join(keys).encode("utf-32-le", "surrogatepass")
        symbols = np.frombuffer(flat, np.int32)
    else:
        flat = itertools.chain.from_iterable(keys)
        symbols = np.fromiter(flat, np.int32, lengths.sum())
    starts = np.cumsum(lengths) - lengths
    shared = _shared_lengths(symbols, starts, lengths)
    added = lengths - shared  # the nodes that a key adds to those of the keys before it
    first = 1 + np.cumsum(added) - added
    depth = np.arange(len(symbols)) - np.repeat(starts, lengths)
    is_new = depth >= np.repeat(shared, lengths)
    parent = np.arange(-1, added.sum())
    parent[first] = 0
    for size in range(1, shared.max() + 1):
        (keys_here,) = np.nonzero(shared == size)
        (owners,) = np.nonzero((shared < size) & (lengths >= size))
        owner = owners[np.searchsorted(owners, keys_here) - 1]
        parent[first[keys_here]] = first[owner] + size - 1 - shared[owner]
    root = [0]
    return (
        np.maximum(parent, 0),
        np.concatenate([root, symbols[is_new]]),
        np.concatenate([root, depth[is_new] + 1]),
        first + added - 1,
    )


def _shared_lengths(symbols, starts, lengths):
    """The number of symbols that every key shares with the key before it."""
    shared = np.zeros(len(lengths), np.int64)
    going = np.arange(1, len(lengths))
    while len(going):
        size = shared[going]
        going = going[(lengths[going] > size) & (lengths[going - 1] > size)]
        size = shared[going]
        before, here = symbols[starts[going - 1] + size], symbols[starts[going] + size]
        going = going[before == here]
        shared[going] += 1
    return shared
