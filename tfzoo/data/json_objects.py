"""JSON objects: the lines of a `.jsonl`, the elements of the array in a `.json`."""

import json
import re

from tfzoo.errors import DataError
from tfzoo.text.lines import read_lines

MAX_ELEMENT_CHARACTERS = 64 << 20
_NEXT = re.compile(r"[^ \t\r\n]")
_AS_LINES = "Save it with an object per line, as .jsonl."


def objects_of_lines(path):
    """Yields (line, dict) of a `.jsonl`; empty lines are skipped."""
    for number, line in read_lines(path):
        if not line.strip():
            continue
        value = reason = None
        try:
            value = _DECODER.decode(line)
            _refuse_half_pairs(value, line, 0, len(line))
        except (ValueError, RecursionError) as e:
            reason = _reason(e)
            if isinstance(e, json.JSONDecodeError):
                reason += f" at character {e.pos + 1}"
        if reason is None and not isinstance(value, dict):
            kind = type(value).__name__
            reason = f"a line must be a JSON object. Received: {kind}"
        if reason is not None:
            fix = "If the file is an array, rename it to end in .json."
            raise DataError(
                f"Not valid JSON: {reason}.",
                path=path,
                line=number,
                fix=fix if line.lstrip().startswith("[") else None,
            )
        yield number, value


def objects_of_array(path):
    """Yields (index, dict) of a `.json` that contains an array of objects.

    Memory use does not grow with the number of objects, unless all of them are in one
    line.

    Raises:
        DataError: it contains anything else; or a line, or an object, is too long.
    """
    text = _Text(path)
    if text.next() != "[":
        raise text.error(
            "The file must be a JSON array of objects, [{...}, {...}].",
            fix="If it has an object in each line, rename it to end in .jsonl; if the "
            "array is inside an object, save the array alone.",
        )
    index = 0
    text.at += 1
    if text.next() != "]":
        while True:
            yield index, text.object(index)
            index += 1
            if text.next() != ",":
                break
            text.at += 1
    if text.next() != "]":
        raise text.error("Not valid JSON: an object must be followed by , or ].")
    text.at += 1
    if text.next():
        raise text.error("Not valid JSON: the array must end the file.")


class _Text:
    """The text of a file, of which lines are read as needed.

    Attributes:
        at: Position in the lines in memory.
    """

    def __init__(self, path):
        self._path, self._text, self._first, self.at = path, "", 1, 0
        self._lines = read_lines(path, keep_ends=True, if_too_long=_AS_LINES)

    def next(self):
        """Skips white space; returns the next character, "" at the end of the file."""
        while (found := _NEXT.search(self._text, self.at)) is None:
            self.at = len(self._text)
            self._forget()
            if not self._more(1):
                return ""
        self.at = found.start()
        return found[0]

    def object(self, index):
        """Returns the object that begins here, and moves behind it."""
        if self.next() != "{":
            raise self.error("Every element must be a JSON object.", record=index)
        self._forget()
        failed = None
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self.at)
                _refuse_half_pairs(value, self._text, self.at, end)
                self.at = end
                return value
            except (ValueError, RecursionError) as e:
                place = getattr(e, "pos", None)
                size = len(self._text) - self.at
                # More lines take an object that was cut off further.
                if place not in (None, failed) and size <= MAX_ELEMENT_CHARACTERS:
                    failed = place
                    if self._more(size):
                        continue
                rule = f"Not valid JSON: {_reason(e)}."
                if size > MAX_ELEMENT_CHARACTERS:
                    rule = (
                        "An object must be closed and have at most "
                        f"{MAX_ELEMENT_CHARACTERS} characters."
                    )
                self.at = self.at if place is None else place
                raise self.error(rule, record=index) from None

    def error(self, rule, *, record=None, fix=None):
        """A `DataError` with this line and the next characters."""
        line = self._first + self._text.count("\n", 0, self.at)
        rest = self._text[self.at : self.at + 30]
        received = repr(rest) if rest else "the end of the file"
        return DataError(
            f"{rule} Received: {received}.",
            path=self._path,
            line=line,
            record=record,
            fix=fix,
        )

    def _more(self, size):
        """Reads lines of `size` characters or more; returns whether there were any."""
        read = []
        for _, line in self._lines:
            read.append(line)
            size -= len(line)
            if size <= 0:
                break
        self._text += "".join(read)
        return bool(read)

    def _forget(self):
        """Drops what was parsed, once it is most of the text in memory."""
        if 2 * self.at > len(self._text):
            self._first += self._text.count("\n", 0, self.at)
            self._text, self.at = self._text[self.at :], 0


def _reason(error):
    """Why Python could not parse a value."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    if isinstance(error, UnicodeEncodeError):
        return "an escape is half of a surrogate pair"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error)  # a duplicate key, or more digits than Python converts


def _refuse_half_pairs(value, text, start, end):
    """Raises `UnicodeEncodeError` if an escape is half of a surrogate pair."""
    if text.find("\\u", start, end) >= 0:
        json.dumps(value, ensure_ascii=False).encode("utf-8")


def _unique(pairs):
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"duplicate key {twice!r}")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)
