"""Arrays, generators and `PyDataset`s of batches -> `tf.data`.

Shapes: N examples, B batch.
"""

import collections
import concurrent.futures
import contextlib
import itertools
import warnings
from collections.abc import Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf

from tfzoo.errors import shown
from tfzoo.tasks.inputs import (
    TARGETS,
    array_of,
    is_table,
    raw_texts,
    refuse_unordered,
    targets_of_table,
)
from tfzoo.tasks.numeric import numbers_of
from tfzoo.tasks.tagging.sentences import raw_sentences


def is_batches(x):
    """Whether `x` gives batches, one by one: a `PyDataset` or a generator."""
    return isinstance(x, Iterator | keras.utils.PyDataset)


def array_batches(parts, batch_size, *, shuffle=False, seed=0):
    """Batches of arrays of N rows.

    Args:
        parts: [inputs], [inputs, targets] or [inputs, targets, weights], nests of
            arrays.
        batch_size: B; the last batch may be smaller.
        shuffle: Whether every iteration has an order of its own.
        seed: Of the orders.
    """
    count = len(tf.nest.flatten(parts)[0])
    if not count:
        raise ValueError("There must be at least one example. Received: none")
    dataset = tf.data.Dataset.from_tensor_slices(
        tuple(parts) if len(parts) > 1 else parts[0]
    )
    if shuffle:
        dataset = dataset.shuffle(count, seed=seed)
    return dataset.batch(batch_size).prefetch(2)


def dataset_of_batches(x, task, *, learns=True, each=None, shuffle=False, seed=0):
    """A generator or `PyDataset` as a dataset; its texts are strings (B,).

    Args:
        x: Gives inputs, (inputs,), (inputs, targets) or (inputs, targets, weights).
            Inputs are prepared ids or raw text in any container; a table may hold the
            targets. All batches have the parts, types and axes of the first.
        task: The `Task`; its `refusals` keep what is wrong with a batch.
        learns: Whether targets are needed; if not, inputs alone are kept.
        each: Batches of each reading of a generator; None: all that it has left.
        shuffle: Whether the batches of a `PyDataset` change their order.
        seed: Of the orders.

    Raises:
        ValueError: it gives no batch, or what is no batch, or one unlike the first.
    """
    passes = passes_of(x, shuffle, seed)
    first = next(batches := passes(), None)
    if first is None:
        raise ValueError("There must be at least one batch. Received: none")
    found = _tensors(first, 0, task, learns)
    spec = tf.nest.map_structure(_any_size, found)
    count = tf.data.UNKNOWN_CARDINALITY
    if isinstance(x, keras.utils.PyDataset):
        count = x.num_batches
        count = tf.data.INFINITE_CARDINALITY if count is None else count
    else:
        rest = itertools.chain([first], batches)
        passes = lambda: rest  # noqa: E731  (a generator is read once)

    reads_once = isinstance(x, Iterator)
    total = 0  # batches that were read

    def generate():
        nonlocal total
        total = before = total if reads_once else 0
        try:
            for batch in itertools.islice(passes(), each if reads_once else None):
                yield _like_first(_tensors(batch, total, task, learns), spec, total)
                total += 1
            if reads_once and total - before < (each or 1):
                raise ValueError(
                    "A generator is read once and must hold the batches of all epochs: "
                    "give a PyDataset, a tf.data.Dataset, or steps_per_epoch and "
                    f"enough batches. Received: {total} batches in all"
                )
        except Exception as e:
            task.refusals.keep(e)
            raise

    dataset = tf.data.Dataset.from_generator(generate, output_signature=spec)
    if count != tf.data.UNKNOWN_CARDINALITY:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
    return dataset.prefetch(2)


@contextlib.contextmanager
def to_the_end(steps):
    """Silences Keras's warning that batches end, where nobody said how many there are.

    Args:
        steps: How many the user asked for, or None.
    """
    with warnings.catch_warnings():
        if steps is None:
            warnings.filterwarnings("ignore", "Your input ran out of data")
        yield


def passes_of(x, shuffle, seed):
    """A function whose every call gives the batches once."""
    if isinstance(x, Iterator):
        return lambda: x
    if x.use_multiprocessing:
        raise ValueError(
            "A PyDataset's batches are made in threads here. Received: "
            "use_multiprocessing=True; give workers alone, or a tf.data.Dataset"
        )
    epochs = itertools.count()

    def once():
        order = itertools.count()
        if x.num_batches is not None:
            order = range(x.num_batches)
            if shuffle:
                random = np.random.default_rng([seed, next(epochs)])
                order = random.permutation(x.num_batches).tolist()
        pool = concurrent.futures.ThreadPoolExecutor(max(1, x.workers))
        try:
            waiting = collections.deque()
            for number in order:
                waiting.append(pool.submit(x.__getitem__, number))
                if len(waiting) > x.max_queue_size:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # Never waited for: a generator that nobody reads to its end is closed by
            # Python's collector, which may run where another thread is being started.
            pool.shutdown(wait=False, cancel_futures=True)
        x.on_epoch_end()

    return once


def _tensors(batch, number, task, learns):
    """A batch as tensors: raw texts as strings (B,) or a dict of them."""
    parts = list(batch) if isinstance(batch, tuple) else [batch]
    if not 1 <= len(parts) <= 3 or isinstance(parts[0], str | bytes):
        raise ValueError(
            "What a generator gives must be batches: (inputs,), (inputs, targets) or "
            f"(inputs, targets, weights). Received: {shown(batch)}, batch {number}"
        )
    x, y, weights = [*parts, None, None][:3]
    try:
        inputs = _inputs(x, task)
        if not learns:
            return inputs
        y = _targets_within(x) if y is None else y
        if y is None and weights is not None:
            raise ValueError(
                "Weights go with targets: (inputs, targets, weights). Received: None "
                "as targets"
            )
        if y is None:
            return inputs
        targets = _values(task.targets_of_batch(y, is_raw=not _is_prepared(x)))
        _check_rows(inputs, targets)
        if weights is None:
            return inputs, targets
        return inputs, targets, _weights(weights)
    except ValueError as e:
        raise ValueError(f"{e}, batch {number}") from None


def _check_rows(inputs, targets):
    count = tf.nest.flatten(inputs)[0].shape[0]
    for values in tf.nest.flatten(targets):
        if values.shape.rank and values.shape[0] != count:
            raise ValueError(
                "x and y must be of one length. Received: "
                f"{count} and {values.shape[0]}"
            )


def _is_prepared(x):
    return isinstance(x, Mapping) and "text" not in x


def _targets_within(x):
    """The targets that a table, or a dict of text, holds beside its texts; or None."""
    if not isinstance(x, Mapping):
        return targets_of_table(x)
    found = [] if _is_prepared(x) else [x[name] for name in TARGETS if name in x]
    return found[0] if found else None


def _inputs(x, task):
    if _is_prepared(x):
        arrays = {n: array_of(v) for n, v in x.items()}
        arrays = {n: np.asarray(x[n]) if a is None else a for n, a in arrays.items()}
        return {name: tf.convert_to_tensor(array) for name, array in arrays.items()}
    if isinstance(x, Mapping):
        x = {name: value for name, value in x.items() if name not in TARGETS}
    texts = sentences = None
    if task.raw_input is raw_sentences and not (isinstance(x, Mapping) or is_table(x)):
        sentences = raw_sentences(x)  # of two words each they look like pairs
    else:
        texts = raw_texts(x)
    if texts is not None:
        text = tf.constant(texts.texts, tf.string)
        if texts.text_pairs is None:
            return text
        return {"text": text, "text_pair": tf.constant(texts.text_pairs, tf.string)}
    if sentences is None:
        raise ValueError(
            "A batch must hold texts or a dict of prepared ids. "
            f"Received: {type(x).__name__} {shown(x)}"
        )
    return tf.ragged.constant(sentences, tf.string, ragged_rank=1)


def _weights(x):
    """Weights as float32, or a dict of them by output."""
    if isinstance(x, Mapping):
        return {name: _weights(value) for name, value in x.items()}
    return tf.constant(numbers_of(x, "sample_weight"))


def _values(x):
    """Targets: a tensor, ragged where rows are lists."""
    if isinstance(x, Mapping):
        return {name: _values(value) for name, value in x.items()}
    if isinstance(x, tf.Tensor | tf.RaggedTensor):
        return x
    refuse_unordered(x, "y")
    array = None if isinstance(x, list | tuple) else array_of(x)
    if array is not None and array.dtype.kind != "O":
        return tf.convert_to_tensor(array)
    rows = list(x)
    if rows and all(isinstance(row, list | tuple | np.ndarray) for row in rows):
        rows = [list(row) for row in rows]
        kinds = [_row_kinds(values, row) for row, values in enumerate(rows)]
        kinds = set().union(*kinds)
        if len(kinds) > 1:
            raise ValueError(
                "The targets of a batch must be all names or all numbers. Received: "
                f"{shown(rows)}"
            )
        names = kinds <= {"names"}
        return tf.ragged.constant(rows, tf.string if names else None, ragged_rank=1)
    try:
        return tf.convert_to_tensor(rows)
    except (TypeError, ValueError):
        raise ValueError(
            f"A batch must hold texts, names and numbers. Received: {shown(rows)}"
        ) from None


def _row_kinds(values, row):
    """The set of "names" and "numbers" that a row holds."""
    for value in values:
        if not isinstance(value, str | bytes | int | float | np.number | np.bool_):
            raise ValueError(
                "A batch must hold texts, names and numbers. Received: "
                f"{shown(value)} in row {row}"
            )
    names = {isinstance(value, str | bytes) for value in values}
    return {"names" if is_name else "numbers" for is_name in names}


def _like_first(found, spec, number):
    """A batch in the types and axes of the first one, where it says the same in them.

    Raises:
        ValueError: it has other parts, or its numbers are none of that type.
    """
    try:
        tf.nest.assert_same_structure(found, spec)
        values = map(_in_form, tf.nest.flatten(found), tf.nest.flatten(spec))
        return tf.nest.pack_sequence_as(spec, list(values))
    except (TypeError, ValueError):
        kinds = tf.nest.map_structure(_any_size, found)
        raise ValueError(
            "All batches must hold the same parts, of one type and as many axes. "
            f"Received: {_form(kinds)} after {_form(spec)}, batch {number}"
        ) from None


def _form(spec):
    """Types and numbers of axes in short."""
    if isinstance(spec, Mapping):
        return f"{{{', '.join(f'{n}: {_form(s)}' for n, s in spec.items())}}}"
    if isinstance(spec, tuple):
        return f"({', '.join(map(_form, spec))})"
    rows = "rows of " if isinstance(spec, tf.RaggedTensorSpec) else ""
    return f"{rows}{spec.dtype.name} of {spec.shape.rank} axes"


def _in_form(value, spec):
    """A tensor in the form of a spec; ValueError if it cannot be."""
    if isinstance(spec, tf.RaggedTensorSpec):
        if not isinstance(value, tf.RaggedTensor):
            value = tf.RaggedTensor.from_tensor(value, ragged_rank=1)
        return value.with_flat_values(_in_type(value.flat_values, spec.dtype))
    if isinstance(value, tf.RaggedTensor):
        if len(set(value.row_lengths().numpy())) > 1:
            raise ValueError("rows of different lengths")
        value = value.to_tensor()
    value, rank = _in_type(value, spec.dtype), spec.shape.rank
    if value.shape.rank == 2 and rank == 1 and value.shape[1] == 1:
        return value[:, 0]
    if value.shape.rank == 1 and rank == 2:
        return value[:, tf.newaxis]
    if value.shape.rank != rank:
        raise ValueError("another number of axes")
    return value


def _in_type(values, dtype):
    if values.dtype == dtype:
        return values
    if not tf.size(values):
        return tf.zeros(values.shape, dtype)
    if tf.string in (values.dtype, dtype):
        raise ValueError("names and numbers")
    cast = tf.cast(values, dtype)
    if dtype.is_integer and not np.array_equal(cast, values):
        raise ValueError("other numbers")
    return cast


def _any_size(value):
    if isinstance(value, tf.RaggedTensor):
        return tf.RaggedTensorSpec([None, None], value.dtype, ragged_rank=1)
    return tf.TensorSpec([None] * value.shape.rank, value.dtype)
