"""Checks the options of one call of `generate` or `stream` against the task."""

import dataclasses

import numpy as np

from tfzoo.errors import refuse_unknown, require_flags, shown
from tfzoo.generation.neutral import NEUTRAL, without_neutral
from tfzoo.generation.options import GenerationOptions
from tfzoo.generation.rules import check_ids
from tfzoo.tasks.inputs import text_of, texts_or_one

OURS = ("truncation", "bad_words", "stop_strings", "assistant_model", "jit_compile")
OPTIONS = tuple(field.name for field in dataclasses.fields(GenerationOptions))


class CallOptions:
    """The options of a call.

    Args:
        task: A task with `backbone`, `tokenizer` and `end_token_ids`.
        options: Dict of the options of `Generating.generate`; None means the default.

    Attributes:
        options: `GenerationOptions`.
        end_ids: List of the ids that end a text.
        truncation: `"error"` or `"left"`.
        stop_strings: List of str.
        assistant: A task or None.
        jit_compile: Whether XLA compiles.

    Raises:
        ValueError: a value is out of range, or two values contradict each other.
        TypeError: an option does not exist.
    """

    def __init__(self, task, options):
        named = [name for name in options if name not in NEUTRAL]
        refuse_unknown("generate", named, [*OPTIONS, *OURS])
        vocabulary_size = task.backbone.vocabulary_size
        options = without_neutral(
            {name: value for name, value in options.items() if value is not None},
            vocabulary_size=vocabulary_size,
            begin_id=task.output_tokenizer.begin_id,
        )
        self.truncation = options.pop("truncation", "error")
        if self.truncation not in ("error", "left"):
            raise ValueError(
                f"truncation must be 'error' or 'left'. Received: {self.truncation!r}"
            )
        self.stop_strings = _words("stop_strings", options.pop("stop_strings", ()))
        self.jit_compile = options.pop("jit_compile", True)
        require_flags(jit_compile=self.jit_compile)
        self.assistant = options.pop("assistant_model", None)
        bad_words = [
            task.output_tokenizer.tokenize(form)
            for word in _words("bad_words", options.pop("bad_words", ()))
            for form in (word, f" {word}")
        ]
        bad_words += _listed("bad_words_ids", options.pop("bad_words_ids", ()))
        end_ids = options.pop("eos_token_id", task.end_token_ids)
        end_ids = _listed("eos_token_id", end_ids)
        check_ids("eos_token_id", end_ids, vocabulary_size)
        self.end_ids = [*dict.fromkeys(end_ids)]
        self.options = GenerationOptions(bad_words_ids=bad_words or None, **options)
        self._check_beams()
        if self.assistant is not None:
            self._check_assistant(task)
        elif self.options.num_assistant_tokens is not None:
            raise ValueError(
                "num_assistant_tokens requires an assistant_model. "
                f"Received: {self.options.num_assistant_tokens}"
            )

    def _check_beams(self):
        if self.stop_strings and self.options.num_beams > 1:
            raise ValueError(
                "stop_strings require num_beams=1. Received: num_beams="
                f"{self.options.num_beams}, stop_strings={self.stop_strings}"
            )

    def _check_assistant(self, task):
        options, assistant = self.options, self.assistant
        if not isinstance(assistant, type(task)):
            raise ValueError(
                f"assistant_model must be a {type(task).__name__}. "
                f"Received: {shown(assistant)}"
            )
        if options.num_beams > 1 or options.draws or options.penalty_alpha is not None:
            raise ValueError(
                "An assistant_model requires greedy decoding. Received: "
                f"num_beams={options.num_beams}, do_sample={options.draws}, "
                f"penalty_alpha={options.penalty_alpha}"
            )
        ours, theirs = task.tokenizer, assistant.tokenizer
        if ours.get_config() != theirs.get_config():
            raise ValueError(
                "assistant_model must have the same tokenizer. Received: another "
                f"tokenizer, with vocabulary_size={theirs.vocabulary_size} instead of "
                f"{ours.vocabulary_size}"
            )
        reads = assistant.backbone.max_sequence_length
        large = task.backbone.max_sequence_length
        if reads < large:
            raise ValueError(
                f"assistant_model must have a max_sequence_length >= {large}. "
                f"Received: max_sequence_length={reads}"
            )


def _words(name, words):
    words, _ = texts_or_one(words, name)
    if not all(words):
        raise ValueError(f"{name} must not be empty. Received: {shown(words)}")
    return [text_of(word) for word in words]


def _listed(name, values):
    """Converts one value, a list, a tuple or an array to a list."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, list | tuple):
        return list(values)
    if name == "eos_token_id":
        return [values]
    raise ValueError(f"{name} must be a list. Received: {shown(values)}")
