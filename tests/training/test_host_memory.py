"""The setting of `malloc` lasts as long as it is needed.

Each test is a process of its own, whose heap is small and which imports no TensorFlow.
"""

import os
import subprocess
import sys

import pytest

from helpers import ROOT

BEGIN = """
import ctypes
from tfzoo.training.host_memory import freed_memory_kept

class Mallinfo(ctypes.Structure):
    _fields_ = [(f"field_{i}", ctypes.c_size_t) for i in range(10)]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Mallinfo
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]

# Whether a large array gets memory of its own, which is returned when it is freed
def mapped():
    before = libc.mallinfo2().field_3  # hblks, the number of such arrays
    array = libc.malloc(ctypes.c_size_t(64 << 20))
    after = libc.mallinfo2().field_3
    libc.free(array)
    return after > before
"""


def check(program, **environment):
    if sys.platform != "linux" or not hasattr(os, "confstr"):
        pytest.skip("glibc only")
    library = os.confstr("CS_GNU_LIBC_VERSION") or ""
    if not library.startswith("glibc") or library < "glibc 2.33":
        pytest.skip("glibc 2.33 or newer only, which has mallinfo2")
    chosen = ("TFZOO_KEEP_FREED_MEMORY", "GLIBC_TUNABLES")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in chosen and not name.startswith("MALLOC_")
    }
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_memory_is_kept_within_and_returned_after_the_last_user():
    check("""
assert mapped()
with freed_memory_kept():
    assert not mapped()
    with freed_memory_kept():
        assert not mapped()
    assert not mapped()
assert mapped()
""")


def test_memory_is_returned_after_an_error():
    check("""
try:
    with freed_memory_kept():
        assert not mapped()
        1 / 0
except ZeroDivisionError:
    assert mapped()
""")


def test_without_trimming_the_next_memory_that_is_freed_takes_the_rest_along():
    check("""
with freed_memory_kept(trim=False):
    assert not mapped()
assert not mapped()
assert mapped()
""")


@pytest.mark.parametrize(
    ("name", "value"),
    [("TFZOO_KEEP_FREED_MEMORY", "0"), ("MALLOC_TRIM_THRESHOLD_", "1")],
)
def test_the_environment_switches_it_off(name, value):
    check("with freed_memory_kept():\n    assert mapped()", **{name: value})
