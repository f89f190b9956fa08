"""The setting of `malloc` lasts as long as it is needed."""

import ctypes
import sys

import pytest

from tfzoo.training import host_memory
from tfzoo.training.host_memory import freed_memory_kept

LARGE = 64 << 20

if not sys.platform.startswith("linux"):
    pytest.skip("glibc only", allow_module_level=True)


class Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of glibc."""

    _fields_ = [(f"field_{i}", ctypes.c_size_t) for i in range(10)]


def mapped_by_one_large_array():
    """Whether a large array gets memory of its own, which is returned when freed."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        pytest.skip("glibc 2.33 or newer only")
    libc.mallinfo2.restype = Mallinfo
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    before = libc.mallinfo2().field_3  # hblks
    array = libc.malloc(ctypes.c_size_t(LARGE))
    after = libc.mallinfo2().field_3
    libc.free(array)
    return after > before


@pytest.fixture(autouse=True)
def chosen_anew(monkeypatch):
    for name in ("TFZOO_KEEP_FREED_MEMORY", "GLIBC_TUNABLES", "MALLOC_ARENA_MAX"):
        monkeypatch.delenv(name, raising=False)
    host_memory._glibc.cache_clear()
    yield
    host_memory._glibc.cache_clear()


def test_memory_is_kept_within_and_returned_after_the_last_user():
    assert mapped_by_one_large_array()
    with freed_memory_kept():
        assert not mapped_by_one_large_array()
        with freed_memory_kept():
            assert not mapped_by_one_large_array()
        assert not mapped_by_one_large_array()
    assert mapped_by_one_large_array()


def test_memory_is_returned_after_an_error():
    with pytest.raises(ZeroDivisionError), freed_memory_kept():
        1 / 0  # noqa: B018
    assert mapped_by_one_large_array()


@pytest.mark.parametrize(
    ("name", "value"),
    [("TFZOO_KEEP_FREED_MEMORY", "0"), ("MALLOC_TRIM_THRESHOLD_", "1")],
)
def test_the_environment_switches_it_off(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with freed_memory_kept():
        assert mapped_by_one_large_array()
