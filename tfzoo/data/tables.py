"""Rows of `.tsv` and `.csv` files."""

import csv
import itertools
import re

from tfzoo.errors import DataError
from tfzoo.text.lines import read_lines

MAX_CELL_CHARACTERS = 16 << 20
_SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
_SEPARATOR = re.compile("[,;\t]")
_CLOSING = re.compile(r'(?:[^"]++|"")*+"')  # up to the quote that closes a cell
_DECLARED = re.compile("sep=([,;\t])\r?\n?")


def tab_rows(path):
    """Yields (line, list of cells) of a `.tsv`, which has no quoting.

    Empty lines are skipped if there is more than one column.
    """
    columns = None
    for number, line in read_lines(path):
        if line or columns == 1:
            row = line.split("\t")
            columns = columns or len(row)
            yield number, row


def comma_rows(path):
    """Yields (first line, list of cells) of a `.csv`, as in RFC 4180.

    The separator is the comma, the semicolon or the tab: the only one of them outside
    quotes in the first record, or the one in a line `sep=;` before it, as Excel writes
    it. Empty lines are skipped.

    Raises:
        DataError: the first record has several of them, a quote is not closed, or text
            follows a closing quote.
    """
    lines = (line for _, line in read_lines(path, keep_ends=True))
    first, separator = _first_record(path, lines)
    reader = csv.reader(itertools.chain(first, lines), delimiter=separator, strict=True)
    while True:
        number = reader.line_num + 1
        limit = csv.field_size_limit(MAX_CELL_CHARACTERS)  # of the whole process
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as e:
            rule = f"Not valid CSV: {_reason(e)}."
            raise DataError(rule, path=path, line=number) from None
        finally:
            csv.field_size_limit(limit)
        if row:
            yield number, row


def _reason(error):
    reason = str(error)
    if "unexpected end" in reason:
        return f"{reason}: an opened quote must be closed"
    if "field limit" in reason:
        return (
            f"a cell must have at most {MAX_CELL_CHARACTERS} characters: an opened "
            "quote must be closed"
        )
    if "new-line character" in reason:
        return "a carriage return outside quotes must be followed by a line feed"
    return reason


def _first_record(path, lines):
    """Reads the lines of the first record; returns them and the separator.

    A line that declares the separator is replaced by an empty one.
    """
    read = []
    for line in lines:
        declared = _DECLARED.fullmatch(line)
        if declared:
            return [*read, "\n"], declared[1]
        read.append(line)
        if line.strip("\r\n"):
            break
    number = len(read)
    found = _outside_quotes(read, lines)
    if len(found) > 1:
        names = " and ".join(_SEPARATORS[one] for one in sorted(found))
        raise DataError(
            "Outside quotes, the first record must have only one of comma, semicolon "
            f"and tab, which separates the columns. Received: {names}.",
            path=path,
            line=number,
            fix='Quote the cells ("a; b"), or put a line sep=, or sep=; before it.',
        )
    return read, found.pop() if found else ","


def _outside_quotes(read, lines):
    """The separators outside quotes in the record that begins in the last line read.

    Appends the further lines of the record to `read`.
    """
    found, size, line, at = set(), 0, read[-1] if read else "", 0
    while True:
        if line.startswith('"', at):  # here, a cell begins
            at += 1
            while (closing := _CLOSING.match(line, at)) is None:
                line, at = next(lines, ""), 0
                read.append(line)
                size += len(line)
                if not line or size > MAX_CELL_CHARACTERS:  # `csv` will say so
                    return found
            at = closing.end()
        separator = _SEPARATOR.search(line, at)
        if separator is None:
            return found
        found.add(separator[0])
        at = separator.end()
