"""Keeps host memory that a training step frees for the next one."""

import ctypes
import functools
import sys

# From glibc's malloc.h; see mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_LARGEST = 2**31 - 1
_TOP_PAD_BYTES = 256 << 20


@functools.cache
def keep_freed_memory():
    """Makes this process keep the memory it frees; returns whether it succeeded.

    TensorFlow returns every large array to `malloc`, and glibc returns it to the
    system, which hands it out again page by page, filled with zeros: a tenth of the
    time of a training step on a CPU. The memory kept never exceeds the peak in use. Has
    no effect with C libraries other than glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(
        mallopt(_M_MMAP_MAX, 0)
        and mallopt(_M_TRIM_THRESHOLD, _LARGEST)
        and mallopt(_M_TOP_PAD, _TOP_PAD_BYTES)
    )
