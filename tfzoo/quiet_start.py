"""Keeps TensorFlow's greetings off the terminal, for commands only.

Its C++ code writes to descriptor 2 whatever Python's `sys.stderr` is, some of it before
it reads TF_CPP_MIN_LOG_LEVEL. Errors and warnings stay.
"""

import contextlib
import importlib.abc
import importlib.machinery
import logging
import os
import subprocess
import sys

# Parts of the lines to drop while TensorFlow is imported and finds its devices. The
# last one is what it says where there is no driver of a GPU.
GREETINGS = (
    "All log messages before absl::InitializeLog",
    "oneDNN custom operations are on",
    "Could not find cuda drivers on your machine",
    "This TensorFlow binary is optimized to use available CPU instructions",
    "To enable the following instructions: ",
    r"failed call to cuInit: .*(UNKNOWN ERROR \(303\)|CUDA_ERROR_NO_DEVICE)",
)
# A process of its own, so that nothing is lost if the import crashes.
_FILTER = """
import re, sys
greeting = re.compile(sys.argv[1].encode())
for line in sys.stdin.buffer:
    if not greeting.search(line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""


def quiet_start():
    """Makes this process import and use TensorFlow without its greetings.

    Sets TF_CPP_MIN_LOG_LEVEL to 1 (warnings and errors) unless it is set; filters
    descriptor 2 while TensorFlow is imported, and not after it; and drops warnings of
    retracing, which is what commands do with each new length of text.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    logging.getLogger("tensorflow").addFilter(_is_not_retracing)
    if sys.stderr is not None and not any(
        isinstance(finder, _FirstImport) for finder in sys.meta_path
    ):
        sys.meta_path.insert(0, _FirstImport())


def _is_not_retracing(record):
    return "triggered tf.function retracing" not in str(record.msg)


class _FirstImport(importlib.abc.MetaPathFinder):
    """Imports TensorFlow, and lets it find its devices, within `without_lines`."""

    def find_spec(self, name, path, target=None):
        if name != "tensorflow":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None:
            execute = spec.loader.exec_module

            def quietly(module):
                with without_lines(GREETINGS):
                    execute(module)
                    module.config.list_physical_devices()

            spec.loader.exec_module = quietly
        return spec


@contextlib.contextmanager
def without_lines(patterns):
    """Drops matching lines from descriptor 2; all others come out as they are written.

    Args:
        patterns: Regular expressions that match a part of a line.
    """
    former = os.dup(2)
    command = [sys.executable, "-ISc", _FILTER, "|".join(patterns)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        os.dup2(process.stdin.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(former, 2)
            os.close(former)


if "__mp_main__" in sys.modules:  # `multiprocessing` starts a worker of a command
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # before TensorFlow finds its devices
    quiet_start()
