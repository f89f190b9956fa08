"""Errors inside `tf.data` and Keras's loops, reported as they were raised."""

import contextlib
import warnings

import tensorflow as tf


class Refusals:
    """Runs Python inside `tf.data` and reports its errors as they were raised.

    TensorFlow would wrap them in errors of its own, many lines long.
    """

    def __init__(self):
        self._first = None

    def call(self, check, number, tensors, specs):
        """Applies a function of NumPy arrays to a batch.

        Args:
            check: Takes the arrays of `tensors`, returns the list of those of `specs`.
            number: Batch number, a scalar tensor, added to every `ValueError`.
            tensors: List of tensors; a ragged one is passed as a list of rows.
            specs: List of `tf.TensorSpec`.

        Returns:
            List of tensors.
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
        """Stores the first error, for `told`."""
        self._first = self._first or error

    @contextlib.contextmanager
    def told(self):
        """Context manager that raises the stored error in place of TensorFlow's."""
        self._first = None
        try:
            yield
        except tf.errors.OpError:
            if self._first is None:
                raise
            raise self._first from None


@contextlib.contextmanager
def of_batch(number):
    """Context manager that adds the batch number to a `ValueError`."""
    try:
        yield
    except ValueError as e:
        raise ValueError(f"{e}, batch {number}") from None


@contextlib.contextmanager
def to_the_end(steps):
    """Context manager that silences Keras's warning when the batches end by themselves.

    Args:
        steps: Number of batches that the user asked for, or None.
    """
    with warnings.catch_warnings():
        if steps is None:
            warnings.filterwarnings("ignore", "Your input ran out of data")
        yield


def _rows(values, splits):
    bounds = zip(splits[:-1], splits[1:], strict=True)
    return [values[start:stop] for start, stop in bounds]
