"""The interface of searches; greedy decoding and sampling.

A search has three methods, `begin`, `grow` and `advance`, and `results` to read its
final state. Callers compile them separately: `compiled` from Python, `in_graph` in a
graph. `Sampling` is the simplest search; the others are in `beam_search`, `contrastive`
and `speculative`.

A decoder is any object with the methods `state`, `step` and `logits` of
`tfzoo.models.Decoder`, and its `vocabulary_size` and `max_sequence_length`.

Shapes: B prompts, R rows (B times `rows_per_prompt`), P length of the padded prompts,
D hidden_dim, K columns of the cache, V vocabulary_size.
"""

import dataclasses
import typing

import tensorflow as tf

from tfzoo.generation.cache import Cache, each_repeated, grown, repeated, size, written
from tfzoo.generation.choosing import next_ids
from tfzoo.generation.history import History, appended, history_of_prompts
from tfzoo.generation.processors import COUNTING


class State(typing.NamedTuple):
    """R sequences in progress.

    Attributes:
        history: A `History`, whose last token has not been read yet.
        cache: A `Cache` of the tokens before it.
        done: Boolean (R,).
        scores: float32 (R,), sums of the tokens' log-probabilities; () if not computed.
    """

    history: History
    cache: Cache
    done: tf.Tensor
    scores: typing.Any = ()


class Results(typing.NamedTuple):
    """The generated tokens; the rows of a prompt are adjacent.

    Attributes:
        tokens: int32 (R, N), including end tokens; 0 after a row's last token.
        counts: int32 (R,), number of tokens in each row.
        scores: float32 (R,): for beam search, those of the beams; sums of
            log-probabilities if `Sampling` computes them; otherwise None.
    """

    tokens: tf.Tensor
    counts: tf.Tensor
    scores: tf.Tensor | None


class Search:
    """Base class of searches.

    A search is immutable and holds the options that determine which operations run;
    options whose values are tensors are `rules`.

    Attributes:
        rows_per_prompt: Number of sequences in progress per prompt.
        columns_per_step: Maximum number of cache columns that a step needs.
        rows_of_step: For each decoder, the number of rows per prompt in a step.
    """

    rows_per_prompt = 1
    columns_per_step = 1

    @property
    def rows_of_step(self):
        return (self.rows_per_prompt,)

    def grow(self, state, num_columns):
        """Makes room in the state for `num_columns` columns and one more token.

        Args:
            state: A state with `history` and `cache`.
            num_columns: Number of columns, not less than now.
        """
        tokens = state.history.tokens
        more = num_columns + 1 - size(tokens, 1)
        return state._replace(
            history=state.history._replace(tokens=tf.pad(tokens, [[0, 0], [0, more]])),
            cache=grown(state.cache, num_columns),
        )

    def most_columns(self, width, most):
        """Maximum number of columns for prompts of `width` and `most` new tokens."""
        # The last token is never read.
        return width + most + self.columns_per_step - 2

    def num_kept(self, state):
        """Number of columns that `grow` keeps: all, unless it drops unused ones."""
        return state.cache.num_columns

    def has_room(self, state):
        """Boolean scalar, whether the cache has room for another step."""
        cache = state.cache
        return cache.filled + self.columns_per_step <= cache.num_columns

    def run(self, step, state, num_steps):
        """Runs `step` up to `num_steps` times, until all rows are done or no room."""

        def goes_on(number, state):
            open_rows = ~tf.reduce_all(state.done)
            return (number < num_steps) & self.has_room(state) & open_rows

        def one_step(number, state):
            return number + 1, step(state)

        return tf.while_loop(goes_on, one_step, (tf.constant(0), state))[1]

    def results(self, state, width):
        """`Results` of the state; `width` is N, at least the length of any row."""
        tokens, counts = new_tokens(state.history, width)
        return Results(tokens, counts, None)


@dataclasses.dataclass(frozen=True)
class Sampling(Search):
    """Samples each token, or takes the most likely one.

    Args:
        rows_per_prompt: Number of rows that continue each prompt.
        scores: Whether to sum the log-probabilities of the tokens, as they are without
            any rules.
    """

    rows_per_prompt: int = 1
    scores: bool = False

    def begin(self, decoders, prompts, lengths, limits, rules, memory=()):
        """Reads the prompts and selects the first token of each row.

        Args:
            decoders: List of one decoder, see above.
            prompts: int32 (B, P).
            lengths: int32 (B,), at least 1.
            limits: int32 (B,), maximum number of new tokens; 0 for rows that are done
                from the start.
            rules: See `next_ids`, for R rows; `end_ids`, int32 (E,), are the tokens
                that end a row.
            memory: As in `Cache`, with B rows.
        """
        (decoder,), copies = decoders, self.rows_per_prompt
        last_hidden, cache = read_prompts(decoder, prompts, lengths, memory)
        logits = decoder.logits(last_hidden)
        if copies > 1:
            cache = repeated(cache, copies)
            logits, prompts, lengths = (
                each_repeated(x, copies) for x in (logits, prompts, lengths)
            )
        limits = self._of_rows(limits)
        history = history_of_new_prompts(decoder, prompts, lengths, rules)
        scores = tf.zeros_like(logits[:, 0]) if self.scores else ()
        state = State(history.with_finite(logits), cache, limits < 1, scores)
        chosen = next_ids(logits, state.history, rules)
        return self._with(state, logits, chosen, limits, rules)

    def advance(self, decoders, state, limits, rules, *, num_steps, jit_compile=False):
        """Runs up to `num_steps` steps, until all rows are done or the cache is full.

        Args:
            decoders: List of one decoder, see above.
            state: Result of `begin` or `grow`.
            limits: As in `begin`.
            rules: As in `begin`.
            num_steps: int32 scalar tensor.
            jit_compile: Whether XLA compiles the call.
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
            return self._with(state, logits, chosen, limits, rules)

        return self.run(step, state, num_steps)

    def results(self, state, width):
        """As in `Search`."""
        found = super().results(state, width)
        return found._replace(scores=state.scores) if self.scores else found

    def _with(self, state, logits, ids, limits, rules):
        if self.scores:
            score = tf.gather(tf.nn.log_softmax(logits), ids, batch_dims=1)
            more = tf.where(state.done, 0.0, score)
            state = state._replace(scores=state.scores + more)
        return with_next_ids(state, logits, ids, limits, rules)

    def _of_rows(self, limits):
        copies = self.rows_per_prompt
        return limits if copies == 1 else tf.repeat(limits, copies)


def read_prompts(decoder, prompts, lengths, memory=(), *, every_position=False):
    """Reads prompts; returns their last hidden states (B, D) and their `Cache`.

    With `every_position`, returns all hidden states (B, P, D) instead.
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
    """Reads T tokens; returns their hidden states (B, T, D) and decoder state.

    Args:
        decoder: See above.
        cache: A `Cache` of the earlier tokens.
        token_ids: int32 (B, T).
        positions: int32 (B, T).
        mask: Boolean, broadcasts to (B, 1, T, K + T), see `Decoder.step`.
    """
    memory = {"memory": cache.memory} if tf.nest.flatten(cache.memory) else {}
    return decoder.step(token_ids, positions, cache.state, mask, **memory)


def read_last(decoder, state):
    """Reads each row's last token; returns logits (R, V) and the decoder's new state.

    Args:
        decoder: See above.
        state: A `State`, or another state with `history` and `cache`.
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
    """Appends a token to each row that is not done.

    Args:
        state: A `State`, or another state with `history` and `done`.
        logits: float32 (R, V). Only those of the selected tokens are checked: at a new
            position, if one logit is NaN, all are.
        ids: int32 (R,), the selected tokens.
        limits: int32 (R,), maximum number of new tokens in each row.
        rules: As in `Sampling.begin`.
    """
    alive = ~state.done
    history = appended(state.history, ids, alive)
    finite = tf.math.is_finite(tf.gather(logits, ids, batch_dims=1))
    history = history._replace(finite=history.finite & (finite | state.done))
    ended = tf.reduce_any(ids[:, None] == rules["end_ids"], axis=1)
    ended |= history.num_new >= limits
    return state._replace(history=history, done=state.done | (alive & ended))


def new_tokens(history, width):
    """The new tokens, int32 (R, width), padded with 0; and their numbers (R,).

    Args:
        history: A `History`.
        width: Width, at least the maximum number of new tokens.
    """
    places = history.prompt_lengths[:, None] + tf.range(width)
    tokens = tf.gather(
        history.tokens,
        tf.minimum(places, tf.shape(history.tokens)[1] - 1),
        batch_dims=1,
    )
    real = tf.sequence_mask(history.num_new, width)
    return tf.where(real, tokens, 0), history.num_new
