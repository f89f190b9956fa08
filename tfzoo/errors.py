"""Errors for bad external input, and checks of arguments.

Misuse of the API raises `ValueError`; bad external input raises a `TfzooError`, so that
a recipe can print one line and exit.
"""

import contextlib
import difflib
import re

import numpy as np

# What moves a cursor, breaks a line or turns the direction of the text after it; and
# halves of surrogate pairs, which stand for bytes of a file name that are not UTF-8
_CONTROLS = re.compile(
    "[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
MOST_OF_NAME, MOST_OF_PATH, MOST_OF_RULE = 120, 300, 1000  # characters in a message


class TfzooError(Exception):
    """External input broke a rule: which rule, where, and how to fix it.

    The message is one line: `PATH:LINE: RULE FIX`. Control characters are escaped in
    it, and long names cut.

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
        place = "" if path is None else printable(path, MOST_OF_PATH)
        if line is not None:
            place += f":{line}"
        if record is not None:
            place += f": record {record}"
        if tensor is not None:
            name = printable(tensor, MOST_OF_NAME)
            place = f"{place}: {name}" if place else name
        message = printable(" ".join(rule.split()), MOST_OF_RULE)
        if place:
            message = f"{place}: {message}"
        if fix is not None:
            message += f" {printable(' '.join(fix.split()), MOST_OF_RULE)}"
        super().__init__(message)


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


@contextlib.contextmanager
def about(path, kind=None):
    """Gives errors of a block that name no place the path that they are about.

    Args:
        path: The file or directory that the block reads; None for none.
        kind: Subclass of `TfzooError` that a `ValueError` becomes, if the values come
            from the file. None leaves a `ValueError` as it is.
    """
    try:
        yield
    except TfzooError as e:
        if path is None or e.path is not None:
            raise
        raise type(e)(e.rule, path=path, tensor=e.tensor, fix=e.fix) from e
    except ValueError as e:
        if kind is None:
            raise
        raise kind(str(e), path=path) from e


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
        near = [name for name in known if name.startswith(keyword)]
        near = near or difflib.get_close_matches(keyword, known)
        takes = f"Did you mean {' or '.join(near)}?"
        if not near:
            takes = f"It takes {', '.join(known) or 'no keywords'}."
        raise TypeError(f"{owner} takes no argument {shown(keyword)}. {takes}")


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
    text = printable(" ".join(repr(value).split()))
    return text if len(text) <= 80 else f"{text[:77]}..."


def printable(text, most=None, *, lines=False):
    """A text without control characters, which are escaped as in a `repr`.

    Names in files can be anything: also what clears a terminal, or makes the text after
    it read from right to left.

    Args:
        text: A str, or what `str` makes one of, such as a path.
        most: Maximum number of characters; the middle of a longer text is cut.
        lines: Whether line feeds and tabs stay.
    """

    def escaped(found):
        character = found[0]
        if lines and character in "\n\t":
            return character
        return character.encode("unicode_escape").decode()

    text = _CONTROLS.sub(escaped, str(text))
    if most is None or len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - 3 - end]}...{text[-end:]}"
