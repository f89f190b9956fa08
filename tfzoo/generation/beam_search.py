"""Beam search.

The beams of a prompt share one row of the cache, in which every step adds a column for
each of them; a beam attends to the prompt's columns and those of its ancestors. So when
beams are replaced, no state moves, and the prompt is stored and read once.

Shapes: B prompts, N num_beams, R = B * N running beams, K columns of the cache, W token
slots, V vocabulary_size, C candidates per prompt.
"""

import dataclasses
import typing

import tensorflow as tf

from tfzoo.generation.cache import Cache, compacted, each_repeated, size, written
from tfzoo.generation.decoding import (
    Results,
    Search,
    history_of_new_prompts,
    new_tokens,
    read,
    read_prompts,
)
from tfzoo.generation.history import History, appended
from tfzoo.generation.largest import largest
from tfzoo.generation.processors import PENALTIES, processed

# Score of a beam that does not exist; finite, because it is used in arithmetic
NONE = -1e9


class Beams(typing.NamedTuple):
    """Running beams, and the best finished ones.

    Attributes:
        history: A `History` of R rows; the rows of a prompt are adjacent.
        cache: A `Cache` of B rows with N sequences each, of all tokens except the last.
        scores: float32 (B, N) sums of log-probabilities, best first.
        finished_tokens: int32 (B, N, W), including the prompts.
        finished_lengths: int32 (B, N), likewise.
        finished_scores: float32 (B, N), best first.
        is_finished: Boolean (B, N), whether there is a finished beam.
        improvable: Boolean (B,), whether a running beam may still beat a finished one.
        done: Boolean (B,).
    """

    history: History
    cache: Cache
    scores: tf.Tensor
    finished_tokens: tf.Tensor
    finished_lengths: tf.Tensor
    finished_scores: tf.Tensor
    is_finished: tf.Tensor
    improvable: tf.Tensor
    done: tf.Tensor


@dataclasses.dataclass(frozen=True)
class BeamSearch(Search):
    """Finds the texts with the largest length-normalized sum of log-probabilities.

    Args:
        num_beams: N.
        early_stopping: True stops when N beams are finished; False when the best
            running beam, if it finished now, would not beat a finished one; `"never"`
            when no running beam can ever beat a finished one.
    """

    num_beams: int
    early_stopping: bool | str = False

    @property
    def rows_per_prompt(self):
        return self.num_beams

    @property
    def columns_per_step(self):
        return self.num_beams

    def most_columns(self, width, most):
        """As in `Search`."""
        return width + (most - 1) * self.num_beams

    def num_kept(self, state):
        """Number of columns of beams that still run."""
        return state.cache.num_alive

    def begin(self, decoders, prompts, lengths, limits, rules, memory=()):
        """Reads the prompts and selects the first token of each beam.

        Args:
            decoders: List of one decoder, see `tfzoo.generation.decoding`.
            prompts: int32 (B, P).
            lengths: int32 (B,), at least 1.
            limits: int32 (B,), maximum number of new tokens; 0 for a row that is done
                from the start.
            rules: As in `Sampling`, and `length_penalty`, a float32 scalar or (R,):
                scores are divided by the number of new tokens raised to this power.
            memory: As in `Sampling`.
        """
        (decoder,), num_beams = decoders, self.num_beams
        last_hidden, cache = read_prompts(decoder, prompts, lengths, memory)
        logits, prompts, lengths_of_rows = (
            each_repeated(x, num_beams)
            for x in (decoder.logits(last_hidden), prompts, lengths)
        )
        history = history_of_new_prompts(decoder, prompts, lengths_of_rows, rules)
        width = size(history.tokens, 1)
        none = tf.repeat(tf.zeros_like(lengths, tf.float32)[:, None], num_beams, 1)
        seen = cache.seen[:, None] & tf.ones([num_beams, 1], tf.bool)
        beams = Beams(
            history=history.with_finite(logits),
            cache=cache._replace(seen=seen),
            scores=none + [0.0, *[NONE] * (num_beams - 1)],
            finished_tokens=tf.reshape(history.tokens, [-1, num_beams, width]),
            finished_lengths=tf.reshape(history.lengths, [-1, num_beams]),
            finished_scores=none + NONE,
            is_finished=tf.zeros_like(none, tf.bool),
            improvable=tf.ones_like(lengths, tf.bool),
            done=limits < 1,
        )
        return self._continued(beams, logits, limits, rules)[0]

    def grow(self, state, num_columns):
        """As in `Search`; drops the columns of beams that were replaced."""
        grown = super().grow(state._replace(cache=compacted(state.cache)), num_columns)
        more = size(grown.history.tokens, 1) - size(state.history.tokens, 1)
        tokens = tf.pad(state.finished_tokens, [[0, 0], [0, 0], [0, more]])
        return grown._replace(finished_tokens=tokens)

    def advance(self, decoders, state, limits, rules, *, num_steps, jit_compile=False):
        """As in `Sampling`."""
        (decoder,) = decoders

        def step(beams):
            cache, itself = beams.cache, self._itself(beams.cache)
            logits, new = self._read_last(decoder, beams, itself)
            beams, rows = self._continued(beams, logits, limits, rules)
            cache = written(cache, new, itself, after=rows, jit_compile=jit_compile)
            seen = tf.reshape(cache.seen, [-1, cache.num_columns])
            seen = tf.reshape(tf.gather(seen, rows), tf.shape(cache.seen))
            seen &= ~beams.done[:, None, None]  # their columns are not needed any more
            return beams._replace(cache=cache._replace(seen=seen))

        return self.run(step, state, num_steps)

    def _itself(self, cache):
        """Boolean (B, N, N): each beam sees one of the N new columns."""
        rows = tf.shape(cache.seen)[0]
        return tf.eye(self.num_beams, batch_shape=[rows], dtype=tf.bool)

    def _read_last(self, decoder, beams, itself):
        """Reads the last tokens; returns logits (R, V) and the state of N columns."""
        history, cache = beams.history, beams.cache
        ids = tf.gather(history.tokens, history.lengths - 1, batch_dims=1)
        hidden, new = read(
            decoder,
            cache,
            tf.reshape(ids, [-1, self.num_beams]),
            tf.reshape(history.lengths - 1, [-1, self.num_beams]),
            tf.concat([cache.seen, itself], axis=2)[:, None],
        )
        return decoder.logits(tf.reshape(hidden, [-1, hidden.shape[-1]])), new

    def results(self, state, width):
        """`Results` of the finished beams, best first for each prompt."""
        places = size(state.finished_tokens, 2)
        finished = state.history._replace(
            tokens=tf.reshape(state.finished_tokens, [-1, places]),
            lengths=tf.reshape(state.finished_lengths, [-1]),
        )
        tokens, counts = new_tokens(finished, width)
        return Results(tokens, counts, tf.reshape(state.finished_scores, [-1]))

    def _continued(self, beams, logits, limits, rules):
        """Extends the beams by a token; also returns the rows (R,) they continue.

        The caller updates the cache, as it must write to it first.
        """
        num_beams, vocabulary_size = self.num_beams, logits.shape[1]
        scores = tf.nn.log_softmax(logits)
        finite = ~tf.math.is_nan(scores[:, 0])  # one NaN or infinity makes all NaN
        finite = tf.reduce_all(tf.reshape(finite, [-1, num_beams]), axis=1) | beams.done
        finite = beams.history.finite & tf.repeat(finite, num_beams)
        scores = processed(scores, beams.history, rules, PENALTIES)
        scores = tf.reshape(scores, [-1, num_beams, vocabulary_size])
        scores = tf.reshape(
            scores + beams.scores[:, :, None], [-1, num_beams * vocabulary_size]
        )
        # Even if all end tokens rank first in each beam, N other candidates are left.
        num_candidates = max(2, 1 + rules["end_ids"].shape[0]) * num_beams
        num_candidates = min(num_candidates, num_beams * vocabulary_size)
        scores, flat = largest(scores, num_candidates)  # (B, C)
        first_rows = tf.range(tf.shape(flat)[0])[:, None] * num_beams
        rows, ids = first_rows + flat // vocabulary_size, flat % vocabulary_size
        num_new = tf.reshape(beams.history.num_new, [-1, num_beams])[:, :1] + 1
        ends = tf.reduce_any(ids[:, :, None] == rules["end_ids"], axis=-1)
        ends |= num_new >= limits[:, None]

        beams = self._with_finished(beams, scores, rows, ids, ends, rules)
        running, best = tf.math.top_k(tf.where(ends, scores + NONE, scores), num_beams)
        rows = tf.reshape(tf.gather(rows, best, batch_dims=1), [-1])
        ids = tf.reshape(tf.gather(ids, best, batch_dims=1), [-1])
        history = tf.nest.map_structure(lambda x: tf.gather(x, rows), beams.history)
        alive = tf.repeat(~beams.done, num_beams)
        history = appended(history, ids, alive)._replace(finite=finite)
        beams = beams._replace(history=history, scores=running)
        return self._judged(beams, num_new, ends, limits, rules), rows

    def _with_finished(self, beams, scores, rows, ids, ends, rules):
        """Updates the best finished beams with the candidates that end now."""
        num_beams, num_candidates = self.num_beams, scores.shape[1]
        candidates = tf.nest.map_structure(
            lambda x: tf.gather(x, tf.reshape(rows, [-1])),
            beams.history._replace(counts={}),
        )
        ids = tf.reshape(ids, [-1])
        candidates = appended(candidates, ids, tf.ones_like(ids, tf.bool))
        width = size(candidates.tokens, 1)
        num_new = tf.reshape(candidates.num_new, [-1, num_candidates])
        scores = scores / tf.cast(num_new, tf.float32) ** self._penalty(rules)
        # Candidates after the first N are only reserves for the running beams.
        finishes = ends & (tf.range(num_candidates) < num_beams)
        barred = ~finishes | (beams.done | ~beams.improvable)[:, None]
        if self.early_stopping is True:
            barred |= tf.reduce_all(beams.is_finished, axis=1, keepdims=True)
        scores, best = tf.math.top_k(
            tf.concat([beams.finished_scores, tf.where(barred, NONE, scores)], axis=1),
            num_beams,
        )

        def merged(old, new):
            return tf.gather(tf.concat([old, new], axis=1), best, batch_dims=1)

        return beams._replace(
            finished_tokens=merged(
                beams.finished_tokens,
                tf.reshape(candidates.tokens, [-1, num_candidates, width]),
            ),
            finished_lengths=merged(
                beams.finished_lengths,
                tf.reshape(candidates.lengths, [-1, num_candidates]),
            ),
            finished_scores=scores,
            is_finished=merged(beams.is_finished, finishes & ~barred),
        )

    def _penalty(self, rules):
        """The length penalty, a scalar or (B, 1)."""
        penalty = rules["length_penalty"]
        if not penalty.shape.rank:
            return penalty
        return tf.reshape(penalty, [-1, self.num_beams])[:, :1]

    def _judged(self, beams, num_new, ends, limits, rules):
        """Updates `improvable` and `done` after a step."""
        length_penalty = self._penalty(rules)
        length = num_new
        if self.early_stopping == "never":  # a longer text may then be better
            length = tf.where(length_penalty > 0, limits[:, None], num_new)
        hoped = beams.scores[:, :1] / tf.cast(length, tf.float32) ** length_penalty
        worst = tf.reduce_min(beams.finished_scores, axis=1, keepdims=True)
        worst = tf.where(beams.is_finished, worst, NONE)
        improvable = beams.improvable & tf.reduce_any(hoped > worst, axis=1)
        done = beams.done | ~improvable | tf.reduce_all(ends, axis=1)
        if self.early_stopping is True:
            done |= tf.reduce_all(beams.is_finished, axis=1)
        return beams._replace(improvable=improvable, done=done)
