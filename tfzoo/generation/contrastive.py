"""Contrastive search: likely tokens that do not repeat what was said.

Shapes: B rows, P length of the padded prompts, K columns of the cache, G candidates, D
hidden_dim, V vocabulary_size.
"""

import typing

import tensorflow as tf

from tfzoo.generation.cache import COLUMNS, Cache, written
from tfzoo.generation.decoding import grow as grow_decoding
from tfzoo.generation.decoding import read_prompts, with_next_ids
from tfzoo.generation.history import History, history_of_prompts
from tfzoo.generation.processors import COUNTING, PENALTIES, processed


class Contrast(typing.NamedTuple):
    """B sequences on their way.

    Attributes:
        history: A `History`.
        cache: A `Cache` of all its tokens, the last one too.
        directions: float32 (B, K, D): the hidden states behind the cache, of length 1.
        logits: float32 (B, V) of the next token.
        done: Boolean (B,).
    """

    history: History
    cache: Cache
    directions: tf.Tensor
    logits: tf.Tensor
    done: tf.Tensor


def begin(decoder, prompts, lengths, limits, rules):
    """Reads the prompts. Arguments as of `decoding.begin`."""
    hidden, cache = read_prompts(decoder, prompts, lengths, every_position=True)
    last = tf.gather(hidden, lengths - 1, batch_dims=1)
    counted = decoder.vocabulary_size if COUNTING & {*rules} else None
    prompts = tf.pad(prompts, [[0, 0], [0, 1]])
    logits = decoder.logits(last)
    return Contrast(
        history_of_prompts(prompts, lengths, counted).with_finite(logits),
        cache,
        _direction(hidden),
        logits,
        limits < 1,
    )


def grow(state, num_columns):
    """The state with room for `num_columns` columns and as many tokens and one more."""
    more = num_columns - state.cache.num_columns
    directions = tf.pad(state.directions, [[0, 0], [0, more], [0, 0]])
    return grow_decoding(state, num_columns)._replace(directions=directions)


def advance(
    decoder,
    state,
    limits,
    rules,
    *,
    num_steps,
    num_candidates,
    jit_compile=False,
):
    """Goes on until all rows are done, the cache is full or steps are used up.

    Of the G likeliest tokens the one comes whose probability times 1 - a, less a times
    its largest cosine to a token before it, is largest. The candidates are read side by
    side in one step, each seeing what came before and itself, and one of them is kept.

    Args:
        decoder: See `tfzoo.generation.decoding`.
        state: Of `begin` or `grow`.
        limits: int32 (B,) new tokens.
        rules: As of `decode`, and `penalty_alpha`, a float32 scalar a.
        num_steps: int32 scalar.
        num_candidates: G.
        jit_compile: Whether the call is compiled by XLA.

    Source: Su et al. 2022, section 3.2, https://arxiv.org/abs/2202.06417
    """
    itself = tf.eye(num_candidates, dtype=tf.bool)[None]

    def goes_on(step, state):
        room = state.cache.filled < state.cache.num_columns
        return (step < num_steps) & room & ~tf.reduce_all(state.done)

    def one_step(step, state):
        history, cache = state.history, state.cache
        logits = processed(state.logits, history, rules, PENALTIES)
        likely, ids = tf.math.top_k(tf.nn.softmax(logits), num_candidates)
        before = tf.repeat(cache.seen[:, None], num_candidates, axis=1)
        among = tf.repeat(itself, tf.shape(ids)[0], axis=0)
        hidden, new = decoder.step(
            ids,
            tf.repeat(history.lengths[:, None], num_candidates, axis=1),
            cache.state,
            tf.concat([before, among], axis=2)[:, None],
        )
        directions = _direction(hidden)  # (B, G, D)
        cosines = tf.einsum("bgd,bkd->bgk", directions, state.directions)
        cosines = tf.where(cache.seen[:, None], cosines, -1.0)
        alpha = rules["penalty_alpha"]
        value = (1 - alpha) * likely - alpha * tf.reduce_max(cosines, axis=2)
        best = tf.argmax(value, axis=1, output_type=tf.int32)  # (B,)

        def chosen(x, axis):
            return tf.gather(x, best[:, None], axis=axis, batch_dims=1)

        filled = cache.filled
        cache = written(
            cache,
            tf.nest.map_structure(lambda x: chosen(x, COLUMNS), new),
            ~state.done[:, None],
            after=best,
            jit_compile=jit_compile,
        )
        here = (tf.range(cache.num_columns) == filled)[None, :, None]
        logits = state.logits  # those that the candidates come from
        state = state._replace(
            cache=cache,
            directions=tf.where(here, chosen(directions, 1), state.directions),
            logits=decoder.logits(chosen(hidden, 1)[:, 0]),
        )
        ids = chosen(ids, 1)[:, 0]
        return step + 1, with_next_ids(state, logits, ids, limits, rules)

    return tf.while_loop(goes_on, one_step, (tf.constant(0), state))[1]


def _direction(hidden):
    """Vectors of length 1, float32."""
    return tf.math.l2_normalize(tf.cast(hidden, tf.float32), axis=-1)
