"""Extractive question answering.

Shapes: N questions, W windows, B batch, S sequence.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tfzoo.checkpoints.fields import read_field
from tfzoo.data.context_windows import answer_targets, encode_windows
from tfzoo.errors import require_flags, require_whole
from tfzoo.layers.keywords import known_keywords
from tfzoo.tasks.answering.questions import (
    accepted_answers,
    gathered_questions,
    raw_questions,
)
from tfzoo.tasks.answering.served_answers import question_answerer_signatures
from tfzoo.tasks.answering.spans import NO_ANSWER, likeliest_spans, window_spans
from tfzoo.tasks.encoder_task import EncoderTask
from tfzoo.tasks.evaluating import FiguresOfAll
from tfzoo.tasks.numeric import example_weights, whole_targets
from tfzoo.tasks.plan import BATCH_SIZE
from tfzoo.tasks.predicting import as_rows, refuse_steps
from tfzoo.tasks.token_outputs import token_outputs
from tfzoo.training.answers import AnswerSpanLoss, AnswerSpanMetrics, exact_match_and_f1

MAX_QUESTION_LENGTH = 64  # in tokens; google-research/bert run_squad.py
STRIDE = 128
WINDOWS_AT_ONCE = 64  # windows whose spans are compared at once
_NEVER = -1e9  # logit of padding


@keras.saving.register_keras_serializable("tfzoo")
class QuestionAnswerer(FiguresOfAll, EncoderTask):
    """Finds the start and end of the answer to a question in a context.

    Args:
        backbone: A `BertEncoder`, a `RobertaEncoder` or a `DistilBertEncoder`.
        tokenizer: A `WordPieceTokenizer` or a `ByteBPETokenizer` with the special
            tokens of an encoder.
        max_sequence_length: Maximum number of tokens per window. Defaults to the
            backbone's.
        max_answer_length: Maximum number of tokens of an answer.
        max_question_length: Maximum number of tokens of a question; longer ones are
            truncated. Defaults to 64, or a third of `max_sequence_length` if less.
        stride: Number of tokens that a window of a long context shares with the
            previous one. Defaults to 128, or a third of `max_sequence_length` if less.
        unanswerable: Whether a question may have no answer, as in SQuAD 2.0.
        answer_dropout: Fraction of units of the head to drop during training; BERT uses
            none.

    Raw input `x` is a dict of `question` and `context`, lists of texts, or a list of
    such dicts. `y` contains the answers to each question in SQuAD's form, dicts of
    `text` and `answer_start` (in characters), of which the first is trained on. `x` may
    contain them as `answers`. If a context fills several windows, the target of those
    that lack a part of the answer is their first token, as for questions without an
    answer. Batches of such dicts, from a dataset, a `PyDataset` or a finite generator,
    are first read into memory, because a context may fill several windows. For raw
    questions, `evaluate` also returns SQuAD's `exact_match` and `f1`, in [0, 1].

    Returns:
        (B, S, 2) float32 logits of the start and the end; padding has -1e9.

    Source: Devlin et al. 2018, sections 4.2 and 4.3, https://arxiv.org/abs/1810.04805
    """

    capability = "QuestionAnswerer"
    peft_task = "QUESTION_ANS"
    trains_head = True
    heads = ("answer_span",)
    argument_types = {
        "max_sequence_length": int,
        "max_answer_length": int,
        "max_question_length": int,
        "stride": int,
        "unanswerable": bool,
        "answer_dropout": float,
    }
    signatures = staticmethod(question_answerer_signatures)

    def __init__(
        self,
        backbone,
        tokenizer,
        *,
        max_sequence_length=None,
        max_answer_length=30,
        max_question_length=None,
        stride=None,
        unanswerable=False,
        answer_dropout=0.0,
        **kwargs,
    ):
        require_flags(unanswerable=unanswerable)
        for name, value, least in (
            ("max_answer_length", max_answer_length, 1),
            ("max_question_length", max_question_length, 1),
            ("stride", stride, 0),
        ):
            require_whole(name, value, least, optional=name != "max_answer_length")
        logits = token_outputs(backbone, 2, answer_dropout, name=self.heads[0])
        is_token = ops.expand_dims(backbone.input["padding_mask"], -1) > 0
        super().__init__(
            backbone,
            tokenizer,
            ops.where(is_token, logits, _NEVER),
            max_sequence_length=max_sequence_length,
            **kwargs,
        )
        third = self.max_sequence_length // 3
        if max_question_length is None:
            max_question_length = min(MAX_QUESTION_LENGTH, third)
        stride = min(STRIDE, third) if stride is None else stride
        layout = self.tokenizer.layout_ids
        if layout.first is None:
            raise ValueError(
                "The layout must have a first token, the position of no answer. "
                f"Received: {self.tokenizer.layout}"
            )
        num_special = layout.num_special(2)
        room = self.max_sequence_length - num_special - max_question_length
        if stride >= room:
            raise ValueError(
                f"stride must be < {room}, the number of tokens left for the context. "
                f"Received: stride={stride}, "
                f"max_question_length={max_question_length}, "
                f"max_sequence_length={self.max_sequence_length}"
            )
        self.max_answer_length = int(max_answer_length)
        self.max_question_length = int(max_question_length)
        self.stride = int(stride)
        self.unanswerable = bool(unanswerable)
        self.answer_dropout = float(answer_dropout)

    @classmethod
    def stored_arguments(cls, config, path):
        stored = super().stored_arguments(config, path)
        if (dropout := cls.head_in(config).dropout) is not None:
            stored["answer_dropout"] = read_field(config, path, dropout)
        return stored

    def label_fields(self):
        field = self.backbone.family.heads[self.capability].dropout
        return {} if field is None else {field.name: self.answer_dropout}

    def served_arguments(self):
        names = ("max_answer_length", "max_question_length", "stride", "unanswerable")
        return {name: getattr(self, name) for name in names}

    def default_loss(self, label_smoothing):
        if label_smoothing:
            raise ValueError(
                "label_smoothing must be 0 for question answering. "
                f"Received: label_smoothing={label_smoothing}"
            )
        return AnswerSpanLoss()

    def default_metrics(self):
        return [AnswerSpanMetrics()]

    raw_input = staticmethod(raw_questions)
    gathered = staticmethod(gathered_questions)

    def targets_of_raw(self, x, y):
        return accepted_answers(x.answers if y is None else y, x)

    def targets_of_ids(self, y, inputs):
        rows, length = inputs["token_ids"].shape
        return whole_targets(y, length, (rows, 2)), None

    def target_specs_of_ids(self, y, x):
        return tf.TensorSpec(y.shape, tf.int32), None

    def _windows(self, questions):
        return encode_windows(
            questions.questions,
            questions.contexts,
            self.tokenizer,
            max_length=self.max_sequence_length,
            max_question_length=self.max_question_length,
            stride=self.stride,
        )

    def batches_of(self, x, y, sample_weight, plan):
        """Batches of windows of raw questions, see `Task`."""
        questions = raw_questions(x)
        accepted = self.targets_of_raw(questions, y)
        first = [
            (answers[0][0], answers[0][0] + len(answers[0][1])) if answers else None
            for answers in accepted
        ]
        windows = self._windows(questions)
        weight = example_weights(sample_weight, len(accepted))
        targets = answer_targets(windows, first)
        return self.padded(windows.encoded, targets, weight[windows.question], plan)

    def figures_of_all(self, raw, y, batch_size):
        """SQuAD's `exact_match` and `f1` of the answers, in [0, 1]."""
        answers = self._answers(raw, 1, batch_size or BATCH_SIZE)
        accepted = self.targets_of_raw(raw, y)
        figures = [
            exact_match_and_f1(best[0]["answer"], [text for _, text in right])
            for best, right in zip(answers, accepted, strict=True)
        ]
        if not figures:
            return {}
        exact_match, f1 = np.mean(figures, axis=0)
        return {"exact_match": float(exact_match), "f1": float(f1)}

    @known_keywords("verbose", "steps", "callbacks")
    def predict(self, x, batch_size=None, **kwargs):
        """Logits; otherwise as in Keras.

        Args:
            x: Raw questions, or prepared ids, or batches of either.
            batch_size: Windows per batch. Defaults to 32; None with a dataset.
            **kwargs: As in Keras, with prepared ids.

        Returns:
            For raw questions, the logits of all windows in order, float32 (W, S, 2),
            with S of the longest window and padding of NaN.
        """
        x = gathered_questions(x)
        questions = raw_questions(x)
        if questions is None:
            return self.predict_batches(x, batch_size, **kwargs)
        refuse_steps(kwargs)
        require_whole("batch_size", batch_size, 1, optional=True)
        encoded = self._windows(questions).encoded
        return as_rows(
            self.outputs_of_rows(encoded, batch_size=batch_size or BATCH_SIZE), 2
        )

    @known_keywords()
    def answer(
        self,
        questions=None,
        contexts=None,
        *,
        question=None,
        context=None,
        top_k=1,
        batch_size=BATCH_SIZE,
    ):
        """The most likely answers.

        Args:
            questions: A question, or a list of them.
            contexts: The text that contains the answer, or a list of the same length.
            question: Another name of `questions`.
            context: Another name of `contexts`.
            top_k: Number of answers per question.
            batch_size: Windows per batch.

        Returns:
            For each question a dict: `answer`, its probability `score`, and its
            position in the context, the characters `start` to `end`; for `top_k` > 1 a
            list of dicts, most likely first (fewer if the context has fewer spans). An
            empty answer, for an empty context or an `unanswerable` question, has
            position 0. Not a list if `questions` is a single question.
        """
        questions = _one_of(questions=questions, question=question)
        contexts = _one_of(contexts=contexts, context=context)
        if isinstance(questions, str | bytes):
            return self.answer(
                [questions], [contexts], top_k=top_k, batch_size=batch_size
            )[0]
        require_whole("top_k", top_k, 1)
        require_whole("batch_size", batch_size, 1)
        raw = raw_questions({"question": questions, "context": contexts})
        answers = self._answers(raw, top_k, batch_size)
        return [found[0] for found in answers] if top_k == 1 else answers

    def _answers(self, questions, top_k, batch_size):
        """For each question, a list of one to `top_k` answers."""
        if not questions.contexts:
            return []
        windows = self._windows(questions)
        logits = self.outputs_of_rows(windows.encoded, batch_size=batch_size)
        where = {
            name: getattr(windows, name).astype(np.int32)
            for name in ("question", "offset", "first", "count")
        }
        # No window has more spans.
        most = min(top_k, self.max_sequence_length * self.max_answer_length)
        parts = []
        for start in range(0, len(logits), WINDOWS_AT_ONCE):
            part = slice(start, start + WINDOWS_AT_ONCE)
            rows = as_rows(logits[part], 2, fill=0.0).astype(np.float64)
            there = {name: values[part] for name, values in where.items()}
            parts.append(
                window_spans(
                    rows, there, top_k=most, max_answer_length=self.max_answer_length
                )
            )
        spans = {name: tf.concat([p[name] for p in parts], 0) for name in parts[0]}
        found = likeliest_spans(
            spans,
            where,
            len(questions.contexts),
            top_k=top_k,
            max_answer_length=self.max_answer_length,
            unanswerable=self.unanswerable,
        )
        rows = zip(*(x.to_list() for x in found), strict=True)
        nowhere = ([0.0], [NO_ANSWER], [NO_ANSWER])
        return [
            [
                _answer(context, tokens, *span)
                for span in zip(*(row if row[0] else nowhere), strict=True)
            ]
            for context, tokens, row in zip(
                questions.contexts, windows.contexts, rows, strict=True
            )
        ]


def _one_of(**given):
    """The only argument that is not None, of two with the same meaning."""
    found = [value for value in given.values() if value is not None]
    if len(found) != 1:
        raise ValueError(
            f"Exactly one of {' and '.join(given)} must be given. Received: "
            f"{'both' if found else 'neither'}"
        )
    return found[0]


def _answer(context, tokens, score, first, last):
    """The dict of a span of tokens, or of no answer."""
    if first == NO_ANSWER:
        return {"answer": "", "score": score, "start": 0, "end": 0}
    start, end = int(tokens.starts[first]), int(tokens.ends[last])
    return {"answer": context[start:end], "score": score, "start": start, "end": end}
