"""Contrastive search: likely tokens that do not repeat the context.

Shapes: B rows, P length of the padded prompts, K columns of the cache, G candidates,
D hidden_dim, V vocabulary_size.
"""

import dataclasses
import typing

import tensorflow as tf

from tfzoo.generation.cache import COLUMNS, Cache, written
from tfzoo.generation.decoding import (
    Search,
    history_of_new_prompts,
    read,
    read_prompts,
    with_next_ids,
)
from tfzoo.generation.history import History
from tfzoo.generation.processors import PENALTIES, processed


class Contrast(typing.NamedTuple):
    """B sequences in progress.

    Attributes:
        history: A `History`.
        cache: A `Cache` of all its tokens, including the last.
        directions: float32 (B, K, D), the hidden states of the cached tokens, scaled to
            unit length.
        logits: float32 (B, V) of the next token.
        done: Boolean (B,).
    """

    history: History
    cache: Cache
    directions: tf.Tensor
    logits: tf.Tensor
    done: tf.Tensor


@dataclasses.dataclass(frozen=True)
class ContrastiveSearch(Search):
    """Selects, among the G most likely tokens, one that repeats the context least.

    It maximizes (1 - a) times the probability minus a times the largest cosine
    similarity to a previous token. The candidates are read together in one step, each
    attending to the context and itself, and one of them is kept.

    Args:
        num_candidates: G.

    Source: Su et al. 2022, section 3.2, https://arxiv.org/abs/2202.06417
    """

    num_candidates: int

    @property
    def rows_of_step(self):
        return (self.num_candidates,)

    def begin(self, decoders, prompts, lengths, limits, rules, memory=()):
        """Reads the prompts. Arguments as in `Sampling`."""
        (decoder,) = decoders
        hidden, cache = read_prompts(
            decoder, prompts, lengths, memory, every_position=True
        )
        logits = decoder.logits(tf.gather(hidden, lengths - 1, batch_dims=1))
        history = history_of_new_prompts(decoder, prompts, lengths, rules)
        return Contrast(
            history.with_finite(logits), cache, _direction(hidden), logits, limits < 1
        )

    def grow(self, state, num_columns):
        """As in `Search`; also grows the directions."""
        more = num_columns - state.cache.num_columns
        directions = tf.pad(state.directions, [[0, 0], [0, more], [0, 0]])
        return super().grow(state, num_columns)._replace(directions=directions)

    def advance(self, decoders, state, limits, rules, *, num_steps, jit_compile=False):
        """As in `Sampling`; `rules` has `penalty_alpha`, the float32 scalar a."""
        (decoder,), num_candidates = decoders, self.num_candidates
        itself = tf.eye(num_candidates, dtype=tf.bool)[None]

        def step(state):
            history, cache = state.history, state.cache
            logits = processed(state.logits, history, rules, PENALTIES)
            likely, ids = tf.math.top_k(tf.nn.softmax(logits), num_candidates)
            before = tf.repeat(cache.seen[:, None], num_candidates, axis=1)
            among = tf.repeat(itself, tf.shape(ids)[0], axis=0)
            hidden, new = read(
                decoder,
                cache,
                ids,
                tf.repeat(history.lengths[:, None], num_candidates, axis=1),
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
            logits = state.logits  # from which the candidates were taken
            state = state._replace(
                cache=cache,
                directions=tf.where(here, chosen(directions, 1), state.directions),
                logits=decoder.logits(chosen(hidden, 1)[:, 0]),
            )
            ids = chosen(ids, 1)[:, 0]
            return with_next_ids(state, logits, ids, limits, rules)

        return self.run(step, state, num_steps)


def _direction(hidden):
    """Scales vectors to unit length, in float32."""
    return tf.math.l2_normalize(tf.cast(hidden, tf.float32), axis=-1)
