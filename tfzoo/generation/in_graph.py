"""Decoding as one function of tensors, for a graph that runs without Python.

Shapes: B rows, P length of the padded prompts, E end tokens.
"""

import functools

import tensorflow as tf

from tfzoo.generation.cache import COLUMNS, num_columns_for
from tfzoo.generation.decoding import advance, begin, grow, new_tokens


def decode(
    decoder,
    prompts,
    lengths,
    limits,
    rules,
    *,
    max_new_tokens,
    laid_out=None,
    jit_compile=False,
):
    """Prompts to what comes after them, one function of tensors of any sizes.

    It cannot be compiled by XLA as a whole, since the cache grows; but its parts can,
    once for each size of prompts and cache.

    Args:
        decoder: See `decoding`.
        prompts: int32 (B, P); a row holds `lengths` tokens and then padding.
        lengths: int32 (B,), at least 1.
        limits: int32 (B,) new tokens of each row, at most `max_new_tokens`; 0 for none.
            The context must hold a row's tokens and these.
        rules: See `next_ids`; `end_ids`, int32 (E,), are the tokens that end a row.
        max_new_tokens: A number.
        laid_out: The decoder with kernels that were laid out for one row before; None
            lays them out here, at every call.
        jit_compile: Whether XLA compiles the parts.

    Returns:
        Tokens int32 (B, max_new_tokens), the end token included, and their numbers
        int32 (B,). What follows the last token of a row is 0.
    """
    compiled = functools.partial(
        tf.function, autograph=False, jit_compile=jit_compile or None
    )
    compiled_begin, compiled_advance = compiled(begin), compiled(advance)
    kernels_for = compiled(decoder.kernels_for)

    def laid_out_for(rows):
        return decoder.laid_out(kernels_for(rows))

    # Where XLA compiles, sizes do not depend on what is asked for: there are few.
    most = max_new_tokens if jit_compile else tf.reduce_max(limits)
    last = tf.shape(prompts)[1] + most - 1  # the last token is never read

    def decoded(rows, decoder):
        prompts, lengths, limits, rules = rows
        state = compiled_begin(decoder, prompts, lengths, limits, rules)

        def grow_and_advance(state):
            columns = state.cache.num_columns
            state = grow(state, num_columns_for(columns, last))
            return compiled_advance(
                decoder,
                state,
                limits,
                rules,
                num_steps=state.cache.num_columns,
                jit_compile=jit_compile,
            )

        (end,) = tf.while_loop(
            lambda state: ~tf.reduce_all(state.done),
            lambda state: (grow_and_advance(state),),
            (state,),
            shape_invariants=(_of_any_width(state),),
        )
        return new_tokens(end.history, max_new_tokens)

    rows, num_rows = (prompts, lengths, limits, rules), tf.shape(prompts)[0]

    def one():
        return decoded(_as_one_row(rows), laid_out or laid_out_for(1))

    def many():
        if not jit_compile:
            return decoded(rows, laid_out or decoder)
        return tf.cond(
            num_rows >= decoder.many_rows,
            lambda: decoded(rows, laid_out_for(decoder.many_rows)),
            lambda: decoded(rows, laid_out or decoder),
        )

    return tf.cond(num_rows == 1, one, many)


def _as_one_row(tensors):
    """The same, of which those with any number of rows have one in their shape.

    So the layers know while the graph is made that they multiply one row. It is no
    `ensure_shape`, with which TensorFlow's optimizer puts the shapes of one row into
    the graph for many.
    """

    def as_one(tensor):
        if not tensor.shape.rank or tensor.shape[0] is not None:
            return tensor
        return tf.reshape(tensor, [1, *tf.unstack(tf.shape(tensor))[1:]])

    return tf.nest.map_structure(as_one, tensors)


def _of_any_width(state):
    """The shapes of a `State` whose columns and places for tokens may be more."""
    rows = state.done.shape[0]

    def wide(array):
        shape = array.shape.as_list()
        shape[COLUMNS] = None
        return tf.TensorShape(shape)

    shapes = tf.nest.map_structure(lambda tensor: tensor.shape, state)
    return shapes._replace(
        history=shapes.history._replace(tokens=tf.TensorShape([rows, None])),
        cache=shapes.cache._replace(
            state=tf.nest.map_structure(wide, state.cache.state),
            seen=tf.TensorShape([rows, None]),
        ),
    )
