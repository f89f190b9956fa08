"""Reads raw questions and answers."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import tensorflow as tf

from tfzoo.data.hugging_face import refuse_splits_and_streams, require_columns
from tfzoo.errors import is_whole, shown
from tfzoo.tasks.batches import first_batch, is_batches, passes_of
from tfzoo.tasks.inputs import (
    column_names,
    column_of,
    is_missing,
    texts_of,
    values_of,
)
from tfzoo.tasks.refusals import of_batch


class Questions(NamedTuple):
    """N questions, their contexts, and optionally the answers to each."""

    questions: list
    contexts: list
    answers: list | None = None


def raw_questions(x):
    """`x` as `Questions`, or None if it is not raw.

    Args:
        x: Raw questions are a dict of lists with `question`, `context` and optionally
            `answers`, a list of dicts with these, like SQuAD's records (other keys are
            ignored), or `Questions`. Anything else is not.
    """
    if isinstance(x, Questions):
        return x
    refuse_splits_and_streams(x)
    require_columns(x, "question", "context")
    if isinstance(x, list | tuple) and x and all(isinstance(r, dict) for r in x):
        if not all("question" in record and "context" in record for record in x):
            return None
        found = {
            name: [record[name] for record in x]
            for name in ("question", "context", "answers")
            if all(name in record for record in x)
        }
    elif "question" in (names := column_names(x)) and "context" in names:
        names = {"question", "context", "answers"}.intersection(names)
        found = {name: column_of(x, name) for name in names}
    else:
        return None
    questions, contexts = (
        [_text(text) for text in texts_of(found[name], name)]
        for name in ("question", "context")
    )
    if len(questions) != len(contexts):
        raise ValueError(
            "question and context must have the same length. Received: "
            f"{len(questions)} and {len(contexts)}"
        )
    answers = found.get("answers")
    return Questions(
        questions,
        contexts,
        None if answers is None else values_of(answers, "answers"),
    )


def gathered_questions(x):
    """`x`; batches of questions are read into a list of records.

    Args:
        x: Anything. A dataset of dicts (B,) with `question`, `context` and optionally
            `answers`, or of (such a dict, answers), becomes a list of dicts, and so
            does a generator or `PyDataset` that yields input of `raw_questions`, with
            or without answers. All of it is read.
    """
    if is_batches(x):
        return _gathered_batches(x)
    if not isinstance(x, tf.data.Dataset):
        return x
    spec = x.element_spec[0] if isinstance(x.element_spec, tuple) else x.element_spec
    if not isinstance(spec, dict) or not {"question", "context"} <= set(spec):
        return x
    if int(x.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "Raw questions must fit in memory. Received: an endless dataset"
        )
    if isinstance(x.element_spec, tuple) and len(x.element_spec) > 2:
        raise ValueError(
            "Batches of raw questions must be (questions,) or (questions, answers). "
            f"Received: tuples of {len(x.element_spec)}"
        )
    records = []
    for batch in x:
        if isinstance(batch, tuple):
            batch, *answers = batch
            batch = {**batch, **({"answers": answers[0]} if answers else {})}
        kept = {n: batch[n] for n in ("question", "context", "answers") if n in batch}
        for row in range(len(kept["question"])):
            records.append(tf.nest.map_structure(lambda x, i=row: _plain(x[i]), kept))
    return records


def _gathered_batches(x):
    """The same for a generator or `PyDataset`; returns `x`, unread, if not raw."""
    first = first_batch(x)
    inputs = first[:1] if isinstance(first, tuple) else [first]
    if not inputs or raw_questions(inputs[0]) is None:
        if not isinstance(x, Iterator):
            return x
        return itertools.chain([] if first is None else [first], x)
    if not isinstance(x, Iterator) and x.num_batches is None:
        raise ValueError(
            "Raw questions must fit in memory. Received: an endless PyDataset"
        )
    batches = passes_of(x, shuffle=False, seed=0)()
    if isinstance(x, Iterator):
        batches = itertools.chain([first], batches)
    records = []
    for number, batch in enumerate(batches):
        with of_batch(number):
            records += _records(batch)
    return records


def _records(batch):
    """The questions of a batch as a list of dicts."""
    inputs, y, *more = [*batch, None] if isinstance(batch, tuple) else (batch, None)
    questions = raw_questions(inputs)
    if questions is None or any(part is not None for part in more):
        raise ValueError(
            "A batch of raw questions must be (questions,) or (questions, answers). "
            f"Received: {shown(batch)}"
        )
    answers = questions.answers if y is None else values_of(y, "y")
    records = [
        {"question": question, "context": context}
        for question, context in zip(*questions[:2], strict=True)
    ]
    if answers is None:
        return records
    if len(answers) != len(records):
        raise ValueError(
            "x and y must have the same length. Received: "
            f"{len(records)} and {len(answers)}"
        )
    return [
        {**record, "answers": given}
        for record, given in zip(records, answers, strict=True)
    ]


def _plain(x):
    if isinstance(x, tf.RaggedTensor):
        return x.to_list()
    return x.numpy().tolist() if x.shape.rank else x.numpy()


def _text(text):
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def accepted_answers(answers, questions):
    """The correct answers to each question, a list of lists of (start, text).

    Args:
        answers: For each question, answers as in SQuAD: a list of dicts of `text` and
            `answer_start`, or a dict of lists of them, or one such dict; empty if there
            is no answer.
        questions: `Questions`.

    Raises:
        ValueError: there are no answers, an answer is invalid, or its text is not in
            the context at its `answer_start`.
    """
    if answers is None:
        raise ValueError("Raw questions require answers. Received: y=None")
    if len(answers) != len(questions.contexts):
        raise ValueError(
            "x and y must have the same length. Received: "
            f"{len(questions.contexts)} and {len(answers)}"
        )
    found = []
    for row, (given, context) in enumerate(
        zip(answers, questions.contexts, strict=True)
    ):
        pairs = _pairs(given, row)
        for start, text in pairs:
            if start < 0 or context[start : start + len(text)] != text:
                raise ValueError(
                    "The context must contain the answer at answer_start. Received: "
                    f"{text[:80]!r} at {start} in row {row}, where the context has "
                    f"{context[max(start, 0) :][: len(text)][:80]!r}"
                )
        found.append(pairs)
    return found


def _pairs(given, row):
    """List of (start, text) of the answers to the question in a row."""
    if _is_answer(given) and _is_many(given["text"]):
        texts, starts = (
            values_of(given[name], f"{name} of row {row}")
            for name in ("text", "answer_start")
        )
        given = [
            {"text": text, "answer_start": start}
            for text, start in itertools.zip_longest(texts, starts)
        ]
    elif isinstance(given, Mapping):
        given = [given]
    elif is_missing(given):
        given = []
    known = isinstance(given, Iterable) and not isinstance(given, str | bytes)
    if not known or not all(map(_is_answer, given)):
        raise ValueError(
            "Answers must be dicts of text and answer_start. Received: "
            f"{shown(given)} in row {row}"
        )
    return [_start_and_text(one["answer_start"], one["text"], row) for one in given]


def _is_many(text):
    return not (isinstance(text, str | bytes) or is_missing(text))


def _is_answer(x):
    return isinstance(x, Mapping) and "text" in x and "answer_start" in x


def _start_and_text(start, text, row):
    if not isinstance(text, str | bytes):
        raise ValueError(
            f"The text of an answer must be a string. Received: {shown(text)} in row "
            f"{row}"
        )
    if not is_whole(start):
        raise ValueError(
            f"answer_start must be an integer. Received: {shown(start)} in row {row}"
        )
    return int(start), _text(text)
