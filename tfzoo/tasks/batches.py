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
from tfzoo.tasks.inputs import array_of, raw_texts
from tfzoo.tasks.sentences import raw_sentences


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


def dataset_of_batches(x, refusals, *, shuffle=False, seed=0):
    """A generator or `PyDataset` as a dataset; its texts are strings (B,).

    Args:
        x: Gives inputs, (inputs,), (inputs, targets) or (inputs, targets, weights).
            Inputs are prepared ids or raw text in any container.
        refusals: `Refusals`, which keep what is wrong with a batch.
        shuffle: Whether the batches of a `PyDataset` change their order.
        seed: Of the orders.

    Raises:
        ValueError: it gives no batch, or what is no batch.
    """
    passes = _passes(x, shuffle, seed)
    first = next(batches := passes(), None)
    if first is None:
        raise ValueError("There must be at least one batch. Received: none")
    spec = tf.nest.map_structure(_any_size, _tensors(first, 0))
    count = tf.data.UNKNOWN_CARDINALITY
    if isinstance(x, keras.utils.PyDataset):
        count = x.num_batches
        count = tf.data.INFINITE_CARDINALITY if count is None else count
    else:
        rest = itertools.chain([first], batches)
        passes = lambda: rest  # noqa: E731  (a generator is read once)

    def generate():
        try:
            for number, batch in enumerate(passes()):
                yield _tensors(batch, number)
        except ValueError as e:
            refusals.keep(e)
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


def _passes(x, shuffle, seed):
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
        with concurrent.futures.ThreadPoolExecutor(max(1, x.workers)) as pool:
            waiting = collections.deque()
            for number in order:
                waiting.append(pool.submit(x.__getitem__, number))
                if len(waiting) > x.max_queue_size:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        x.on_epoch_end()

    return once


def _tensors(batch, number):
    """A batch as tensors: raw texts as strings (B,) or a dict of them."""
    parts = list(batch) if isinstance(batch, tuple) else [batch]
    if isinstance(parts[0], str | bytes) or len(parts) > 3:
        raise ValueError(
            "What a generator gives must be batches: (inputs,), (inputs, targets) or "
            f"(inputs, targets, weights). Received: {shown(batch)}, batch {number}"
        )
    parts = [part for part in parts if part is not None]
    try:
        found = _inputs(parts[0]), *map(_values, parts[1:])
        return found if len(found) > 1 else found[0]
    except ValueError as e:
        raise ValueError(f"{e}, batch {number}") from None


def _inputs(x):
    if isinstance(x, Mapping) and "text" not in x:
        arrays = {n: array_of(v) for n, v in x.items()}
        arrays = {n: np.asarray(x[n]) if a is None else a for n, a in arrays.items()}
        return {name: tf.convert_to_tensor(array) for name, array in arrays.items()}
    texts = raw_texts(x)
    if texts is not None:
        text = tf.constant(texts.texts, tf.string)
        if texts.text_pairs is None:
            return text
        return {"text": text, "text_pair": tf.constant(texts.text_pairs, tf.string)}
    sentences = raw_sentences(x)
    if sentences is None:
        raise ValueError(
            "A batch must hold texts or a dict of prepared ids. "
            f"Received: {type(x).__name__} {shown(x)}"
        )
    return tf.ragged.constant(sentences, tf.string, ragged_rank=1)


def _values(x):
    """Targets or weights: a tensor, ragged where rows are lists."""
    if isinstance(x, Mapping):
        return {name: _values(value) for name, value in x.items()}
    if isinstance(x, tf.Tensor | tf.RaggedTensor):
        return x
    array = None if isinstance(x, list | tuple) else array_of(x)
    if array is not None and array.dtype.kind != "O":
        return tf.convert_to_tensor(array)
    rows = list(x)
    if rows and all(isinstance(row, list | tuple | np.ndarray) for row in rows):
        rows = [list(row) for row in rows]
        names = all(isinstance(v, str | bytes) for row in rows for v in row)
        return tf.ragged.constant(rows, tf.string if names else None, ragged_rank=1)
    try:
        return tf.convert_to_tensor(rows)
    except (TypeError, ValueError):
        raise ValueError(
            f"A batch must hold texts, names and numbers. Received: {shown(rows)}"
        ) from None


def _any_size(value):
    if isinstance(value, tf.RaggedTensor):
        return tf.RaggedTensorSpec([None, None], value.dtype, ragged_rank=1)
    return tf.TensorSpec([None] * value.shape.rank, value.dtype)
