"""How weights begin."""

import contextlib
import contextvars

import keras

_zeros = contextvars.ContextVar("zeros", default=False)


def truncated_normal(stddev=0.02):
    """Normal of this standard deviation, cut at two of them.

    Source: google-research/bert modeling.py `create_initializer`; the published models
    were trained from it.
    """
    if _zeros.get():
        return keras.initializers.Zeros()
    return keras.initializers.TruncatedNormal(stddev=stddev)


@contextlib.contextmanager
def left_at_zero():
    """Where `truncated_normal` gives zeros: for a model whose weights are read next.

    Random numbers are most of the time that it takes to build a large model.
    """
    token = _zeros.set(True)
    try:
        yield
    finally:
        _zeros.reset(token)


def at_random(variables):
    """Assigns kernels what they would begin with, had they not been left at zero."""
    for variable in variables:
        if variable.path.endswith("/kernel"):
            variable.assign(truncated_normal()(variable.shape, variable.dtype))
