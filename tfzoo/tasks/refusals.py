"""What is wrong inside `tf.data` and Keras's loops, told as it was raised."""

import contextlib
import warnings

import tensorflow as tf


class Refusals:
    """Python inside `tf.data`, whose errors come out as they were raised.

    TensorFlow would wrap a function's error in one of its own, of many lines.
    """

    def __init__(self):
        self._first = None

    def call(self, check, number, tensors, specs):
        """What a function of NumPy arrays returns for a batch, as tensors.

        Args:
            check: Takes the arrays of `tensors`, returns a list of those of `specs`.
            number: That of the batch, a scalar tensor, which a `ValueError` is told by.
            tensors: List of tensors; a ragged one arrives as a list of rows.
            specs: List of `tf.TensorSpec`.
        """
        ragged = [isinstance(tensor, tf.RaggedTensor) for tensor in tensors]

        def guarded(number, *arrays):
            arrays = iter(arrays)
            parts = [
                _rows(next(arrays), next(arrays)) if is_ragged else next(arrays)
                for is_ragged in ragged
            ]
            try:
                with of_batch(number):
                    return check(*parts)
            except Exception as e:
                self.keep(e)
                raise

        parts = [
            part
            for tensor, is_ragged in zip(tensors, ragged, strict=True)
            for part in (
                (tensor.flat_values, tensor.row_splits) if is_ragged else (tensor,)
            )
        ]
        kinds = [spec.dtype for spec in specs]
        found = tf.numpy_function(guarded, [number, *parts], kinds)
        for tensor, spec in zip(found, specs, strict=True):
            tensor.set_shape(spec.shape)
        return found

    def keep(self, error):
        """Remembers the first error, for `told`."""
        self._first = self._first or error

    @contextlib.contextmanager
    def told(self):
        """Raises what a check raised in place of what TensorFlow made of it."""
        self._first = None
        try:
            yield
        except tf.errors.OpError:
            if self._first is None:
                raise
            raise self._first from None


@contextlib.contextmanager
def of_batch(number):
    """Adds the number of a batch to a `ValueError` that is raised of it."""
    try:
        yield
    except ValueError as e:
        raise ValueError(f"{e}, batch {number}") from None


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


def _rows(values, splits):
    bounds = zip(splits[:-1], splits[1:], strict=True)
    return [values[start:stop] for start, stop in bounds]
