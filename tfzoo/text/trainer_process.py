"""Runs the trainers of `tokenizers` in a separate process, so that Ctrl+C stops them.

A trainer is a single call into Rust, during which Python handles no signals and runs no
other thread.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys

from tfzoo.errors import TfzooError

_PROGRAM = "from tfzoo.text.trainer_process import main; main()"
_PR_SET_PDEATHSIG = 1  # of prctl(2)


def trained(tokenizer, trainer, texts):
    """The result of `tokenizer.train_from_iterator(texts, trainer)`, as a dictionary.

    Args:
        tokenizer: `tokenizers.Tokenizer`.
        trainer: Name of a class in `tokenizers.trainers`, and its arguments as a
            dictionary.
        texts: Iterable of str, which is read in this process.

    Returns:
        The content of `tokenizer.json`.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    try:
        with contextlib.suppress(BrokenPipeError):  # it reports the reason itself
            with process.stdin as stdin:
                stdin.write(_line([tokenizer.to_str(), trainer]))
                for batch in _batches(texts):
                    stdin.write(_line(batch))
        result = process.stdout.read()
        if process.wait():
            raise TfzooError(
                "The process that trains the tokenizer ended without a result "
                f"(exit code {process.returncode}: killed, or out of memory).",
                fix="Run it again with less text.",
            )
        result = json.loads(result)
        if "error" in result:
            raise TfzooError(f"The tokenizer was not trained: {result['error']}.")
        return result
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _line(value):
    return json.dumps(value).encode() + b"\n"


def _batches(texts):
    """Yields lists of texts with a few ten thousand characters."""
    batch, size = [], 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size > 1 << 16:
            yield batch
            batch, size = [], 0
    yield batch


def main():
    """Entry point of the process: reads lines of JSON, writes the trained tokenizer.

    If Python or Rust raises, it writes {"error": the message} instead.
    """
    from tokenizers import Tokenizer, trainers

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with contextlib.suppress(OSError, AttributeError):  # it ends with its parent
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    tokenizer, (name, arguments) = json.loads(sys.stdin.buffer.readline())
    tokenizer = Tokenizer.from_str(tokenizer)
    texts = map(json.loads, sys.stdin.buffer)
    try:
        tokenizer.train_from_iterator(texts, getattr(trainers, name)(**arguments))
        result = tokenizer.to_str()
    except BaseException as e:  # a panic of Rust is not an `Exception`
        result = json.dumps({"error": f"{type(e).__name__}: {e}"})
    sys.stdout.write(result)
