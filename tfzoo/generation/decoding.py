"""Greedy decoding and sampling, with a cache that grows in blocks.

The loop has three parts, `begin`, `grow` and `advance`, which callers compile one by
one: from Python `compiled`, in a graph `in_graph`.

A decoder is any object with the methods `state`, `step` and `logits` of
`tfzoo.models.Decoder`, and its `vocabulary_size` and `max_sequence_length`.

Shapes: B prompts, R rows (B times `copies`), P length of the padded prompts, D
hidden_dim, K columns of the cache, V vocabulary_size.
"""

import typing

import tensorflow as tf

from tfzoo.generation.cache import (
    Cache,
    grown,
    of_rows,
    size,
    written,
)
from tfzoo.generation.choosing import next_ids
from tfzoo.generation.history import History, appended, history_of_prompts
from tfzoo.generation.processors import COUNTING


class State(typing.NamedTuple):
    """R sequences on their way.

    Attributes:
        history: A `History`, whose last token each row has still to read.
        cache: A `Cache` of the tokens before it.
        done: Boolean (R,).
    """

    history: History
    cache: Cache
    done: tf.Tensor


def begin(decoder, prompts, lengths, limits, rules, *, copies=1):
    """Reads the prompts and chooses the first token of each row.

    Args:
        decoder: See above.
        prompts: int32 (B, P).
        lengths: int32 (B,), at least 1.
        limits: int32 (R,), 0 for rows that are done before they begin.
        rules: See `next_ids`, for R rows; `end_ids`, int32 (E,), are the tokens that
            end a row.
        copies: Number of rows that continue each prompt; they stand together.
    """
    last_hidden, cache = read_prompts(decoder, prompts, lengths)
    logits = decoder.logits(last_hidden)
    if copies > 1:
        rows = tf.repeat(tf.range(tf.shape(prompts)[0]), copies)
        cache = of_rows(cache, rows)
        logits, prompts, lengths = (
            tf.gather(x, rows) for x in (logits, prompts, lengths)
        )
    counted = decoder.vocabulary_size if COUNTING & {*rules} else None
    prompts = tf.pad(prompts, [[0, 0], [0, 1]])  # room for the first token
    history = history_of_prompts(prompts, lengths, counted).with_finite(logits)
    state = State(history, cache, limits < 1)
    chosen = next_ids(logits, history, rules)
    return with_next_ids(state, logits, chosen, limits, rules)


def read_prompts(decoder, prompts, lengths, *, every_position=False):
    """The last hidden state (B, D) of each prompt, and the `Cache` of all of it.

    With `every_position`, all its hidden states (B, P, D) instead.
    """
    rows, width = tf.shape(prompts)[0], size(prompts, 1)
    positions = tf.range(width)
    real = tf.sequence_mask(lengths, width)
    earlier = positions[:, None] >= positions
    hidden, state = decoder.step(
        prompts,
        tf.tile(positions[None], [rows, 1]),
        decoder.state(rows),
        (earlier & real[:, None])[:, None],
    )
    if not every_position:
        hidden = tf.gather(hidden, lengths - 1, batch_dims=1)
    return hidden, Cache(state, real, tf.convert_to_tensor(width))


def with_next_ids(state, logits, ids, limits, rules):
    """The state after one more token in each row that is not done.

    Args:
        state: A `State`, or another with its attributes `history` and `done`.
        logits: float32 (R, V), of which only those chosen are looked at: where one is
            NaN, at positions that were not read before, all are.
        ids: int32 (R,), the tokens chosen.
        limits: int32 (R,) new tokens of each row.
        rules: As of `begin`.
    """
    alive = ~state.done
    history = appended(state.history, ids, alive)
    finite = tf.math.is_finite(tf.gather(logits, ids, batch_dims=1))
    history = history._replace(finite=history.finite & (finite | state.done))
    ended = tf.reduce_any(ids[:, None] == rules["end_ids"], axis=1)
    ended |= history.num_new >= limits
    return state._replace(history=history, done=state.done | (alive & ended))


def grow(state, num_columns):
    """The state with room for `num_columns` columns and as many tokens and one more.

    Args:
        state: A `State`, or another with its attributes `history` and `cache`.
        num_columns: Not fewer than it has.
    """
    tokens = state.history.tokens
    more = num_columns + 1 - size(tokens, 1)
    return state._replace(
        history=state.history._replace(tokens=tf.pad(tokens, [[0, 0], [0, more]])),
        cache=grown(state.cache, num_columns),
    )


def advance(
    decoder,
    state,
    limits,
    rules,
    *,
    num_steps,
    jit_compile=False,
):
    """Goes on until all rows are done, the cache is full or steps are used up.

    Args:
        decoder: See above.
        state: Of `begin` or `grow`.
        limits: int32 (R,) new tokens of each row.
        rules: As of `begin`.
        num_steps: int32 scalar, a tensor.
        jit_compile: Whether the call is compiled by XLA.
    """

    def goes_on(step, state):
        room = state.cache.filled < state.cache.num_columns
        return (step < num_steps) & room & ~tf.reduce_all(state.done)

    def one_step(step, state):
        logits, new = read_last(decoder, state)
        chosen = next_ids(logits, state.history, rules)
        cache = written(
            state.cache,
            new,
            ~state.done[:, None],
            after=chosen,
            jit_compile=jit_compile,
        )
        state = state._replace(cache=cache)
        return step + 1, with_next_ids(state, logits, chosen, limits, rules)

    _, state = tf.while_loop(goes_on, one_step, (tf.constant(0), state))
    return state


def read_last(decoder, state):
    """Logits (R, V) after the last token of each row, and the decoder's state of it.

    Args:
        decoder: See above.
        state: A `State`, or another with its attributes `history` and `cache`.
    """
    history, cache = state.history, state.cache
    ids = tf.gather(history.tokens, history.lengths - 1, batch_dims=1)
    itself = tf.ones_like(ids, tf.bool)[:, None]
    hidden, new = decoder.step(
        ids[:, None],
        history.lengths[:, None] - 1,
        cache.state,
        tf.concat([cache.seen, itself], axis=1)[:, None, None],
    )
    return decoder.logits(hidden[:, 0]), new


def new_tokens(history, width):
    """The tokens after the prompts, int32 (R, width), 0 after the last; their number.

    Args:
        history: A `History`.
        width: At least as many as there are in any row.
    """
    places = history.prompt_lengths[:, None] + tf.range(width)
    tokens = tf.gather(
        history.tokens,
        tf.minimum(places, tf.shape(history.tokens)[1] - 1),
        batch_dims=1,
    )
    real = tf.sequence_mask(history.num_new, width)
    return tf.where(real, tokens, 0), history.num_new
