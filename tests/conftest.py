"""Settings of all tests: parallelism, TensorFlow, and the optional real data."""

import gc
import json
import os
import pathlib
import random
import signal
import subprocess
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as on importing tfzoo first
if "PYTEST_XDIST_WORKER" in os.environ:  # a core for each worker and its children
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    os.environ["RAYON_NUM_THREADS"] = "1"

import pytest
from hypothesis import HealthCheck, settings

from helpers import unoptimized
from loopback_hub import hub  # noqa: F401 - a fixture

for name, examples in {"quick": 25, "thorough": 500}.items():
    settings.register_profile(
        name,
        max_examples=examples,
        derandomize=name == "quick",  # CI meets no new example; `pytest -m slow` does
        database=None,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
        ],
    )

WHOLE = ("tests/serving", "tests/generation")  # folders that run in one process


def pytest_addoption(parser):
    parser.addoption(
        "--optimized",
        action="store_true",
        help="keep TensorFlow's graph optimizers on in the fast tests, as users do",
    )


def asks_for_slow(config):
    return "slow" in config.option.markexpr.replace("not slow", "")


def pytest_configure(config):
    settings.load_profile("thorough" if asks_for_slow(config) else "quick")
    runs_tests = not config.option.numprocesses  # else its workers do
    if runs_tests and not (asks_for_slow(config) or config.option.optimized):
        graphs_as_they_were_traced()


def graphs_as_they_were_traced():
    """Disables TensorFlow's optimizers, which take longer than small models.

    They are enabled in slow tests, by the option `--optimized`, and in the processes
    that tests start. Functions called by `tf.data` use only the options with which
    TensorFlow's context started.
    """
    import tensorflow as tf

    tf.compat.v1.disable_eager_execution()
    tf.compat.v1.enable_eager_execution(unoptimized())


def pytest_xdist_auto_num_workers(config):
    """Slow tests measure time and memory, so nothing runs in parallel with them."""
    return 0 if asks_for_slow(config) else min(os.cpu_count() or 1, 4)


def pytest_xdist_make_scheduler(config, log):
    """Runs a file in one process, and a folder if its files share exported models."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            folder = "/".join(nodeid.split("/")[:2])
            return folder if folder in WHOLE else super()._split_scope(nodeid)

    return Scheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Tests with Hypothesis have few examples, or many and are slow."""
    if asks_for_slow(config):
        for item in items:
            if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
                item.add_marker(pytest.mark.slow)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Seeds Python's generator, which gives Keras the seeds that a test leaves out."""
    random.seed(item.nodeid)


@pytest.fixture
def default_signals():
    """Signals as in a terminal: background jobs ignore Ctrl-C, and nohup SIGHUP."""
    handlers = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    former = {number: signal.signal(number, h) for number, h in handlers.items()}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


# Runs in a separate process, where TensorFlow has two virtual CPU devices.
STARTER = """
import importlib.util, json, sys, warnings
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
spec = importlib.util.spec_from_file_location("on_two_devices", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(json.dumps(getattr(module, sys.argv[2])()))
"""
ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def no_notes_of_who_made_an_operation(request):
    """Disables stack traces, which TensorFlow records for its messages.

    pytest's stack is deep, and every operation of every graph records it.
    """
    if not asks_for_slow(request.config):
        from tensorflow.python.util import tf_stack

        stack = tf_stack.extract_stack()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tf_stack, "extract_stack", lambda stacklevel=1: stack)
            yield
    else:
        yield


@pytest.fixture(scope="module", autouse=True)
def what_stays_is_left_to_no_collector(request):
    """Freezes objects that outlive the tests of a file for the garbage collector.

    Graphs are millions of objects, which it would traverse after each test. Slow tests
    would fill the memory: theirs are freed.
    """
    yield
    if asks_for_slow(request.config):
        for value in vars(request.module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()
        gc.collect()
        return
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """Disables waiting for the disk, which only matters in power failures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real data next to the checkout; tests that need it skip without it."""
    place = os.environ.get("TFZOO_DATA", ROOT.parent / "shared" / "data")
    if not pathlib.Path(place).is_dir():
        pytest.skip(f"real data not found at {place}")
    return pathlib.Path(place)


@pytest.fixture(scope="session")
def on_two_devices():
    """Function that calls a function of a file with two CPU devices.

    TensorFlow's devices are fixed at its first use, so this starts a new process.
    """

    def call(path, function):
        done = subprocess.run(
            [sys.executable, "-c", STARTER, str(path), function],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return call


PIECES = [b"9", b"-", b"e9", b'"', b"{", b"[", b"null", b"../", b"\\u0120", b"\n", b" "]
PIECES += [b",", b"\xff", bytes(8)]


@pytest.fixture(scope="session")
def refusals():
    """Function that returns how many of 500 scrambled copies of a file are refused.

    Refused means a one-line `TfzooError`; other exceptions propagate. Its arguments are
    the file, a function that opens it, and the maximum number of changes per copy.
    """
    from tfzoo.errors import TfzooError

    def count(path, opened, most=4):
        source, original, refused = random.Random(0), path.read_bytes(), 0
        for _ in range(500):
            wrong = bytearray(original)
            for _ in range(source.randint(1, most)):
                place, other = (source.randrange(len(wrong) + 1) for _ in range(2))
                kind = source.randrange(4)
                if kind == 0:
                    wrong[place : place + 1] = source.randbytes(1)
                elif kind == 1:
                    del wrong[place : place + source.randrange(1, 40)]
                elif kind == 2:
                    wrong[place:place] = source.choice(PIECES)
                else:
                    wrong[place:place] = wrong[other : other + 30]
            path.write_bytes(wrong)
            try:
                opened()
            except TfzooError as error:
                refused += 1
                assert "\n" not in str(error)
        return refused

    return count
