"""Greedy decoding and sampling, with a cache that grows in blocks.

A search has three parts, `begin`, `grow` and `advance`, and `results` to read its end
state. Callers compile them one by one: `compiled` from Python, `in_graph` in a graph.
`Sampling` is the plainest search; `beam_search`, `contrastive` and `speculative` have
the others.

A decoder is any object with the methods `state`, `step` and `logits` of
`tfzoo.models.Decoder`, and its `vocabulary_size` and `max_sequence_length`.

Shapes: B prompts, R rows (B times `rows_per_prompt`), P length of the padded prompts, D
hidden_dim, K columns of the cache, V vocabulary_size.
"""

import dataclasses
import typing

import tensorflow as tf

from tfzoo.generation.cache import Cache, grown, repeated, size, written
from tfzoo.generation.choosing import next_ids
from tfzoo.generation.history import History, appended, history_of_prompts
from tfzoo.generation.processors import COUNTING


class State(typing.NamedTuple):
    """R sequences in progress.

    Attributes:
        history: A `History`, whose last token each row has still to read.
        cache: A `Cache` of the tokens before it.
        done: Boolean (R,).
    """

    history: History
    cache: Cache
    done: tf.Tensor


class Results(typing.NamedTuple):
    """What came after the prompts; the rows of a prompt stand together.

    Attributes:
        tokens: int32 (R, N), end tokens included; 0 after a row's last token.
        counts: int32 (R,) tokens of each row.
        scores: float32 (R,), of beams; None of other searches.
    """

    tokens: tf.Tensor
    counts: tf.Tensor
    scores: tf.Tensor | None


class Search:
    """Base of the searches: what most of them have in common.

    A search is immutable and holds the options that decide which operations run;
    options that are tensors are `rules`.

    Attributes:
        rows_per_prompt: Sequences in progress for each prompt.
        columns_per_step: Columns of the cache that one step needs at most.
        rows_of_step: For each decoder, the rows of a prompt that a step multiplies.
    """

    columns_per_step = 1

    @property
    def rows_of_step(self):
        return (self.rows_per_prompt,)

    def grow(self, state, num_columns):
        """The state with room for `num_columns` columns, as many tokens and one more.

        Args:
            state: Has `history` and `cache`.
            num_columns: Not fewer than it has.
        """
        tokens = state.history.tokens
        more = num_columns + 1 - size(tokens, 1)
        return state._replace(
            history=state.history._replace(tokens=tf.pad(tokens, [[0, 0], [0, more]])),
            cache=grown(state.cache, num_columns),
        )

    def num_kept(self, state):
        """Columns that `grow` keeps: all, unless it drops those that no row sees."""
        return state.cache.num_columns

    def has_room(self, state):
        """Whether the cache has room for one more step; a boolean scalar."""
        cache = state.cache
        return cache.filled + self.columns_per_step <= cache.num_columns

    def run(self, step, state, num_steps):
        """Steps until all rows are done, the cache is full or steps are used up."""

        def goes_on(number, state):
            open_rows = ~tf.reduce_all(state.done)
            return (number < num_steps) & self.has_room(state) & open_rows

        def one_step(number, state):
            return number + 1, step(state)

        return tf.while_loop(goes_on, one_step, (tf.constant(0), state))[1]

    def results(self, state, width):
        """`Results` of the state; `width` is N, at least the tokens of any row."""
        tokens, counts = new_tokens(state.history, width)
        return Results(tokens, counts, None)


@dataclasses.dataclass(frozen=True)
class Sampling(Search):
    """Draws each token, or takes the likeliest.

    Args:
        rows_per_prompt: Number of rows that continue each prompt.
    """

    rows_per_prompt: int = 1

    def begin(self, decoders, prompts, lengths, limits, rules, memory=()):
        """Reads the prompts and chooses the first token of each row.

        Args:
            decoders: A list of one, see above.
            prompts: int32 (B, P).
            lengths: int32 (B,), at least 1.
            limits: int32 (B,) new tokens; 0 for rows that are done before they begin.
            rules: See `next_ids`, for R rows; `end_ids`, int32 (E,), are the tokens
                that end a row.
            memory: As of `Cache`, of B rows.
        """
        (decoder,), copies = decoders, self.rows_per_prompt
        last_hidden, cache = read_prompts(decoder, prompts, lengths, memory)
        logits = decoder.logits(last_hidden)
        if copies > 1:
            cache = repeated(cache, copies)
            logits, prompts, lengths = (
                tf.repeat(x, copies, axis=0) for x in (logits, prompts, lengths)
            )
        limits = self._of_rows(limits)
        history = history_of_new_prompts(decoder, prompts, lengths, rules)
        state = State(history.with_finite(logits), cache, limits < 1)
        chosen = next_ids(logits, state.history, rules)
        return with_next_ids(state, logits, chosen, limits, rules)

    def advance(self, decoders, state, limits, rules, *, num_steps, jit_compile=False):
        """Goes on until all rows are done, the cache is full or steps are used up.

        Args:
            decoders: A list of one, see above.
            state: Of `begin` or `grow`.
            limits: As of `begin`.
            rules: As of `begin`.
            num_steps: int32 scalar, a tensor.
            jit_compile: Whether the call is compiled by XLA.
        """
        (decoder,), limits = decoders, self._of_rows(limits)

        def step(state):
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
            return with_next_ids(state, logits, chosen, limits, rules)

        return self.run(step, state, num_steps)

    def _of_rows(self, limits):
        copies = self.rows_per_prompt
        return limits if copies == 1 else tf.repeat(limits, copies)


def read_prompts(decoder, prompts, lengths, memory=(), *, every_position=False):
    """The last hidden state (B, D) of each prompt, and the `Cache` of all of it.

    With `every_position`, all its hidden states (B, P, D) instead.
    """
    rows, width = tf.shape(prompts)[0], size(prompts, 1)
    positions = tf.range(width)
    real = tf.sequence_mask(lengths, width)
    earlier = positions[:, None] >= positions
    empty = Cache(decoder.state(rows), real[:, :0], tf.constant(0), memory)
    hidden, state = read(
        decoder,
        empty,
        prompts,
        tf.tile(positions[None], [rows, 1]),
        (earlier & real[:, None])[:, None],
    )
    if not every_position:
        hidden = tf.gather(hidden, lengths - 1, batch_dims=1)
    return hidden, Cache(state, real, tf.convert_to_tensor(width), memory)


def read(decoder, cache, token_ids, positions, mask):
    """Hidden states (B, T, D) of T tokens, and the decoder's state of them alone.

    Args:
        decoder: See above.
        cache: A `Cache` of what comes before.
        token_ids: int32 (B, T).
        positions: int32 (B, T).
        mask: Boolean, broadcasts to (B, 1, T, K + T), see `Decoder.step`.
    """
    memory = {"memory": cache.memory} if tf.nest.flatten(cache.memory) else {}
    return decoder.step(token_ids, positions, cache.state, mask, **memory)


def read_last(decoder, state):
    """Logits (R, V) after the last token of each row, and the decoder's state of it.

    Args:
        decoder: See above.
        state: A `State`, or another with its attributes `history` and `cache`.
    """
    history, cache = state.history, state.cache
    ids = tf.gather(history.tokens, history.lengths - 1, batch_dims=1)
    itself = tf.ones_like(ids, tf.bool)[:, None]
    hidden, new = read(
        decoder,
        cache,
        ids[:, None],
        history.lengths[:, None] - 1,
        tf.concat([cache.seen, itself], axis=1)[:, None, None],
    )
    return decoder.logits(hidden[:, 0]), new


def history_of_new_prompts(decoder, prompts, lengths, rules):
    """The `History` of prompts (B, P), with room for the first token."""
    counted = decoder.vocabulary_size if COUNTING & {*rules} else None
    return history_of_prompts(tf.pad(prompts, [[0, 0], [0, 1]]), lengths, counted)


def with_next_ids(state, logits, ids, limits, rules):
    """The state after one more token in each row that is not done.

    Args:
        state: A `State`, or another with its attributes `history` and `done`.
        logits: float32 (R, V), of which only those chosen are looked at: where one is
            NaN, at positions that were not read before, all are.
        ids: int32 (R,), the tokens chosen.
        limits: int32 (R,) new tokens of each row.
        rules: As of `Sampling.begin`.
    """
    alive = ~state.done
    history = appended(state.history, ids, alive)
    finite = tf.math.is_finite(tf.gather(logits, ids, batch_dims=1))
    history = history._replace(finite=history.finite & (finite | state.done))
    ended = tf.reduce_any(ids[:, None] == rules["end_ids"], axis=1)
    ended |= history.num_new >= limits
    return state._replace(history=history, done=state.done | (alive & ended))


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
