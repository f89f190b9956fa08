"""`Record`: what a line of a file, or an element of a dataset, is read as."""

import dataclasses
import re
import sys

from tfzoo.errors import DataError

_OTHER_SEPARATORS = {  # in a table that has only one column
    "|": "Separate the columns by tabs in a .tsv, or by commas in a .csv.",
    ";": "Rename the file to end in .csv, where semicolons separate columns.",
    ",": "Rename the file to end in .csv, where commas separate columns.",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """A record and its location.

    Attributes:
        names: Column names; "1", "2", ... if the file has no header.
        values: The values, in the order of `names`: str, or any JSON or feature value.
        path: File, `tfds:...`, or "Dataset".
        number: First line of the record in the decompressed file, starting at 1; or, if
            `unit` is "record", the record's index, starting at 0.
        unit: "line" or "record".
        ordered: Whether columns can also be given by number.
    """

    names: tuple
    values: tuple
    path: str
    number: int
    unit: str = "line"
    ordered: bool = True

    @property
    def fields(self):
        """The values by column name."""
        return dict(zip(self.names, self.values, strict=True))

    def value(self, column):
        """Returns the value of a column.

        Args:
            column: Its name; or its number, starting at 1, if columns have an order
                (`.txt`, `.tsv`, `.csv`, `.parquet`). Names take precedence over
                numbers.

        Raises:
            DataError: there is no such column, or several have this name.
        """
        found = self.names.count(str(column))
        if found == 1:
            return self.values[self.names.index(str(column))]
        there = _listed(self.names)
        if found:
            raise self.error(
                f"The column name must be unique. Received: {column!r}, which occurs "
                f"{found} times in the columns {there}.",
                fix="Give the column by its number, starting at 1.",
            )
        if self.ordered and re.fullmatch("[0-9]{1,9}", str(column)):
            if 1 <= int(column) <= len(self.values):
                return self.values[int(column) - 1]
        raise self.error(
            f"The column must be one of {there}. Received: {column!r}.",
            fix=self._fix_of_columns(),
        )

    def _fix_of_columns(self):
        """What to do if the columns of a table are not those that were expected."""
        if not self.ordered or self.unit != "line" or self.names == ("text",):
            return None
        if len(self.names) == 1:
            for separator, fix in _OTHER_SEPARATORS.items():
                if separator in self.names[0]:
                    return fix
        if self.names == tuple(map(str, range(1, len(self.names) + 1))):
            return "Give a column by its number, starting at 1."
        return "If line 1 is data, use --no-header (header=False) and column numbers."

    def error(self, rule, *, fix=None):
        """A `DataError` with this record's location."""
        return DataError(rule, path=self.path, fix=fix, **{self.unit: self.number})


def tell_header(record, *columns):
    """Prints what was taken for column names, if all columns are given by number.

    Whoever gives numbers may have a file without such a line.

    Args:
        record: The first `Record` of a file that is read with a header.
        *columns: Names or numbers of columns, or None.
    """
    given = [str(column) for column in columns if column is not None]
    has_header = record.unit == "line" and record.ordered and record.names != ("text",)
    if has_header and all(column.isdecimal() for column in given):
        print(
            f"note: {record.path}: the first line is taken for the column names "
            f"{_listed(record.names)}. If it is data, use --no-header (header=False).",
            file=sys.stderr,
        )


def _listed(names):
    """Column names for error messages, of which long ones and many are cut."""
    some = ", ".join(
        f"{name[:40]}..." if name[40:] else name for name in map(repr, names[:20])
    )
    return (some + (", ..." if names[20:] else "")) or "none"
