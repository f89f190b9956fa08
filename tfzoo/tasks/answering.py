"""Questions and answers as users write them, and the likeliest spans of a context.

Shapes: W windows, S tokens, T tokens of a context, K most tokens of an answer.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfzoo.errors import shown
from tfzoo.tasks.inputs import column_names, texts_of, values_of


class Questions(NamedTuple):
    """N questions, their contexts, and None or the answers to each."""

    questions: list
    contexts: list
    answers: list | None = None


def raw_questions(x):
    """`x` as `Questions`, or None if it is not raw.

    Args:
        x: Raw is a dict of lists with `question`, `context` and perhaps `answers`, a
            list of dicts with these, as SQuAD's records are (other keys are ignored),
            or `Questions`. Anything else is not.
    """
    if isinstance(x, Questions):
        return x
    if isinstance(x, list | tuple) and x and all(isinstance(r, dict) for r in x):
        if not all("question" in record and "context" in record for record in x):
            return None
        found = {
            name: [record[name] for record in x]
            for name in ("question", "context", "answers")
            if all(name in record for record in x)
        }
    elif "question" in (names := column_names(x)) and "context" in names:
        found = {name: x[name] for name in names}
    else:
        return None
    questions, contexts = (
        [_text(text) for text in texts_of(found[name], name)]
        for name in ("question", "context")
    )
    if len(questions) != len(contexts):
        raise ValueError(
            "question and context must be of one length. Received: "
            f"{len(questions)} and {len(contexts)}"
        )
    answers = found.get("answers")
    return Questions(
        questions,
        contexts,
        None if answers is None else values_of(answers, "answers"),
    )


def gathered_questions(x):
    """`x`, or the records of a dataset whose elements are batches of questions.

    Args:
        x: Anything; a dataset of dicts (B,) with `question` and `context`, and perhaps
            `answers`, or of (such a dict, answers), becomes a list of dicts.
    """
    if not isinstance(x, tf.data.Dataset):
        return x
    spec = x.element_spec[0] if isinstance(x.element_spec, tuple) else x.element_spec
    if not isinstance(spec, dict) or not {"question", "context"} <= set(spec):
        return x
    if int(x.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "Raw questions are read into memory. Received: an endless dataset"
        )
    records = []
    for batch in x:
        if isinstance(batch, tuple):
            batch = {**batch[0], "answers": batch[1]}
        kept = {n: batch[n] for n in ("question", "context", "answers") if n in batch}
        for row in range(len(kept["question"])):
            records.append(tf.nest.map_structure(lambda x, i=row: _plain(x[i]), kept))
    return records


def _plain(x):
    if isinstance(x, tf.RaggedTensor):
        return x.to_list()
    return x.numpy().tolist() if x.shape.rank else x.numpy()


def _text(text):
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def accepted_answers(answers, questions):
    """Right answers of each question: a list of lists of (start, text).

    Args:
        answers: For each question what SQuAD has: a list of dicts `text` and
            `answer_start`, or a dict of lists of them, or one such dict; nothing in it
            where there is no answer.
        questions: `Questions`.

    Raises:
        ValueError: there are none, or a text does not stand in its context where its
            `answer_start` says.
    """
    if answers is None:
        raise ValueError("Raw questions are trained on with answers. Received: y=None")
    if len(answers) != len(questions.contexts):
        raise ValueError(
            "x and y must be of one length. Received: "
            f"{len(questions.contexts)} and {len(answers)}"
        )
    found = []
    for row, (given, context) in enumerate(
        zip(answers, questions.contexts, strict=True)
    ):
        pairs = list(_pairs(given))
        for start, text in pairs:
            if start < 0 or context[start : start + len(text)] != text:
                raise ValueError(
                    "An answer must stand in its context at answer_start. Received: "
                    f"{text[:80]!r} at {start} in row {row}, where "
                    f"{context[max(start, 0) :][: len(text)][:80]!r} stands"
                )
        found.append(pairs)
    return found


def _pairs(given):
    """(start, text) of each answer."""
    if isinstance(given, dict):
        texts, starts = given["text"], given["answer_start"]
        if isinstance(texts, str | bytes):
            texts, starts = [texts], [starts]
        return zip(map(_start, starts), map(_text, texts), strict=True)
    return ((_start(one["answer_start"]), _text(one["text"])) for one in given or ())


def _start(value):
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole:
        raise ValueError(
            f"answer_start must be a whole number. Received: {shown(value)}"
        )
    return int(value)


def likeliest_spans(logits, windows, *, top_k, max_answer_length, unanswerable):
    """The likeliest spans of one context over all its windows.

    The probability of a span is that of its start times that of its end; both are
    shared out among the tokens of the context, and the first token, in all windows.

    Args:
        logits: List of (S, 2) of the windows.
        windows: List of (offset, first, count) of each, as of `Windows`.
        top_k: Number of spans.
        max_answer_length: Most tokens K of a span.
        unanswerable: Whether no answer, whose logit is the least of all windows, is
            among the results.

    Returns:
        List of at most `top_k` (probability, first token, last token), the likeliest
        first; the tokens are numbers in the context, or None for no answer.

    Source: google-research/bert run_squad.py, `write_predictions`
    """
    scores, parts, nothing = {}, [], np.inf
    for row, (offset, first, count) in zip(logits, windows, strict=True):
        row = row.astype(np.float64)
        context = row[offset : offset + count]
        parts += [row[:1], context]
        nothing = min(nothing, row[0].sum())
        for score, start, end in _best(*context.T, top_k, max_answer_length):
            key = (first + start, first + end)
            scores[key] = max(score, scores.get(key, -np.inf))
    if unanswerable:
        scores[None, None] = nothing
    whole = _log_sum_exp(np.concatenate(parts)).sum()
    best = sorted(scores.items(), key=lambda item: -item[1])[:top_k]
    return [(float(np.exp(score - whole)), *span) for span, score in best]


def _best(starts, ends, top_k, max_answer_length):
    """The `top_k` best (sum of logits, start, end) with start <= end < start + K."""
    if not len(starts):
        return []
    after = np.full(max_answer_length - 1, -np.inf)
    ends = np.lib.stride_tricks.sliding_window_view(
        np.concatenate([ends, after]), max_answer_length
    )
    sums = (starts[:, None] + ends).ravel()
    top_k = min(top_k, sums.size)
    found = np.argpartition(-sums, top_k - 1)[:top_k]
    first, more = np.divmod(found, max_answer_length)
    spans = zip(sums[found], first, first + more, strict=True)
    return [span for span in spans if span[0] > -np.inf]


def _log_sum_exp(x):
    largest = x.max(axis=0)
    return largest + np.log(np.exp(x - largest).sum(axis=0))
