"""Windows over contexts that are too long for a question-answering model.

A window is the question followed by a part of the context; the next window begins
`stride` tokens before the end of the previous one. Letters: N questions, W windows,
S tokens.

Source: Devlin et al. 2018, google-research/bert run_squad.py; `stride` is that of the
tokenizers in `transformers`
"""

from typing import NamedTuple

import numpy as np

from tfzoo.text.segments import EncodedBatch

NO_ANSWER = 0  # the first token, the target position if there is no answer


class ContextTokens(NamedTuple):
    """The tokens of a context: ids, start and end characters, each int (T,)."""

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


class Windows(NamedTuple):
    """W windows of N questions; the windows of a question are consecutive.

    Attributes:
        encoded: `EncodedBatch` of the windows.
        question: int (W,), index of the question.
        offset: int (W,), index in the window of its first context token.
        first: int (W,), index of that token in the context.
        count: int (W,), number of context tokens in the window.
        contexts: List of N `ContextTokens`.
    """

    encoded: EncodedBatch
    question: np.ndarray
    offset: np.ndarray
    first: np.ndarray
    count: np.ndarray
    contexts: list


def encode_windows(
    questions, contexts, tokenizer, *, max_length, max_question_length, stride
):
    """Divides contexts into windows.

    Args:
        questions: N texts.
        contexts: N texts.
        tokenizer: A tokenizer with the special tokens of an encoder.
        max_length: Maximum number of tokens in a window.
        max_question_length: Maximum number of tokens in a question; longer questions
            are truncated.
        stride: Number of tokens that consecutive windows share; less than the number
            left for the context.

    Returns:
        `Windows`.
    """
    layout = tokenizer.layout_ids
    known, ids, segments, places = {}, [], [], []
    for number, (question, context) in enumerate(zip(questions, contexts, strict=True)):
        if context not in known:
            known[context] = _context_tokens(tokenizer, context)
        tokens = known[context].ids
        around = tokenizer.encode(
            question, "", max_length=max_question_length + layout.num_special(2)
        )
        end = len(around.token_ids) - (layout.last is not None)
        head, tail = np.split(np.array(around.token_ids, np.int32), [end])
        room = max_length - len(around.token_ids)
        for first in range(0, max(len(tokens) - stride, 1), room - stride):
            part = tokens[first : first + room]
            places.append((number, len(head), first, len(part)))
            ids.append(np.concatenate([head, part, tail]))
            after = np.full(len(part) + len(tail), layout.second_segment)
            segments.append(np.concatenate([around.segment_ids[:end], after]))
    empty = np.zeros(0, np.int32)
    encoded = EncodedBatch(
        np.concatenate([empty, *ids], dtype=np.int32),
        np.concatenate([empty, *segments], dtype=np.int32),
        np.cumsum([0, *map(len, ids)]),
    )
    columns = np.array(places, np.int64).reshape(-1, 4).T
    return Windows(encoded, *columns, [known[context] for context in contexts])


def _context_tokens(tokenizer, context):
    encoding = tokenizer.encode(context)
    is_text = np.array(encoding.special_tokens_mask, np.int32) == 0
    starts, ends = np.array(encoding.offsets, np.int64).reshape(-1, 2)[is_text].T
    return ContextTokens(np.array(encoding.token_ids, np.int32)[is_text], starts, ends)


def answer_targets(windows, answers):
    """Start and end tokens of the answers, int32 (W, 2).

    Args:
        windows: `Windows`.
        answers: For each of N questions the character range (start, end) of the answer
            in the context, or None.

    Returns:
        int32 (W, 2); both are NO_ANSWER if a window does not contain the whole answer.
    """
    tokens = [
        (0, -1) if answer is None else _token_span(context, *answer)
        for context, answer in zip(windows.contexts, answers, strict=True)
    ]
    spans = np.array(tokens, np.int64).reshape(-1, 2)[windows.question]
    spans -= windows.first[:, None]
    start, end = spans.T
    is_inside = (start >= 0) & (start <= end) & (end < windows.count)
    spans += windows.offset[:, None]
    return np.where(is_inside[:, None], spans, NO_ANSWER).astype(np.int32)


def _token_span(context, start, end):
    """First and last token with a character of [start, end); none if first > last."""
    first = int(np.searchsorted(context.ends, start, side="right"))
    return first, int(np.searchsorted(context.starts, end, side="left")) - 1
