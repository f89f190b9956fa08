"""Sparse rows in one array: every row at an offset where its entries do not collide.

Long rows are placed one after another, the longest first. Then all rows of the same
length try a free slot at once, until all have one; those with a single entry fill up
what is left.

Shapes: R rows, E entries.

Source: Tarjan and Yao 1979, "Storing a sparse table", section 2,
https://doi.org/10.1145/359168.359175
"""

import itertools

import numpy as np

from tfzoo.errors import TokenizerError

_MAX_SLOTS = 1 << 26
_LONG = 6  # entries of a row; from here on, rows are placed one after another
_WINDOW = 256  # offsets that are tried at once
_IN_ORDER = 4  # windows, one after another; further ones are random
_MOST_WINDOWS = 64  # after which the array grows
_FEW = 0.05  # share of the rows that find a place, below which the array grows


def row_offsets(counts, columns, *, room=1, num_taken=0):
    """Offsets of rows: an entry's slot is the offset of its row plus its column.

    Args:
        counts: int (R,), number of entries of each row, at least 1.
        columns: int (E,), the columns of the entries of all rows, row by row, in
            ascending order.
        room: Number of slots per entry to begin with: the more, the faster.
        num_taken: Number of slots at the start of the array that stay free.

    Returns:
        int64 (R,), offsets >= 0.

    Raises:
        TokenizerError: the array would have too many slots.
    """
    starts = np.cumsum(counts) - counts
    num_columns = int(columns.max(initial=0)) + 1
    slots = _Slots(room * len(columns) + num_columns, num_columns, num_taken)
    in_order = _IN_ORDER if room == 1 else 0
    offsets = np.zeros(len(counts), np.int64)
    (long,) = np.nonzero(counts > _LONG)
    source = np.random.default_rng(0)
    for row in long[np.argsort(-counts[long], kind="stable")].tolist():
        entries = columns[starts[row] : starts[row] + counts[row]]
        offsets[row] = slots.first_fit(entries, source, in_order)
    for count in range(_LONG, 1, -1):
        (rows,) = np.nonzero(counts == count)
        entries = columns[starts[rows, None] + np.arange(count)]
        offsets[rows] = slots.fit(entries, source)
    (single,) = np.nonzero(counts == 1)
    only = columns[starts[single]]
    offsets[single] = slots.lowest_free(len(only), num_columns) - only
    return offsets


class _Slots:
    """Which slots are free."""

    def __init__(self, size, num_columns, num_taken):
        self._size, self._num_columns = size, num_columns  # first entries are below
        self._is_free = np.ones(2 * size + num_columns + _WINDOW, bool)
        self._is_free[:num_taken] = False
        self._lowest = 0

    def _grow(self, size):
        if size > _MAX_SLOTS:
            raise TokenizerError(
                f"The rows of a table must fit into an array of {_MAX_SLOTS} slots: "
                "too many of them have too many entries."
            )
        self._size = size
        lacking = size + self._num_columns + _WINDOW - len(self._is_free)
        if lacking > 0:
            more = np.ones(lacking + len(self._is_free) // 2, bool)
            self._is_free = np.concatenate([self._is_free, more])

    def first_fit(self, entries, source, in_order):
        """An offset at which a row fits; takes its slots.

        It is the first one after those of the rows before, in a number of windows, or
        one in a random window.
        """
        start = self._lowest
        for number in itertools.count():
            if number < in_order:
                start = self._lowest = self._lowest + _WINDOW * (number > 0)
            else:
                start = int(source.integers(self._size))
            if number % _MOST_WINDOWS == _MOST_WINDOWS - 1:
                self._grow(self._size + self._size // 64)
            self._grow(max(self._size, start + _WINDOW))
            tried = start + np.arange(_WINDOW)
            for column in entries:
                tried = tried[self._is_free[tried + column]]
                if not len(tried):
                    break
            else:
                self._is_free[tried[0] + entries] = False
                return int(tried[0])

    def fit(self, entries, source):
        """Offsets (R,) for rows of equal length, (R, C) entries; takes their slots."""
        offsets = np.zeros(len(entries), np.int64)
        pending = np.arange(len(entries))
        while len(pending):
            free = np.flatnonzero(self._is_free[: self._size])
            columns = entries[pending]
            tried = free[source.integers(len(free), size=len(pending))] - columns[:, 0]
            slots = tried[:, None] + columns
            fits = np.flatnonzero(self._is_free[slots].all(axis=1) & (tried >= 0))
            # Of two rows that try the same slot, the first one gets it.
            owner = np.zeros(len(self._is_free), np.int32)
            owner[slots[fits[::-1]]] = fits[::-1, None]
            fits = fits[(owner[slots[fits]] == fits[:, None]).all(axis=1)]
            offsets[pending[fits]] = tried[fits]
            self._is_free[slots[fits]] = False
            if len(fits) < _FEW * len(pending):
                self._grow(self._size + self._size // 64)
            pending = np.delete(pending, fits)
        return offsets

    def lowest_free(self, number, start):
        """The first free slots from `start` on."""
        free = start + np.flatnonzero(self._is_free[start:])
        more = np.arange(len(self._is_free), len(self._is_free) + number)
        return np.concatenate([free, more])[:number]
