"""Searches as one function of tensors, for a graph that runs without Python.

Shapes: B prompts, R rows (B times the search's `rows_per_prompt`), P length of the
padded prompts, E end tokens.
"""

import functools

import tensorflow as tf

from tfzoo.generation.cache import num_columns_for


def decode(
    search,
    decoder,
    prompts,
    lengths,
    limits,
    rules,
    *,
    max_new_tokens,
    memory=(),
    laid_out=None,
    jit_compile=False,
):
    """Prompts to what comes after them, one function of tensors of any sizes.

    It cannot be compiled by XLA as a whole, since the cache grows; but its parts can,
    once for each size of prompts and cache.

    Args:
        search: A `Search` of one decoder, see `decoding`.
        decoder: Likewise.
        prompts: int32 (B, P); a row holds `lengths` tokens and then padding.
        lengths: int32 (B,), at least 1.
        limits: int32 (B,) new tokens of each row, at most `max_new_tokens`; 0 for none.
            The context must hold a row's tokens and these.
        rules: See `next_ids`, for R rows; `end_ids`, int32 (E,), are the tokens that
            end a row.
        max_new_tokens: A number.
        memory: As of `Cache`, of B rows.
        laid_out: The decoder with kernels that were laid out for one row before; None
            lays them out here, at every call.
        jit_compile: Whether XLA compiles the parts.

    Returns:
        `Results` of R rows and `max_new_tokens` tokens.
    """
    compiled = functools.partial(
        tf.function, autograph=False, jit_compile=jit_compile or None
    )
    begin, advance = compiled(search.begin), compiled(search.advance)
    kernels_for = compiled(decoder.kernels_for)
    (rows_of_step,) = search.rows_of_step
    many_rows = decoder.many_rows
    # Where XLA compiles, sizes do not depend on what is asked for: there are few.
    most = max_new_tokens if jit_compile else tf.reduce_max(limits)
    # The last token is never read.
    last = tf.shape(prompts)[1] + most + search.columns_per_step - 2

    def decoded(inputs, rules, decoder):
        prompts, lengths, limits, memory = inputs
        state = begin([decoder], prompts, lengths, limits, rules, memory)

        def grow_and_advance(state):
            kept = search.num_kept(state)
            columns = tf.maximum(
                num_columns_for(kept, last), kept + search.columns_per_step
            )
            state = search.grow(state, tf.maximum(columns, state.cache.num_columns))
            return advance(
                [decoder],
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
            shape_invariants=(_shapes_of_any_width(search, state),),
        )
        return search.results(end, max_new_tokens)

    inputs, num_prompts = (prompts, lengths, limits, memory), tf.shape(prompts)[0]

    def one():
        few = laid_out or decoder
        if rows_of_step < many_rows and not laid_out:
            few = decoder.laid_out(kernels_for(rows_of_step))
        elif rows_of_step >= many_rows and jit_compile:
            few = decoder.laid_out(kernels_for(many_rows))
        of_rules = _with_rows(rules, search.rows_per_prompt)
        return decoded(_with_rows(inputs, 1), of_rules, few)

    def many():
        if not jit_compile:
            return decoded(inputs, rules, laid_out or decoder)
        return tf.cond(
            num_prompts * rows_of_step >= many_rows,
            lambda: decoded(inputs, rules, decoder.laid_out(kernels_for(many_rows))),
            lambda: decoded(inputs, rules, laid_out or decoder),
        )

    return tf.cond(num_prompts == 1, one, many)


def _with_rows(tensors, number):
    """The same, of which those with any number of rows have `number` in their shape.

    So the layers know while the graph is made that they multiply few rows. It is a
    slice, for `reshape` and `ensure_shape` say something of the tensor itself, which
    TensorFlow's optimizer then believes in the graph for many rows too.
    """

    def with_rows(tensor):
        if not tensor.shape.rank or tensor.shape[0] is not None:
            return tensor
        rest = tensor.shape.rank - 1
        return tf.slice(tensor, [0] * (rest + 1), [number] + [-1] * rest)

    return tf.nest.map_structure(with_rows, tensors)


def _shapes_of_any_width(search, state):
    """The shapes of a state whose cache grows to sizes that the graph does not know."""
    grow = tf.function(search.grow, autograph=False).get_concrete_function(
        tf.nest.map_structure(tf.TensorSpec.from_tensor, state),
        tf.TensorSpec([], tf.int32),
    )
    return tf.nest.map_structure(
        lambda x, grown: x.shape.most_specific_common_supertype([grown.shape]),
        state,
        grow.structured_outputs,
    )
