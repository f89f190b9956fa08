"""Beam search.

Shapes: B prompts, N num_beams, R = B * N running rows, W places for tokens, V
vocabulary_size, C candidates of each prompt.
"""

import typing

import tensorflow as tf

from tfzoo.generation.cache import Cache, of_rows, written
from tfzoo.generation.decoding import grow as grow_decoding
from tfzoo.generation.decoding import read_last, read_prompts
from tfzoo.generation.history import History, appended, history_of_prompts
from tfzoo.generation.processors import COUNTING, PENALTIES, processed

NONE = (
    -1e9
)  # score of a beam that does not exist; finite, as arithmetic is done with it


class Beams(typing.NamedTuple):
    """Running beams, and the best finished ones.

    Attributes:
        history: A `History` of R rows, those of a prompt side by side.
        cache: A `Cache` of R rows, of all tokens but the last.
        scores: float32 (B, N) sums of log-probabilities, the best first.
        finished_tokens: int32 (B, N, W), prompts included.
        finished_lengths: int32 (B, N), likewise.
        finished_scores: float32 (B, N), the best first.
        is_finished: Boolean (B, N), whether there is one.
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


def begin(decoder, prompts, lengths, limits, rules, *, num_beams, early_stopping):
    """Reads the prompts and chooses the first token of each beam.

    Args:
        decoder: See `tfzoo.generation.decoding`.
        prompts: int32 (B, P).
        lengths: int32 (B,), at least 1.
        limits: int32 (B,) new tokens; 0 for a row that is done before it begins.
        rules: As of `decode`, and `length_penalty`, a float32 scalar: scores are
            divided by the number of new tokens raised to it.
        num_beams: N.
        early_stopping: True ends when N beams are finished; False when the best running
            one would not be better than a finished one, were it finished now; `"never"`
            when none can become better.
    """
    last_hidden, cache = read_prompts(decoder, prompts, lengths)
    num_prompts = tf.shape(prompts)[0]
    rows = tf.repeat(tf.range(num_prompts), num_beams)
    counted = decoder.vocabulary_size if COUNTING & {*rules} else None
    prompts = tf.gather(tf.pad(prompts, [[0, 0], [0, 1]]), rows)
    logits = tf.gather(decoder.logits(last_hidden), rows)
    history = history_of_prompts(prompts, tf.gather(lengths, rows), counted)
    shape = tf.stack([num_prompts, num_beams])
    beams = Beams(
        history.with_finite(logits),
        of_rows(cache, rows),
        tf.where(tf.range(num_beams) > 0, NONE, tf.zeros(shape)),
        tf.reshape(history.tokens, [-1, num_beams, history.tokens.shape[1]]),
        tf.reshape(history.lengths, shape),
        tf.fill(shape, NONE),
        tf.zeros(shape, tf.bool),
        tf.ones([num_prompts], tf.bool),
        limits < 1,
    )
    return _continued(beams, logits, limits, rules, early_stopping)[0]


def grow(beams, num_columns):
    """The beams with room for `num_columns` columns and one more token."""
    state = grow_decoding(beams, num_columns)
    more = state.history.tokens.shape[1] - beams.history.tokens.shape[1]
    tokens = tf.pad(beams.finished_tokens, [[0, 0], [0, 0], [0, more]])
    return state._replace(finished_tokens=tokens)


def advance(
    decoder,
    beams,
    limits,
    rules,
    *,
    num_steps,
    early_stopping,
    jit_compile=False,
):
    """Goes on until all prompts are done, the cache is full or steps are used up.

    Arguments as of `begin` and of `decoding.advance`.
    """

    def goes_on(step, beams):
        room = beams.cache.filled < beams.cache.num_columns
        return (step < num_steps) & room & ~tf.reduce_all(beams.done)

    def one_step(step, beams):
        logits, new = read_last(decoder, beams)
        beams, rows = _continued(beams, logits, limits, rules, early_stopping)
        cache = written(
            beams.cache,
            new,
            tf.ones_like(rows, tf.bool)[:, None],
            after=rows,
            jit_compile=jit_compile,
        )
        return step + 1, beams._replace(cache=of_rows(cache, rows))

    return tf.while_loop(goes_on, one_step, (tf.constant(0), beams))[1]


def _continued(beams, logits, limits, rules, early_stopping):
    """The beams with one more token each, and the rows (R,) that they go on from.

    The cache is left to the caller, who has to write to it first.
    """
    num_beams, vocabulary_size = beams.scores.shape[1], logits.shape[1]
    scores = tf.nn.log_softmax(logits)
    finite = ~tf.math.is_nan(scores[:, 0])  # one NaN or infinity makes all NaN
    finite = tf.reduce_all(tf.reshape(finite, [-1, num_beams]), axis=1) | beams.done
    finite = beams.history.finite & tf.repeat(finite, num_beams)
    scores = processed(scores, beams.history, rules, PENALTIES)
    scores = tf.reshape(scores, [-1, num_beams, vocabulary_size])
    scores = tf.reshape(
        scores + beams.scores[:, :, None], [-1, num_beams * vocabulary_size]
    )
    # Even if every end token comes first in each beam, N others are left.
    num_candidates = max(2, 1 + rules["end_ids"].shape[0]) * num_beams
    num_candidates = min(num_candidates, num_beams * vocabulary_size)
    scores, flat = tf.math.top_k(scores, num_candidates)  # (B, C)
    first_rows = tf.range(tf.shape(flat)[0])[:, None] * num_beams
    rows, ids = first_rows + flat // vocabulary_size, flat % vocabulary_size
    num_new = tf.reshape(beams.history.num_new, [-1, num_beams])[:, :1] + 1
    ends = tf.reduce_any(ids[:, :, None] == rules["end_ids"], axis=-1)
    ends |= num_new >= limits[:, None]

    beams = _with_finished(beams, scores, rows, ids, ends, rules, early_stopping)
    running, best = tf.math.top_k(tf.where(ends, scores + NONE, scores), num_beams)
    rows = tf.reshape(tf.gather(rows, best, batch_dims=1), [-1])
    ids = tf.reshape(tf.gather(ids, best, batch_dims=1), [-1])
    history = tf.nest.map_structure(lambda x: tf.gather(x, rows), beams.history)
    alive = tf.repeat(~beams.done, num_beams)
    history = appended(history, ids, alive)._replace(finite=finite)
    beams = beams._replace(history=history, scores=running)
    return _judged(beams, num_new, ends, limits, rules, early_stopping), rows


def _with_finished(beams, scores, rows, ids, ends, rules, early_stopping):
    """The beams with those candidates that end and are among the best finished ones."""
    num_beams, num_candidates = beams.scores.shape[1], scores.shape[1]
    candidates = tf.nest.map_structure(
        lambda x: tf.gather(x, tf.reshape(rows, [-1])),
        beams.history._replace(counts={}),
    )
    ids = tf.reshape(ids, [-1])
    candidates = appended(candidates, ids, tf.ones_like(ids, tf.bool))
    width = candidates.tokens.shape[1]
    num_new = tf.reshape(candidates.num_new, [-1, num_candidates])
    scores = scores / tf.cast(num_new, tf.float32) ** rules["length_penalty"]
    # Those after the first N only stand by for the running beams.
    finishes = ends & (tf.range(num_candidates) < num_beams)
    barred = ~finishes | (beams.done | ~beams.improvable)[:, None]
    if early_stopping is True:
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


def _judged(beams, num_new, ends, limits, rules, early_stopping):
    """The beams with `improvable` and `done` as they are after this step."""
    length_penalty = rules["length_penalty"]
    length = num_new
    if early_stopping == "never":  # longer may be better then
        length = tf.where(length_penalty > 0, limits[:, None], num_new)
    hoped = beams.scores[:, :1] / tf.cast(length, tf.float32) ** length_penalty
    worst = tf.reduce_min(beams.finished_scores, axis=1, keepdims=True)
    worst = tf.where(beams.is_finished, worst, NONE)
    improvable = beams.improvable & tf.reduce_any(hoped > worst, axis=1)
    done = beams.done | ~improvable | tf.reduce_all(ends, axis=1)
    if early_stopping is True:
        done |= tf.reduce_all(beams.is_finished, axis=1)
    return beams._replace(improvable=improvable, done=done)
