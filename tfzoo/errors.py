"""Errors for bad external input, and checks of arguments.

Misuse of the API raises `ValueError`; bad external input raises a `TfzooError`, so that
a recipe can print one line and exit.
"""

import difflib

import numpy as np


class TfzooError(Exception):
    """External input broke a rule: which rule, where, and how to fix it.

    The message is one line: `PATH:LINE: RULE FIX`.

    Args:
        rule: What must hold, then what was received, as full sentences.
        path: File or directory at fault.
        line: Line number in the decompressed file, starting at 1.
        record: Record index in a TFRecord file or dataset, starting at 0.
        tensor: Name of the tensor or configuration field at fault.
        fix: What the reader can do about it, as a full sentence.
    """

    def __init__(
        self, rule, *, path=None, line=None, record=None, tensor=None, fix=None
    ):
        self.rule, self.path, self.line = rule, path, line
        self.record, self.tensor, self.fix = record, tensor, fix
        place = "" if path is None else str(path)
        if line is not None:
            place += f":{line}"
        if record is not None:
            place += f": record {record}"
        if tensor is not None:
            place = f"{place}: {tensor}" if place else str(tensor)
        message = f"{place}: {rule}" if place else rule
        if fix is not None:
            message = f"{message} {fix}"
        super().__init__(" ".join(message.split()))


class DataError(TfzooError):
    """A data file, record or label is invalid."""


class TokenizerError(TfzooError):
    """A vocabulary or tokenizer file is invalid."""


class CheckpointError(TfzooError):
    """A configuration, weight file or preset directory is invalid."""


class OutputError(TfzooError):
    """The output path already exists or cannot be written."""


class ExportError(TfzooError):
    """A SavedModel cannot be written or lacks what is requested of it."""


def refuse_unknown(owner, keywords, known):
    """Raises `TypeError` for the first unknown keyword.

    Args:
        owner: Name of the class or function that was called.
        keywords: Names of the keywords it received.
        known: Names of the keywords it accepts.
    """
    known = [*known]
    for keyword in keywords:
        if keyword in known:
            continue
        near = difflib.get_close_matches(keyword, known)
        takes = f"Did you mean {' or '.join(near)}?"
        if not near:
            takes = f"It takes {', '.join(known) or 'no keywords'}."
        raise TypeError(f"{owner} takes no argument {keyword!r}. {takes}")


def is_whole(value):
    """Whether a value is an integer; bools are not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def require_whole(name, value, least, *, optional=False):
    """Raises `ValueError` unless a value is an integer >= `least`.

    Args:
        name: Name of the argument.
        value: The value.
        least: Smallest valid value.
        optional: Whether None is valid, too.
    """
    if optional and value is None:
        return
    if not is_whole(value) or value < least:
        received = shown(value)
        raise ValueError(f"{name} must be an integer >= {least}. Received: {received}")


def require_flags(**flags):
    """Raises `ValueError` for the first value that is neither True nor False.

    Args:
        **flags: Values by name.
    """
    for name, value in flags.items():
        if not isinstance(value, bool | np.bool_):
            raise ValueError(f"{name} must be True or False. Received: {shown(value)}")


def shown(value):
    """The value's `repr` on one line of at most 80 characters, for error messages."""
    if hasattr(value, "item") and not getattr(value, "shape", True):
        value = value.item()  # 0.5, not np.float32(0.5)
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
