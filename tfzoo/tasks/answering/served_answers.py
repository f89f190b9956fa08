"""The signatures of a served question answering model.

Shapes: B questions, W windows, S tokens, L tokens after padding, K maximum number of
tokens of an answer.
"""

import tensorflow as tf

from tfzoo.serving.passages import passages
from tfzoo.serving.request_rows import of_one_size
from tfzoo.serving.signatures import (
    STRINGS,
    dense_inputs,
    strings_and_ids,
    traced,
)
from tfzoo.serving.text_parts import text_in_parts
from tfzoo.tasks.answering.spans import NO_ANSWER, likeliest_spans, window_spans


def question_answerer_signatures(
    core,
    tokenizer,
    *,
    max_answer_length,
    max_question_length,
    stride,
    unanswerable=False,
):
    """The signatures of a question answering model.

    `serving_default` takes `question` and `context` string (B,) and returns

    - `answer` string (B,), a part of the context, empty for none;
    - `score` float32 (B,), its probability;
    - `start` and `end` int32 (B,), its position in the context, in characters (Unicode
      code points; invalid UTF-8 counts as U+FFFD, as in Python's
      `decode("utf-8", "replace")`).

    A long context is read in windows.

    `token_ids` takes `token_ids`, `segment_ids` (if the core has segments) and
    `padding_mask` int32 (B, S), with S from 1 to `max_sequence_length`, and returns
    `logits` float32 (B, S, 2) of the start and the end.

    Args:
        core: A `PaddedCore` that returns logits (B, S, 2).
        tokenizer: The tokenizer.
        max_answer_length: Maximum number of tokens of an answer.
        max_question_length: Maximum number of tokens of a question; longer ones are
            truncated.
        stride: Number of tokens that a window shares with the previous one.
        unanswerable: Whether a question may have no answer.

    Returns:
        `ServedModel`.
    """
    windows = _Windows(tokenizer, core.max_sequence_length, max_question_length, stride)

    def answer(texts):
        places = tokenizer.graph.places_in_bounds(texts["context"])
        inputs, where = windows(texts["question"], places["token_ids"])

        options = dict(top_k=1, max_answer_length=max_answer_length)

        def best_of(logits, rows):
            there = {name: tf.gather(value, rows) for name, value in where.items()}
            return window_spans(logits, there, **options)

        with tf.device(None):  # only texts require the CPU
            lengths = tf.reduce_sum(inputs["padding_mask"], axis=1)
            spans = core(inputs, best_of, lengths)
        num_questions = tf.size(texts["question"])
        found = likeliest_spans(
            spans, where, num_questions, unanswerable=unanswerable, **options
        )
        shape = [num_questions, 1]
        score, *best = (
            tf.squeeze(x.to_tensor(default, shape=shape), 1)
            for x, default in zip(found, (0.0, NO_ANSWER, NO_ANSWER), strict=True)
        )
        return _answer(texts["context"], places, score, *best)

    @traced(question=STRINGS, context=STRINGS)
    def serving_default(question, context):
        texts = of_one_size({"question": question, "context": context})
        with tf.device("/CPU:0"):
            return text_in_parts(answer, texts)

    return strings_and_ids(serving_default, "logits", core, tokenizer, by_token=True)


class _Windows:
    """Questions (B,) and ids of contexts (B, None) -> inputs of all windows (W, S).

    They equal those of `tfzoo.data.context_windows`. The second result is a dict of
    int32 (W,): the index of the window's `question`, the `offset` of its part of the
    context in the window, the index `first` of that token in the context, and the
    `count` of its context tokens.
    """

    def __init__(self, tokenizer, max_length, max_question_length, stride):
        self._tokenizer, self._layout = tokenizer, tokenizer.layout_ids
        self._max_question_length, self._stride = max_question_length, stride
        self._room = max_length - self._layout.num_special(2)

    def __call__(self, questions, contexts):
        ids = self._tokenizer.graph.in_bounds(questions)[:, : self._max_question_length]
        before, between, after = self._layout.around(2)
        heads, head_segments = _beside(ids, before, between, segment=0)
        lengths = tf.cast(contexts.row_lengths(), tf.int32)
        room = self._room - tf.cast(ids.row_lengths(), tf.int32)
        step = room - self._stride
        counts = tf.maximum(-(-(lengths - self._stride) // step), 1)
        number = tf.ragged.range(counts)
        question = tf.cast(number.value_rowids(), tf.int32)
        first = number.flat_values * tf.gather(step, question)
        left = tf.gather(lengths, question) - first
        where = {
            "question": question,
            "offset": tf.gather(tf.cast(heads.row_lengths(), tf.int32), question),
            "first": first,
            "count": tf.minimum(left, tf.gather(room, question)),
        }
        starts = first + tf.gather(tf.cast(contexts.row_starts(), tf.int32), question)
        places = tf.ragged.range(
            starts, starts + where["count"], row_splits_dtype=heads.row_splits.dtype
        )
        parts = places.with_flat_values(
            tf.gather(contexts.flat_values, places.flat_values)
        )
        heads, head_segments = (tf.gather(x, question) for x in (heads, head_segments))
        tails, tail_segments = _beside(
            parts, [], after, segment=self._layout.second_segment
        )
        ids = {
            "token_ids": tf.concat([heads, tails], axis=1),
            "segment_ids": tf.concat([head_segments, tail_segments], axis=1),
        }
        return dense_inputs(ids, self._tokenizer.required_id("pad")), where


def _beside(ids, before, after, *, segment):
    """Ragged ids and segments of texts with special tokens (id, segment) around."""
    one = tf.ones([ids.nrows(), 1], tf.int32)
    return (
        tf.concat(
            [*(token[i] * one for token in before), x, *(t[i] * one for t in after)], 1
        )
        for i, x in enumerate([ids, segment * tf.ones_like(ids)])
    )


def _answer(context, places, score, first, last):
    rows = tf.range(tf.size(first, tf.int64), dtype=tf.int64)
    starts, ends = places["starts"], places["ends"]
    row_starts = tf.cast(starts.row_starts(), tf.int32)

    def at(ragged, token):
        # One more value, for the token -1 of a context without tokens.
        values = tf.concat([ragged.flat_values, [0]], 0)
        place = tf.where(token < 0, tf.size(values) - 1, row_starts + token)
        return tf.gather(values, place)

    start, end = at(starts, first), at(ends, last)
    return {
        "answer": passages(context, rows, start, end),
        "score": score,
        "start": start,
        "end": end,
    }
