"""The command line: arguments from `main`'s signature, exit codes, one-line errors."""

import contextlib
import errno
import functools
import math
import os
import pathlib
import re
import select
import signal
import sys
import traceback

from tfzoo.quiet_start import quiet_start

_WHOLE_FROM = {
    "alphabet_size": 1,
    "average_last": 1,
    "batch_size": 1,
    "duplicates": 1,
    "epochs": 1,
    "max_predictions": 1,
    "max_new_tokens": 1,
    "max_sequence_length": 1,
    "min_frequency": 1,
    "num_beams": 1,
    "processes": 1,
    "scored_texts": 0,
    "seed": 0,
    "shards": 1,
    "steps": 1,
    "steps_per_evaluation": 1,
    "tokens_per_batch": 1,
    "vocabulary_size": 1,
}
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_SEEDS = 1 << 32  # as many as NumPy accepts
_SHARES = {  # name: whether a share is valid, and the rule
    "label_smoothing": (lambda x: 0 <= x < 1, "in [0, 1)"),
    "masked_fraction": (lambda x: 0 < x <= 1, "in (0, 1]"),
    "short_sequence_fraction": (lambda x: 0 <= x <= 1, "in [0, 1]"),
}


def check_numbers(arguments):
    """Rejects out-of-range numeric arguments before any work starts.

    Args:
        arguments: Dict of a recipe's arguments by name; None values and arguments
            without bounds are skipped.

    Raises:
        ValueError: an argument is out of range; the message gives its name and value.
    """
    for name, value in arguments.items():
        if value is None:
            continue
        if name in _WHOLE_FROM:
            least = _WHOLE_FROM[name]
            good = isinstance(value, int) and not isinstance(value, bool)
            good = good and least <= value and (name != "seed" or value < _SEEDS)
            rule = f"must be an integer >= {least}"
            rule += f" and < {_SEEDS}" if name == "seed" else ""
        elif name == "learning_rate":
            good, rule = 0 < value < math.inf, "must be a finite number > 0"
        elif name == "weight_decay":
            good, rule = 0 <= value < math.inf, "must be a finite number >= 0"
        elif name in _SHARES:
            accepts, interval = _SHARES[name]
            good, rule = accepts(value), f"must be {interval}"
        else:
            continue
        if not good:
            raise ValueError(f"{name} {rule}. Received: {value!r}")


def settings(arguments, *, may_change=("output", "on_non_finite")):
    """What determines the result of a command that trains, checked.

    Args:
        arguments: The command's `locals()`, as long as these are its arguments.
        may_change: Names of arguments that may differ when the run goes on.

    Returns:
        Dict of the other arguments.

    Raises:
        ValueError: as `check_numbers`.
    """
    result = {n: value for n, value in arguments.items() if n not in may_change}
    check_numbers(result)
    return result


def run(main):
    """Runs `main` with arguments parsed from the command line; see `endings`.

    Args:
        main: A function with type annotations; its docstring is the `--help` text.
    """
    with endings():
        main(**parsed(main))


def parsed(main, words=None, *, prog=None):
    """The arguments of `main` on the command line, as a dict.

    Args:
        main: As for `run`.
        words: The command line without the program's name. Defaults to the process's.
        prog: Name of the program for messages. Defaults to the process's.
    """
    import tyro

    from tfzoo.errors import printable
    from tfzoo.files import local_path

    def here(value):
        if isinstance(value, tuple):
            return tuple(map(here, value))
        if not isinstance(value, pathlib.Path):
            return value
        path = local_path(value)
        if str(path).startswith("~"):
            raise ValueError(
                "A path that starts with ~ must be in the home directory of a user. "
                f"Received: {printable(value)}"
            )
        return path

    @functools.wraps(main)
    def given(**arguments):
        return arguments

    arguments = tyro.cli(given, args=words, prog=prog)
    return {name: here(value) for name, value in arguments.items()}


@contextlib.contextmanager
def endings():
    """Prepares the process of a command, and turns exceptions into its exit code.

    Exit codes: 0 on success; 1, with one line on stderr, for bad external input and if
    the output cannot be written; 2 for bad arguments; 130 after Ctrl-C, 143 after
    SIGTERM, 129 after SIGHUP; 141 (as for SIGPIPE), without a word, if the reader of
    the output is gone, as in `| head -1`.

    What the terminal's encoding lacks is printed as an escape; see also `quiet_start`.
    """
    from tfzoo.errors import TfzooError

    _prepare_streams()
    quiet_start()
    try:
        with _exits_on_signals():
            try:
                yield
            finally:
                sys.stdout.flush()  # so that a closed pipe or a full disk shows here
    except TfzooError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        closed = _closed_pipes()
        if not closed:
            raise
        _discard_output(*closed)
        sys.exit(141)
    except OSError as e:
        if e.errno not in _NO_ROOM or e.filename is not None:
            raise
        print(f"error: The output cannot be written: {e.strerror}.", file=sys.stderr)
        _discard_output(1)
        sys.exit(1)
    except ValueError as e:
        if not _raised_here(e):
            raise
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
    except Exception as e:
        line = _line_of_data(e)
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _prepare_streams():
    """Makes output appear line by line, also in files, and never fail to encode."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell, as in `2>&-`
            setattr(sys, name, open(os.devnull, "w"))
        getattr(sys, name).reconfigure(errors="backslashreplace", line_buffering=True)


def _discard_output(*descriptors):
    """Sends what is left in buffers nowhere, or Python complains when it ends."""
    for descriptor in descriptors:
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


@contextlib.contextmanager
def _exits_on_signals():
    """Makes SIGTERM and SIGHUP end the block with an exception, which cleans up."""

    def end(number, frame):
        raise SystemExit(128 + number)

    former = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
            former[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _closed_pipes():
    """Descriptors of stdout and stderr that are pipes without a reader."""
    poll = select.poll()
    for descriptor in (1, 2):
        poll.register(descriptor, 0)
    gone = select.POLLERR | select.POLLHUP
    return [descriptor for descriptor, event in poll.poll(0) if event & gone]


def _line_of_data(error):
    """The message of a `DataError` that TensorFlow re-raised as its own error, or None.

    Python code in a pipeline runs in TensorFlow's threads, which keep only the text.
    """
    if not type(error).__module__.startswith("tensorflow."):
        return None
    found = re.search(r"\bDataError: (.+)", str(error))
    return found and found[1]


def _raised_here(error):
    """Whether this package or the script raised the error: an argument is wrong."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__", "").startswith(("tfzoo.", "__main__"))
