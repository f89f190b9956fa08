"""A recipe's command line: its `main` signature, and errors on one line."""

import os
import sys
import traceback


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
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def require_counts(**counts):
    """Raises `ValueError` where one of the arguments is under 1.

    Args:
        **counts: Numbers by the name of the argument; None: not given.
    """
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be 1 or more. Received: {name}={value}")


def _raised_here(error):
    """Whether this package or the recipe raised it: an argument is wrong."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__", "").startswith(("tfzoo.", "__main__"))
