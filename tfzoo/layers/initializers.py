"""Weight initializers."""

import contextlib
import contextvars

import keras

_zeros = contextvars.ContextVar("zeros", default=False)


def truncated_normal(stddev=0.02):
    """Normal distribution truncated at two standard deviations.

    Source: google-research/bert modeling.py `create_initializer`, with which the
    published models were trained.
    """
    if _zeros.get():
        return keras.initializers.Zeros()
    return keras.initializers.TruncatedNormal(stddev=stddev)


@contextlib.contextmanager
def left_at_zero():
    """Makes `truncated_normal` return zeros, for a model whose weights are read next.

    Drawing random numbers is most of the time it takes to build a large model.
    """
    token = _zeros.set(True)
    try:
        yield
    finally:
        _zeros.reset(token)


def at_random(variables):
    """Randomly initializes the kernels that `left_at_zero` left at zero."""
    for variable in variables:
        if variable.path.endswith("/kernel"):
            variable.assign(truncated_normal()(variable.shape, variable.dtype))
