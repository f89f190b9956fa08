"""Dense layers for the few rows of a decoding step.

With few rows, nearly all the time goes into reading the kernel, and on a CPU the form
of the product decides how fast that is. Measured with XLA:

- A product with one row runs on one core. Split along K, row and kernel alike, it is a
  batch of products that run on as many cores, followed by a sum: at most half the time.
  TensorFlow without XLA gains too.
- Two or three rows are faster one after the other: the kernel is cached by then.
- From four rows on, multiplying with the transposed kernel on the left takes half the
  time: the underlying library copies the left factor in XLA's order, which is then the
  one with few rows.
- The bias is negated and subtracted: XLA would fuse an addition and the product into
  one loop.

Shapes: M rows, K width of the input, U units.
"""

import numpy as np
from keras import ops
from keras.backend import standardize_dtype

MOST_ONE_BY_ONE = 3  # rows
ROWS_FOR_TRANSPOSED_KERNELS = 4  # with fewer, transposing costs more than it saves
LEAST_WIDTH = 128  # of a part; below, Eigen does not read it in order


def few_rows(dense, x, kernels=None):
    """Computes `dense(x)` in the form that is fastest on a CPU for few rows.

    Args:
        dense: A built `keras.layers.Dense` without an activation.
        x: (..., K).
        kernels: The result of `step_kernels`; kernels it lacks are used as they are.

    Returns:
        (..., U).
    """
    (y,) = few_rows_of_several([dense], x, kernels)
    return y


def few_rows_of_several(layers, x, kernels=None):
    """Computes several such layers on the same `x`; returns a list.

    It is a single product if `kernels` holds the layers' kernels side by side.
    """
    *lead, width = ops.shape(x)
    rows = ops.reshape(x, (-1, width))  # (M, K)
    kernels = kernels or {}
    path = f"{layers[0].path}/kernel"
    if _transposed(path) in kernels:
        y = ops.matmul(kernels[_transposed(path)], ops.transpose(rows))
        bias = _negative_bias(layers)
        y = ops.transpose(y if bias is None else y - ops.expand_dims(bias, 1))
        outputs = _parted(y, layers)
    elif path in kernels:
        outputs = _parted(_shifted(product(rows, kernels[path]), layers), layers)
    else:
        outputs = [
            _shifted(
                product(rows, ops.cast(dense.kernel, dense.compute_dtype)), [dense]
            )
            for dense in layers
        ]
    return [
        ops.reshape(y, inferred((*lead, dense.units)))
        for dense, y in zip(layers, outputs, strict=True)
    ]


def _negative_bias(layers):
    """The negated biases, concatenated; None if no layer has one."""
    if not any(dense.use_bias for dense in layers):
        return None
    biases = [
        -ops.cast(dense.bias, dense.compute_dtype)
        if dense.use_bias
        else ops.zeros(dense.units, dense.compute_dtype)
        for dense in layers
    ]
    return biases[0] if len(biases) == 1 else ops.concatenate(biases)


def _shifted(y, layers):
    bias = _negative_bias(layers)
    return y if bias is None else y - bias


def _parted(y, layers):
    """Splits the columns of `y` by layer."""
    units = [dense.units for dense in layers]
    if len(set(units)) == 1:  # a count: one operation; ends take several
        return ops.split(y, len(layers), axis=-1) if len(layers) > 1 else [y]
    return ops.split(y, np.cumsum(units[:-1]).tolist(), axis=-1)


def product(rows, kernel):
    """(M, K) times (K, U); in parts and row by row if M is static and below 4.

    Half precision is multiplied in float32, for which CPUs have instructions.
    """
    dtype = standardize_dtype(kernel.dtype)
    if dtype != "float32":
        rows, kernel = ops.cast(rows, "float32"), in_float32(kernel, rows)
        return ops.cast(product(rows, kernel), dtype)
    width, units = kernel.shape
    num_parts = max(
        (n for n in range(2, width // LEAST_WIDTH + 1) if width % n == 0), default=1
    )
    if rows.shape[0] not in range(1, MOST_ONE_BY_ONE + 1) or num_parts == 1:
        return ops.matmul(rows, kernel)
    parts = ops.reshape(kernel, (num_parts, width // num_parts, units))
    sums = [
        ops.sum(ops.matmul(ops.reshape(row, (num_parts, 1, -1)), parts), axis=0)
        for row in ops.split(rows, rows.shape[0])
    ]
    return ops.concatenate(sums) if len(sums) > 1 else sums[0]


def in_float32(kernel, x):
    """The kernel in float32, converted only when `x` is known.

    A conversion that depends on nothing would be done for all kernels at once: in a
    graph before the first product, under XLA before the loop.
    """
    one = 1.0 + 0.0 * ops.max(x)
    return ops.cast(kernel * ops.cast(one, kernel.dtype), "float32")


def inferred(shape):
    """The shape for `reshape`: -1 in place of a dynamic size, if there is only one.

    This saves the operations that compute the size in a graph with dynamic shapes,
    which a decoding step would run hundreds of times.
    """
    tensors = [i for i, size in enumerate(shape) if not isinstance(size, int)]
    if len(tensors) != 1:
        return shape
    return tuple(-1 if i == tensors[0] else size for i, size in enumerate(shape))


def step_kernels(layers, transposed):
    """A dict of the kernels in the layout fastest for `few_rows_of_several`.

    Args:
        layers: Built `Dense` layers with the same input.
        transposed: True for four or more rows. For fewer, the dict only holds the
            concatenated kernels of several layers: a single one is used as it is,
            unless it has an adapter (LoRA), whose product is computed only once then.
    """
    path = f"{layers[0].path}/kernel"
    kernels = [ops.cast(dense.kernel, dense.compute_dtype) for dense in layers]
    if transposed:
        joined = ops.concatenate(kernels, axis=-1)
        return {_transposed(path): ops.transpose(joined)}  # (U, K)
    if len(layers) > 1 or layers[0].lora_enabled:
        return {path: ops.concatenate(kernels, axis=-1)}  # (K, U)
    return {}


def _transposed(path):
    return f"{path} transposed"
