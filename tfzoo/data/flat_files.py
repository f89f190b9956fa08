"""Binary files of numbers with random access and a checksum for every block.

After the numbers come the CRC-32 of each block, then the size of the numbers in bytes
and the CRC-32 of these two. (TFRecord files store as much.) A byte that changes on disk
is detected when its block is read, however long after the file was opened.
"""

import functools
import os
import struct
import weakref
import zlib

import numpy as np

from tfzoo.errors import DataError
from tfzoo.files import readable_file

BLOCK_BYTES = 1 << 14
_BLOCKS_KEPT = 64
_CRC = np.dtype("<u4")
_SIZE = struct.Struct("<Q")


class FlatWriter:
    """Context manager that writes bytes to a new file, and checksums at its end."""

    def __init__(self, path):
        self._path, self._rest, self._checksums, self._size = path, b"", [], 0

    def __enter__(self):
        self._file = open(self._path, "wb")
        return self

    def write(self, data):
        """Appends bytes."""
        self._file.write(data)
        self._size += len(data)
        data = self._rest + data
        whole = len(data) - len(data) % BLOCK_BYTES
        for start in range(0, whole, BLOCK_BYTES):
            self._checksums.append(zlib.crc32(data[start : start + BLOCK_BYTES]))
        self._rest = data[whole:]

    def __exit__(self, kind, error, trace):
        with self._file as file:
            if kind is not None:
                return
            if self._rest:
                self._checksums.append(zlib.crc32(self._rest))
            end = np.array(self._checksums, _CRC).tobytes() + _SIZE.pack(self._size)
            file.write(end + _CRC.type(zlib.crc32(end)).tobytes())


class FlatFile:
    """Random access to the numbers in a file, without mapping it into memory.

    Args:
        path: File written by a `FlatWriter`.
        dtype: Dtype of the numbers.

    Raises:
        DataError: the file is damaged; here, or when a damaged block is read.
    """

    def __init__(self, path, dtype):
        self.path, self.dtype = path, np.dtype(dtype)
        self._file = os.open(readable_file(path, DataError), os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._size, checksums = _read_end(self._file, path)
        if self._size % self.dtype.itemsize:
            raise _changed(path)
        # Cached blocks are those that were verified, whatever happens on disk.
        read = functools.partial(_read_block, self._file, path, self._size, checksums)
        self._block = functools.lru_cache(_BLOCKS_KEPT)(read)

    def __len__(self):
        return self._size // self.dtype.itemsize

    def read(self, start, stop):
        """Elements [start, stop)."""
        begin, end = start * self.dtype.itemsize, stop * self.dtype.itemsize
        if end > self._size:
            raise _changed(self.path)
        first, last = begin // BLOCK_BYTES, -(-end // BLOCK_BYTES)
        data = b"".join([self._block(i) for i in range(first, last)])
        offset = begin - first * BLOCK_BYTES
        return np.frombuffer(data[offset : offset + end - begin], self.dtype)


def _read_block(file, path, size, checksums, number):
    start = number * BLOCK_BYTES
    data = os.pread(file, min(BLOCK_BYTES, size - start), start)
    if zlib.crc32(data) != checksums[number]:
        raise _changed(path)
    return data


def _read_end(file, path):
    """(bytes of the numbers, CRC-32 of each block)."""
    length = os.fstat(file).st_size
    last = _SIZE.size + _CRC.itemsize
    end = os.pread(file, last, max(length - last, 0))
    size = _SIZE.unpack(end[: _SIZE.size])[0] if len(end) == last else 0
    blocks = -(-size // BLOCK_BYTES) * _CRC.itemsize
    if len(end) < last or size + blocks + last != length:
        raise _changed(path)
    checksums = os.pread(file, blocks, size)
    if zlib.crc32(checksums + end[: _SIZE.size]) != int.from_bytes(
        end[_SIZE.size :], "little"
    ):
        raise _changed(path)
    return size, np.frombuffer(checksums, _CRC)


def _changed(path):
    return DataError(
        "The file has changed since it was written: a checksum or its size is wrong.",
        path=path,
        fix="Remove its directory and run the same command again to recreate it.",
    )
