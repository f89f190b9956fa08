"""Pairs of a source and a target text, read from parallel files or from a table."""

import dataclasses

from tfzoo.data.cells import text_of
from tfzoo.data.holding_out import rows_to_hold_out
from tfzoo.data.readers import SUFFIXES, name_of, read_records
from tfzoo.data.records import Record, tell_header
from tfzoo.errors import DataError
from tfzoo.files import local_path
from tfzoo.text.lines import read_lines

_TABLES = tuple(suffix for suffix in SUFFIXES if suffix != ".txt") + (".ndjson",)


@dataclasses.dataclass
class TextPairs:
    """Source texts with their targets; the lists have one entry per pair.

    Attributes:
        spec: Where they come from: paths, `tfds:...` or "Dataset".
        sources: List of str.
        targets: List of str.
        locations: Records without their values, for raising errors; of a pair of lines,
            that of the source.
    """

    spec: str
    sources: list
    targets: list
    locations: list

    def __len__(self):
        return len(self.sources)

    def as_input(self):
        """The texts in the form that a task's `fit` and `evaluate` take."""
        return {"source": self.sources, "target": self.targets}

    def split_every(self, period, *, seed=0):
        """Splits into (training pairs, about one in `period` pairs, held out).

        `held_out_rows` selects them by their source, so that no held-out source is
        trained on. Prints how many are held out.

        Args:
            period: Integer >= 2.
            seed: Seed of the selection.

        Raises:
            DataError: there are fewer pairs than `period`, or none can be held out.
        """
        no_labels = [()] * len(self)
        rows = rows_to_hold_out(self.sources, no_labels, period, seed, spec=self.spec)
        print(f"{self.spec}: held out {len(rows)} of {len(self)} pairs.")
        chosen = set(rows)
        others = [i for i in range(len(self)) if i not in chosen]
        return self._chosen(others), self._chosen(rows)

    def _chosen(self, rows):
        columns = ("sources", "targets", "locations")
        return TextPairs(
            self.spec, *([getattr(self, c)[i] for i in rows] for c in columns)
        )


def read_parallel(source, target):
    """Reads parallel files, in which lines of the same number are a pair, into memory.

    Args:
        source: Path of a text file with one text per line, as for `read_lines`,
            whatever its name (`train.en`, `train.en.gz`); or a list of such paths.
        target: The same for the targets. The files are parallel one by one.

    Returns:
        `TextPairs`.

    Raises:
        DataError: a file is invalid, two have different numbers of lines, or a line has
            only whitespace.
        ValueError: there are not as many sources as targets.
    """
    sides = [_paths(source), _paths(target)]
    if len(sides[0]) != len(sides[1]) or not sides[0]:
        raise ValueError(
            "There must be as many source files as target files, at least one. "
            f"Received: {len(sides[0])} and {len(sides[1])}"
        )
    spec = " and ".join(", ".join(map(str, paths)) for paths in sides)
    pairs = TextPairs(spec, [], [], [])
    for paths in zip(*sides, strict=True):
        texts = [_lines(path) for path in paths]
        if len(texts[0]) != len(texts[1]):
            raise DataError(
                "Parallel files must have the same number of lines. Received: "
                f"{len(texts[0])} here and {len(texts[1])} in {paths[1]}.",
                path=paths[0],
            )
        for number, sides_of_pair in enumerate(zip(*texts, strict=True), 1):
            for path, text in zip(paths, sides_of_pair, strict=True):
                if not text.strip():
                    raise _empty(Record((), (), str(path), number), "The line")
        pairs.sources += texts[0]
        pairs.targets += texts[1]
        pairs.locations += [
            Record((), (), str(paths[0]), i) for i in range(1, len(texts[0]) + 1)
        ]
    return pairs


def read_pairs(spec, *, source_column="source", target_column="target", header=True):
    """Reads all pairs of a table or dataset into memory.

    Args:
        spec: As in `read_records`.
        source_column: Name of the sources' column, or its number starting at 1.
        target_column: Likewise of the targets.
        header: Whether line 1 of a `.tsv` or `.csv` has the column names.

    Returns:
        `TextPairs`.

    Raises:
        DataError: a record is invalid, one of its texts has only whitespace, or there
            are none.
    """
    pairs = TextPairs(name_of(spec), [], [], [])
    columns = (source_column, target_column)
    for record in read_records(spec, header=header):
        if header and not pairs.sources:
            tell_header(record, *columns)
        texts = [text_of(record, column) for column in columns]
        for column, text in zip(columns, texts, strict=True):
            if not text.strip():
                raise _empty(record, f"Column {column!r}")
        pairs.sources.append(texts[0])
        pairs.targets.append(texts[1])
        pairs.locations.append(dataclasses.replace(record, names=(), values=()))
    if not pairs.sources:
        raise DataError("There must be at least one pair.", path=pairs.spec)
    return pairs


def _paths(side):
    paths = [side] if isinstance(side, str) or not hasattr(side, "__iter__") else side
    return [local_path(path) for path in paths]


def _lines(path):
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(_TABLES):
        raise DataError(
            "A parallel file must have one text per line. Received: the name of a "
            "table.",
            path=path,
            fix="Read a table with read_pairs.",
        )
    return [line for _, line in read_lines(path)]


def _empty(record, where):
    return record.error(
        f"{where} must have text. Received: none, or only whitespace.",
        fix="Remove the pair from both sides.",
    )
