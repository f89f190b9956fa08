"""Searches as a single function of tensors, for graphs that run without Python.

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
    jit_compile=False,
):
    """Generates text from prompts, in one function of tensors of any size.

    XLA cannot compile it as a whole, since the cache grows; but it can compile its
    parts, once per size of prompts and cache.

    Args:
        search: A `Search` with one decoder, see `decoding`.
        decoder: The decoder, see `decoding`. Its kernels should already be laid out for
            one row, since otherwise every call copies them.
        prompts: int32 (B, P); a row has `lengths` tokens, followed by padding.
        lengths: int32 (B,), at least 1.
        limits: int32 (B,), maximum number of new tokens in each row, at most
            `max_new_tokens`; 0 for none. Prompt and new tokens must fit the context.
        rules: See `next_ids`, for R rows; `end_ids`, int32 (E,), are the tokens that
            end a row.
        max_new_tokens: Integer, the width of the result.
        memory: As in `Cache`, with B rows.
        jit_compile: Whether to compile the parts with XLA.

    Returns:
        `Results` with R rows and `max_new_tokens` tokens.
    """
    compiled = functools.partial(
        tf.function, autograph=False, jit_compile=jit_compile or None
    )
    begin, advance = compiled(search.begin), compiled(search.advance)
    # With XLA, sizes do not depend on the requested lengths, so that there are few.
    most = max_new_tokens if jit_compile else tf.reduce_max(limits)
    last = search.most_columns(tf.shape(prompts)[1], most)

    def decoded(inputs, rules):
        prompts, lengths, limits, memory = inputs
        state = begin([decoder], prompts, lengths, limits, rules, memory)

        def grow_and_advance(state):
            kept = search.num_kept(state)
            columns = num_columns_for(kept, last, search.columns_per_step)
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
        return decoded(_with_rows(inputs, 1), _with_rows(rules, search.rows_per_prompt))

    return tf.cond(num_prompts == 1, one, lambda: decoded(inputs, rules))


def _with_rows(tensors, number):
    """The same tensors, with `number` as static size of a dynamic first axis.

    So the layers know at tracing time that they multiply few rows. It is a slice:
    `reshape` and `ensure_shape` make a statement about the tensor itself, which
    TensorFlow's optimizer would then also apply in the branch for many rows.
    """

    def with_rows(tensor):
        if not tensor.shape.rank or tensor.shape[0] is not None:
            return tensor
        rest = tensor.shape.rank - 1
        return tf.slice(tensor, [0] * (rest + 1), [number] + [-1] * rest)

    return tf.nest.map_structure(with_rows, tensors)


def _shapes_of_any_width(search, state):
    """The shapes of a state whose cache grows to sizes unknown at tracing time."""
    grow = tf.function(search.grow, autograph=False).get_concrete_function(
        tf.nest.map_structure(tf.TensorSpec.from_tensor, state),
        tf.TensorSpec([], tf.int32),
    )
    return tf.nest.map_structure(
        lambda x, grown: x.shape.most_specific_common_supertype([grown.shape]),
        state,
        grow.structured_outputs,
    )
