"""Linear maps of the few rows that a step of decoding has.

Shapes: M rows, K width of the input, U units.
"""

from keras import ops


def few_rows(dense, x, transposed_kernels=None):
    """What `dense` computes, in the form that XLA runs fastest on a CPU for few rows.

    Reading the kernel is all the work then, and three things decide the time. Products
    of rank 2 use all cores. So do those whose bias is subtracted: XLA merges a product
    with an addition into one loop on one core. From four rows on, a product with the
    transposed kernel on the left takes half the time, as the library that computes it
    copies the left factor of XLA's order, here that of the few rows.

    Args:
        dense: A built `keras.layers.Dense` with a bias and without an activation.
        x: (..., K).
        transposed_kernels: Dict of the variable's path to its transpose (U, K), in the
            compute dtype. Others are taken as they are.

    Returns:
        (..., U).
    """
    (y,) = few_rows_of_several([dense], x, transposed_kernels)
    return y


def few_rows_of_several(layers, x, transposed_kernels=None):
    """What each of several such layers computes of the same `x`: a list.

    Where their kernels were transposed together it is one product.
    """
    *lead, width = ops.shape(x)
    rows = ops.reshape(x, (-1, width))  # (M, K)
    transposed = (transposed_kernels or {}).get(layers[0].kernel.path)
    biases = [-ops.cast(dense.bias, dense.compute_dtype) for dense in layers]
    if transposed is None:
        outputs = [
            ops.matmul(rows, ops.cast(dense.kernel, dense.compute_dtype)) - bias
            for dense, bias in zip(layers, biases, strict=True)
        ]
    else:
        y = ops.matmul(transposed, ops.transpose(rows))
        y = ops.transpose(y - ops.expand_dims(ops.concatenate(biases), 1))
        outputs = ops.split(y, len(layers), axis=-1) if len(layers) > 1 else [y]
    return [
        ops.reshape(y, inferred((*lead, dense.units)))
        for dense, y in zip(layers, outputs, strict=True)
    ]


def inferred(shape):
    """The shape for `reshape`: -1 for a size that is a tensor, if it is the only one.

    In a graph of any sizes that spares the operations that compute it, which a step of
    decoding would run hundreds of times.
    """
    tensors = [i for i, size in enumerate(shape) if not isinstance(size, int)]
    if len(tensors) != 1:
        return shape
    return tuple(-1 if i == tensors[0] else size for i, size in enumerate(shape))


def transposed_kernel(*layers):
    """`{path: (U, K)}`, an entry of what `few_rows` takes.

    Of several `Dense` of as many units it holds the kernels one below the other, under
    the path of the first.
    """
    kernels = [ops.cast(dense.kernel, dense.compute_dtype) for dense in layers]
    return {layers[0].kernel.path: ops.transpose(ops.concatenate(kernels, axis=-1))}
