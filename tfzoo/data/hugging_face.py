"""Tables of Hugging Face's `datasets`, and the names of their class labels.

The library is not imported: its classes are recognized by their attributes. Values are
plain Python objects, whatever format (`with_format`) a table has.
"""

from collections.abc import Mapping


def is_table(x):
    """Whether `x` is a `datasets.Dataset`."""
    is_one = hasattr(x, "__len__") and not isinstance(x, Mapping)
    return is_one and _is_of_datasets(x)


def refuse_splits_and_streams(x):
    """Raises `ValueError` for a `DatasetDict` and for an `IterableDataset`."""
    if _is_of_datasets(x) and not hasattr(x, "__len__"):
        raise ValueError(
            "An IterableDataset must be read into memory, Dataset.from_list(list(x), "
            "features=x.features), or given in batches, iter(x.select_columns("
            '["text", "label"]).batch(32)), with the task\'s own label indices. '
            f"Received: {type(x).__name__}"
        )
    if isinstance(x, Mapping) and x and all(map(_is_of_datasets, x.values())):
        first = next(iter(x))
        raise ValueError(
            f"The input must be one split, such as x[{first!r}]. Received: "
            f"{type(x).__name__} of {', '.join(map(repr, x))}"
        )


def require_columns(x, *names):
    """Raises `ValueError` if `x` is a `Dataset` without these columns."""
    lacking = is_table(x) and [name for name in names if name not in x.column_names]
    if lacking:
        raise ValueError(
            f"The table must have the column {lacking[0]!r}; name one so with "
            f"x.rename_column(NAME, {lacking[0]!r}), or give the columns themselves, "
            "x[NAME]. Received: the columns "
            f"{', '.join(map(repr, x.column_names[:20]))}"
        )


def column_of(table, name):
    """The values of a column of a `Dataset`, a list; class labels are names."""
    values = table.with_format(None)[name][:]
    names = class_names(table.features).get(name)
    return values if names is None else [named(value, names) for value in values]


def rows_of(table):
    """Yields the values of each row, a tuple in the order of the columns."""
    columns = table.column_names
    classes = class_names(table.features)
    for row in table.with_format(None):
        yield tuple(
            named(row[name], classes[name]) if name in classes else row[name]
            for name in columns
        )


def class_names(features):
    """Dict of the columns of class labels, or lists of them -> names in order.

    Args:
        features: Dict of column -> `datasets` feature, or the dict that describes it in
            the metadata of a file.
    """
    found = {name: _names_of(feature) for name, feature in dict(features or {}).items()}
    return {name: names for name, names in found.items() if names}


def named(value, names):
    """The names of an index or of a list of them; others, such as -1, stay numbers."""
    if isinstance(value, list):
        return [named(one, names) for one in value]
    if isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return value


def _names_of(feature):
    if isinstance(feature, list):  # of one feature
        feature = feature[0] if feature else None
    get = feature.get if isinstance(feature, Mapping) else _attributes(feature)
    if (inner := get("feature")) is not None:
        return _names_of(inner)
    names = get("names")
    is_names = isinstance(names, list) and all(isinstance(n, str) for n in names)
    return names if is_names else None


def _attributes(x):
    return lambda name: getattr(x, name, None)


def _is_of_datasets(x):
    return hasattr(x, "column_names") and hasattr(x, "with_format")
