"""The pairs that a command is given: parallel files, or a table."""

import dataclasses

from tfzoo.data.text_pairs import read_pairs, read_parallel

HELD_OUT = 10  # without validation pairs, one in at least this many is held out,
MOST_HELD_OUT = 2000  # and about this many at most


def given_pairs(
    source,
    target,
    table,
    *,
    source_column=None,
    target_column=None,
    header=True,
    flags=("--source", "--target", "--train"),
):
    """Reads pairs from parallel files or from a table, whichever is given.

    Args:
        source: Sequence of text files with a source per line.
        target: As many files with their targets.
        table: A table or data set, as in `read_pairs`; or None.
        source_column: Column of the sources in the table. Defaults to "source".
        target_column: Likewise of the targets. Defaults to "target".
        header: Whether line 1 of a `.tsv` or `.csv` has the column names.
        flags: Names of the first three arguments on the command line.

    Returns:
        `TextPairs`; None if nothing is given.

    Raises:
        DataError: a file is invalid; see `read_parallel` and `read_pairs`.
        ValueError: both or half of them are given, or an argument that only a table has
            is given with parallel files.
    """
    given = [flag for flag, x in zip(flags, (source, target, table), strict=True) if x]
    if not given:
        return None
    if given not in ([*flags[:2]], [flags[2]]):
        raise ValueError(
            f"Either {flags[0]} and {flags[1]} or {flags[2]} must be given. "
            f"Received: {' and '.join(given)}"
        )
    if table:
        return read_pairs(
            table,
            source_column="source" if source_column is None else source_column,
            target_column="target" if target_column is None else target_column,
            header=header,
        )
    return read_parallel(source, target)


def require_table(tables, *, source_column, target_column, header):
    """Raises `ValueError` if columns are named, but no table is given.

    Args:
        tables: List of the tables, each possibly None.
        source_column: As in `given_pairs`, as the next two.
        target_column: Column of the targets.
        header: Whether a table has column names.
    """
    if any(tables):
        return
    if source_column is not None or target_column is not None or not header:
        raise ValueError(
            "source_column, target_column and header must only be given with a table. "
            f"Received: source_column={source_column}, target_column={target_column}, "
            f"header={header}"
        )


def training_pairs(
    source,
    target,
    train,
    validation_source,
    validation_target,
    validation,
    *,
    seed,
    **columns,
):
    """The pairs to train on and those to validate on, as commands are given them.

    Without any for validation, a tenth of the pairs, at most about 2000, is held out by
    a hash of their sources.

    Args:
        source: As in `given_pairs`, as the next two.
        target: Files of targets.
        train: A table.
        validation_source: The same for validation, as the next two.
        validation_target: Files of targets.
        validation: A table.
        seed: Seed of what is held out.
        **columns: `source_column`, `target_column` and `header` of the tables.

    Returns:
        Two `TextPairs`, and the list of all files and data sets.

    Raises:
        DataError: as in `given_pairs`.
        ValueError: as in `given_pairs`, or no pairs are given.
    """
    require_table([train, validation], **columns)
    pairs = given_pairs(source, target, train, **columns)
    if pairs is None:
        raise ValueError("Either --source and --target or --train must be given.")
    flags = [f"--validation{end}" for end in ("-source", "-target", "")]
    held_out = given_pairs(
        validation_source, validation_target, validation, **columns, flags=flags
    )
    if held_out is None:
        period = max(HELD_OUT, -(-len(pairs) // MOST_HELD_OUT))
        pairs, held_out = pairs.split_every(period, seed=seed)
    files = [*source, *target, *validation_source, *validation_target]
    tables = [table for table in (train, validation) if table]
    return pairs, held_out, [*files, *tables]


def with_prefix(pairs, prefix):
    """`TextPairs` with a text before every source."""
    return dataclasses.replace(pairs, sources=[prefix + s for s in pairs.sources])
