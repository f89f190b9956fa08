"""Sparse cross-entropy in the form that is fastest in graph mode or under XLA.

Shapes: C classes; "..." any positions.
"""

from keras import ops


def cross_entropy(y_true, y_pred, *, one_pass):
    """Negative log-probability of the correct class, in nats.

    In graph mode one kernel computes loss and gradient together. XLA has no such kernel
    and differentiates the operations one by one; with `one_pass` the gradient is given
    explicitly and fuses into a single loop over the logits. With the matrix products of
    a vocabulary of 8192 that took 299 instead of 358 ms on a CPU.

    Args:
        y_true: (...) integers, 0 to C - 1.
        y_pred: (..., C) float32 logits.
        one_pass: Whether to use the form for XLA.

    Returns:
        (...) float32.
    """
    if not one_pass:
        return ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
    y_true = ops.expand_dims(ops.cast(y_true, "int32"), -1)

    def forward(logits):
        largest = ops.max(logits, axis=-1, keepdims=True)
        total = ops.sum(ops.exp(logits - largest), axis=-1, keepdims=True)
        log_total = ops.log(total) + largest
        right = ops.take_along_axis(logits, y_true, axis=-1)

        def gradient(*args, upstream=None):
            upstream = ops.expand_dims(args[0] if upstream is None else upstream, -1)
            classes = ops.arange(logits.shape[-1], dtype="int32")
            is_right = ops.cast(ops.equal(y_true, classes), logits.dtype)
            return (ops.exp(logits - log_total) - is_right) * upstream

        return ops.squeeze(log_total - right, -1), gradient

    return ops.custom_gradient(forward)(y_pred)


def is_right(y_true, y_pred):
    """1.0 where every other class has a smaller logit than the correct one, else 0.0.

    A model whose logits are all equal, or NaN, is therefore never right.

    Args:
        y_true: (...) integers.
        y_pred: (..., C) logits.

    Returns:
        (...) float32.
    """
    y_true = ops.expand_dims(ops.cast(y_true, "int32"), -1)
    right = ops.take_along_axis(y_pred, y_true, axis=-1)
    as_large = ops.sum(ops.cast(y_pred >= right, "int32"), axis=-1)
    return ops.cast(ops.equal(as_large, 1), "float32")
