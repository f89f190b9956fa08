"""What outside input can do wrong: files, checkpoints, vocabularies, requests.

Misuse of the API is a `ValueError`; what comes from outside is a `TfzooError`, so that
a recipe can print one line and stop.
"""

import difflib


class TfzooError(Exception):
    """A rule that outside input broke, where it did, and how to mend it.

    Its text is one line: `PATH:LINE: RULE FIX`.

    Args:
        rule: What must hold, then what came, as whole sentences.
        path: File or directory at fault.
        line: Line of the decompressed file, from 1.
        record: Record of a TFRecord file or data set, from 0.
        tensor: Name of the tensor or configuration field at fault.
        fix: What the reader can do, as a whole sentence.
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
    """A data file, a record or a label breaks a rule."""


class TokenizerError(TfzooError):
    """A vocabulary or a tokenizer file breaks a rule."""


class CheckpointError(TfzooError):
    """A configuration, a weight file or a preset directory breaks a rule."""


class OutputError(TfzooError):
    """Something stands where the result is to be written."""


class ExportError(TfzooError):
    """A SavedModel cannot be written or does not have what is asked of it."""


def refuse_unknown(owner, keywords, known):
    """Raises `TypeError` for the first keyword that is none of the known ones.

    Args:
        owner: Name of the class or function that was called.
        keywords: Names of the keywords that came.
        known: Names of those that it takes.
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


def shown(value):
    """A value in one short line, for an error's text."""
    if hasattr(value, "item") and not getattr(value, "shape", True):
        value = value.item()  # 0.5, not np.float32(0.5)
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
