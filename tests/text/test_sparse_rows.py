"""Rows that share an array: every entry has a slot of its own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.text.sparse_rows import row_offsets

rows = st.lists(st.sets(st.integers(0, 40), min_size=1), min_size=1, max_size=60)


@pytest.mark.parametrize("room", [1, 3])
@given(rows)
def test_no_two_entries_share_a_slot(room, rows):
    columns = np.concatenate([np.array(sorted(row)) for row in rows])
    counts = np.array(list(map(len, rows)))
    offsets = row_offsets(counts, columns, room=room, num_taken=2)
    slots = np.repeat(offsets, counts) + columns
    assert len(np.unique(slots)) == len(slots)
    assert offsets.min() >= 0
    assert slots.min() >= 2
