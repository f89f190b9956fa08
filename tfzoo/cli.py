"""A recipe's command line: its `main` signature, and errors on one line."""

import math
import os
import re
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
_SEEDS = 1 << 32  # that NumPy takes
_SHARES = ("label_smoothing", "masked_fraction", "short_sequence_fraction")


def check_numbers(arguments):
    """Refuses numbers that no training can be made of, before any work.

    Args:
        arguments: Dict of a recipe's arguments by name; what is None is left alone,
            and so is what has no bounds of its own.

    Raises:
        ValueError: one that names the argument and what came.
    """
    for name, value in arguments.items():
        if value is None:
            continue
        if name in _WHOLE_FROM:
            least = _WHOLE_FROM[name]
            good = isinstance(value, int) and not isinstance(value, bool)
            good = good and least <= value and (name != "seed" or value < _SEEDS)
            rule = f"must be a whole number from {least}"
            rule += f" to {_SEEDS - 1}" if name == "seed" else ""
        elif name == "learning_rate":
            good, rule = 0 < value < math.inf, "must be a finite number above 0"
        elif name == "weight_decay":
            good, rule = 0 <= value < math.inf, "must be a finite number from 0"
        elif name in _SHARES:
            good, rule = 0 <= value <= 1, "must be in [0, 1]"
        else:
            continue
        if not good:
            raise ValueError(f"{name} {rule}. Received: {value!r}")


def run(main):
    """Calls `main` with the command line's arguments and exits.

    Args:
        main: A typed function; its docstring is the `--help`. Exit code 0 when it
            returns, 1 with one line on stderr when outside input is at fault, 2 when
            the arguments are, 130 when interrupted.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tyro

    from tfzoo.errors import TfzooError

    try:
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


def _line_of_data(error):
    """The line of a `DataError` that TensorFlow raised as one of its own, or None.

    A pipeline's Python runs in TensorFlow's threads, which keep the text alone.
    """
    if not type(error).__module__.startswith("tensorflow."):
        return None
    found = re.search(r"\bDataError: (.+)", str(error))
    return found and found[1]


def _raised_here(error):
    """Whether this package or the recipe raised it: an argument is wrong."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__", "").startswith(("tfzoo.", "__main__"))
