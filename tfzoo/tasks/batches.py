"""Arrays, generators and `PyDataset`s of batches -> `tf.data`.

Shapes: N examples, B batch.
"""

import collections
import concurrent.futures
import itertools
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from tfzoo.tasks.batch_tensors import any_size, like_first, tensors_of


def is_batches(x):
    """Whether `x` gives batches, one by one: a `PyDataset` or a generator."""
    return isinstance(x, Iterator | keras.utils.PyDataset)


def array_batches(parts, plan):
    """Batches of arrays of N rows.

    Args:
        parts: [inputs], [inputs, targets] or [inputs, targets, weights], nests of
            arrays.
        plan: The `Plan` of one epoch. The last batch may be smaller; where it shuffles,
            every iteration has an order of its own.
    """
    count = len(tf.nest.flatten(parts)[0])
    if not count:
        raise ValueError("There must be at least one example. Received: none")
    dataset = tf.data.Dataset.from_tensor_slices(
        tuple(parts) if len(parts) > 1 else parts[0]
    )
    if plan.shuffle:
        dataset = dataset.shuffle(count, seed=plan.seed)
    return dataset.batch(plan.batch_size).prefetch(2)


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
    found = tensors_of(first, 0, task, learns=learns)
    spec = tf.nest.map_structure(any_size, found)
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
                tensors = tensors_of(batch, total, task, learns=learns)
                yield like_first(tensors, spec, total)
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
