"""The command line of a recipe: arguments from `main`'s signature, one-line errors."""

import contextlib
import math
import os
import re
import signal
import sys
import traceback

_WHOLE_FROM = {
    "alphabet_size": 1,
    "batch_size": 1,
    "duplicates": 1,
    "epochs": 1,
    "max_predictions": 1,
    "max_sequence_length": 1,
    "min_frequency": 1,
    "processes": 1,
    "seed": 0,
    "shards": 1,
    "steps": 1,
    "vocabulary_size": 1,
}
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


def run(main):
    """Runs `main` with arguments parsed from the command line.

    Exit codes: 0 on success; 1, with one line on stderr, for bad external input; 2 for
    bad arguments; 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.

    Args:
        main: A function with type annotations; its docstring is the `--help` text.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tyro

    from tfzoo.errors import TfzooError

    try:
        with _exits_on_signals():
            tyro.cli(main)
    except TfzooError as e:
        print(f"error: {e}", file=sys.stderr)
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


def _line_of_data(error):
    """The message of a `DataError` that TensorFlow re-raised as its own error, or None.

    Python code in a pipeline runs in TensorFlow's threads, which keep only the text.
    """
    if not type(error).__module__.startswith("tensorflow."):
        return None
    found = re.search(r"\bDataError: (.+)", str(error))
    return found and found[1]


def _raised_here(error):
    """Whether this package or the recipe raised the error: an argument is wrong."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__", "").startswith(("tfzoo.", "__main__"))
