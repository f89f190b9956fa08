"""Keeps host memory that a training step frees for the next one."""

import contextlib
import ctypes
import functools
import os
import sys
import threading

# From glibc's malloc.h; see mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
_KEPT = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 256 << 20}
# The defaults, and thresholds as glibc itself raises them where large arrays are freed.
_RETURNED = {_MMAP_MAX: 1 << 16, _MMAP_THRESHOLD: 32 << 20}
_RETURNED |= {_TRIM_THRESHOLD: 64 << 20, _TOP_PAD: 128 << 10}
_lock = threading.Lock()
_users = 0


@contextlib.contextmanager
def freed_memory_kept(*, trim=True):
    """Makes this process keep the memory it frees, as long as anything is within.

    TensorFlow returns every large array to `malloc`, and glibc returns it to the
    system, which hands it out again page by page, filled with zeros: a tenth of the
    time of a training step on a CPU. The memory kept never exceeds the peak in use.

    The setting is that of the whole process. It has no effect with C libraries other
    than glibc, with TFZOO_KEEP_FREED_MEMORY=0 in the environment, or where the
    environment has settings of `malloc` (MALLOC_..._, GLIBC_TUNABLES), which stay.

    Args:
        trim: Whether what is free at the end goes back to the system at once, which
            takes milliseconds, or as other memory is freed.
    """
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            _set(_KEPT)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _set(_RETURNED)
                if trim and _glibc():
                    _glibc().malloc_trim(0)


def _set(options):
    if libc := _glibc():
        for option, value in options.items():
            libc.mallopt(option, value)


@functools.cache
def _glibc():
    """The C library; None if it is another one, or not to be called."""
    chosen = os.environ.get("TFZOO_KEEP_FREED_MEMORY") == "0" or any(
        name == "GLIBC_TUNABLES" or name.startswith("MALLOC_") for name in os.environ
    )
    if chosen or not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") else None
