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
    """Whether `x` yields batches: a `PyDataset` or a generator."""
    return isinstance(x, Iterator | keras.utils.PyDataset)


def array_batches(parts, plan):
    """Batches of arrays of N rows.

    Args:
        parts: [inputs], [inputs, targets] or [inputs, targets, weights], nests of
            arrays.
        plan: The `Plan` of one epoch. The last batch may be smaller. With `shuffle`,
            every iteration has a different order.
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
    """Converts a generator or `PyDataset` to a dataset, with texts as strings (B,).

    Args:
        x: Yields inputs, (inputs,), (inputs, targets) or (inputs, targets, weights).
            Inputs are prepared ids or raw text in any container; a table may contain
            the targets. All batches must have the components, types and numbers of axes
            of the first.
        task: The `Task`; its `refusals` store the errors of batches.
        learns: Whether targets are needed; if not, only inputs are kept.
        each: Number of batches to take from a generator per iteration; None for all
            that are left.
        shuffle: Whether the order of the batches of a `PyDataset` changes.
        seed: Seed of the orders.

    Raises:
        ValueError: there is no batch, or a batch is invalid or unlike the first.
    """
    passes = passes_of(x, shuffle, seed)
    first = first_batch(x)
    if first is None:
        raise ValueError("There must be at least one batch. Received: none")
    found = tensors_of(first, 0, task, learns=learns)
    spec = tf.nest.map_structure(any_size, found)
    count = tf.data.UNKNOWN_CARDINALITY
    if isinstance(x, keras.utils.PyDataset):
        count = x.num_batches
        count = tf.data.INFINITE_CARDINALITY if count is None else count
    else:
        rest = itertools.chain([first], x)
        passes = lambda: rest  # noqa: E731  (a generator is read once)

    reads_once = isinstance(x, Iterator)
    total = 0  # number of batches read

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
                    "A generator is read only once and must yield the batches of all "
                    "epochs. Pass a PyDataset, a tf.data.Dataset, or steps_per_epoch "
                    f"and enough batches. Received: {total} batches in all"
                )
        except Exception as e:
            task.refusals.keep(e)
            raise

    dataset = tf.data.Dataset.from_generator(generate, output_signature=spec)
    if count != tf.data.UNKNOWN_CARDINALITY:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
    return dataset.prefetch(2)


def first_batch(x):
    """The first batch, or None if there is none; it is removed from a generator.

    A `PyDataset` is asked before its first `on_epoch_begin`, as by Keras.
    """
    if isinstance(x, Iterator):
        return next(x, None)
    return None if x.num_batches == 0 else x[0]


def passes_of(x, shuffle, seed):
    """A function that returns an iterator over the batches at each call."""
    if isinstance(x, Iterator):
        return lambda: x
    if x.use_multiprocessing:
        raise ValueError(
            "A PyDataset must use threads. Received: use_multiprocessing=True; use "
            "only workers, or a tf.data.Dataset"
        )
    epochs = itertools.count()

    def once():
        order = itertools.count()
        if x.num_batches is not None:
            order = range(x.num_batches)
            if shuffle:
                random = np.random.default_rng([seed, next(epochs)])
                order = random.permutation(x.num_batches).tolist()
        x.on_epoch_begin()
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
            # Never wait: a generator that is not read to its end is closed by Python's
            # garbage collector, possibly while another thread is being started.
            pool.shutdown(wait=False, cancel_futures=True)
        x.on_epoch_end()

    return once
