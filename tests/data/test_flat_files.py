"""Numbers in a file with the checksums of its blocks."""

import numpy as np
import pytest

from tfzoo.data.flat_files import BLOCK_BYTES, FlatFile, FlatWriter
from tfzoo.errors import DataError

COUNT = 3 * BLOCK_BYTES // 4 + 5


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "numbers.bin"
    with FlatWriter(path) as file:
        for start in range(0, COUNT, 777):  # no block is a multiple of these pieces
            stop = min(start + 777, COUNT)
            file.write(np.arange(start, stop, dtype="<u4").tobytes())
    return path


def test_any_range_is_read_back(path):
    file = FlatFile(path, "<u4")
    assert len(file) == COUNT
    block = BLOCK_BYTES // 4
    for start, stop in [(0, 0), (0, 1), (0, COUNT), (block - 1, block + 1), (7, 9000)]:
        assert file.read(start, stop).tolist() == list(range(start, stop))
    with pytest.raises(DataError, match=r"numbers\.bin: .* checksum or its size"):
        file.read(0, COUNT + 1)


@pytest.mark.parametrize("size", [0, BLOCK_BYTES, 2 * BLOCK_BYTES])
def test_whole_blocks_and_nothing_are_read_back(tmp_path, size):
    path = tmp_path / "bytes.bin"
    with FlatWriter(path) as file:
        file.write(bytes(size))
    assert FlatFile(path, np.uint8).read(0, size).tolist() == [0] * size


def test_no_changed_byte_goes_unnoticed(path):
    intact = path.read_bytes()
    for place in [*range(0, len(intact), 1009), *range(len(intact) - 40, len(intact))]:
        changed = bytearray(intact)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(
            DataError, match=r"numbers\.bin: The file has changed since it was"
        ):
            FlatFile(path, "<u4").read(0, COUNT)


@pytest.mark.parametrize("left", [0, 5, 12, 100, BLOCK_BYTES, 3 * BLOCK_BYTES])
def test_no_truncation_or_addition_goes_unnoticed(path, left):
    intact = path.read_bytes()
    for content in (intact[:left], intact + bytes(left or 1), intact[left or 4 :]):
        path.write_bytes(content)
        with pytest.raises(
            DataError, match=r"numbers\.bin: The file has changed since it was"
        ):
            FlatFile(path, "<u4").read(0, COUNT)


def test_a_block_changed_after_opening_is_detected_on_reading(path):
    file = FlatFile(path, "<u4")
    assert file.read(0, 3).tolist() == [0, 1, 2]
    with open(path, "r+b") as other:
        other.write(b"\1")
        other.seek(BLOCK_BYTES)
        other.write(b"\1")
    assert file.read(0, 3).tolist() == [0, 1, 2]  # checked before
    with pytest.raises(DataError, match=r"numbers\.bin"):
        file.read(BLOCK_BYTES // 4, BLOCK_BYTES // 4 + 1)
