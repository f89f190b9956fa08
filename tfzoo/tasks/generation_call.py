"""One call of `generate` or `stream`: its arguments, checked, and what it does."""

import dataclasses
import difflib
import numbers
import typing

from tfzoo.generation.options import DEFAULT_NEW_TOKENS, GenerationOptions
from tfzoo.generation.rules import check_ids
from tfzoo.training.host_memory import keep_freed_memory

STEPS = 8  # tokens between two looks at the text, for streams and stop strings
TO_THE_END = 2**30


class Generated(typing.NamedTuple):
    """A text that continues a prompt.

    Attributes:
        text: What comes after the prompt.
        token_ids: Its ids, an end token included.
        score: Of a beam: the sum of its log-probabilities over its length raised to
            `length_penalty`. Otherwise None.
    """

    text: str
    token_ids: list
    score: float | None


class GenerationCall:
    """The arguments of a call, and its prompts on their way.

    Args:
        task: A task with `backbone` and `tokenizer`.
        options: Dict of the options of `Generating.generate`.
        compiled_generation: Function of an assistant or None and of `jit_compile` to a
            `CompiledGeneration`.
    """

    def __init__(self, task, options, compiled_generation):
        options = dict(options)
        self.tokenizer, self.backbone = task.tokenizer, task.backbone
        self.truncation = options.pop("truncation", "error")
        if self.truncation not in ("error", "left"):
            raise ValueError(
                f"truncation must be 'error' or 'left'. Received: {self.truncation!r}"
            )
        stop = options.pop("stop_strings", None) or []
        self.stop_strings = [stop] if isinstance(stop, str) else list(stop)
        if not all(isinstance(s, str) and s for s in self.stop_strings):
            raise ValueError(
                f"stop_strings must be texts, not empty. Received: {self.stop_strings}"
            )
        assistant = options.pop("assistant_model", None)
        jit_compile = options.pop("jit_compile", True)
        bad_words = self._bad_words(options.pop("bad_words", None) or [])
        bad_words += options.get("bad_words_ids") or []
        options["bad_words_ids"] = bad_words or None
        _check_names(options)
        self.options = GenerationOptions(**options)
        self._check_methods(assistant, task)
        self.end_ids = self._end_ids()
        self.compiled = compiled_generation(assistant, jit_compile)
        keep_freed_memory()

    def _check_methods(self, assistant, task):
        options = self.options
        greedy = options.num_beams == 1 and not options.draws
        if assistant is not None:
            if not greedy or options.penalty_alpha is not None:
                raise ValueError(
                    "An assistant_model goes with greedy decoding alone. Received: "
                    f"num_beams={options.num_beams}, do_sample={options.draws}, "
                    f"penalty_alpha={options.penalty_alpha}"
                )
            ours, theirs = task.tokenizer, assistant.tokenizer
            if ours.get_config() != theirs.get_config():
                raise ValueError(
                    "An assistant_model must have the same tokenizer. Received: "
                    f"vocabulary_size={theirs.vocabulary_size} and its own merges, "
                    f"where the large model has {ours.vocabulary_size}"
                )
            limits = (
                assistant.backbone.max_sequence_length,
                self.backbone.max_sequence_length,
            )
            if limits[0] < limits[1]:
                raise ValueError(
                    "An assistant_model must read as much as the large one. Received: "
                    f"max_sequence_length={limits[0]}, large {limits[1]}"
                )
        elif options.num_assistant_tokens is not None:
            raise ValueError(
                "num_assistant_tokens needs an assistant_model. "
                f"Received: {options.num_assistant_tokens}"
            )
        if self.stop_strings and options.num_beams > 1:
            raise ValueError(
                "stop_strings do not go with a beam search. Received: "
                f"num_beams={options.num_beams}, stop_strings={self.stop_strings}"
            )

    def _end_ids(self):
        ids = self.options.eos_token_id
        if ids is None:
            ids = [] if self.tokenizer.end_id is None else self.tokenizer.end_id
        ids = list(ids) if isinstance(ids, list | tuple) else [ids]
        check_ids("eos_token_id", ids, self.backbone.vocabulary_size)
        return ids

    def _bad_words(self, words):
        words = [words] if isinstance(words, str) else list(words)
        if not all(words):
            raise ValueError(f"bad_words must not be empty. Received: {words}")
        forms = [form for word in words for form in (word, f" {word}")]
        return [self.tokenizer.tokenize(form) for form in forms]

    def seeds(self, num_prompts):
        """One seed for each prompt, or None where there is one for all or none."""
        seeds = self.options.seed
        if seeds is None or isinstance(seeds, numbers.Integral):
            return None
        if len(seeds) != num_prompts:
            raise ValueError(
                "seed must be a whole number or one for each prompt. "
                f"Received: {len(seeds)} seeds, {num_prompts} prompts"
            )
        return list(seeds)

    def ids_of(self, prompts):
        """Lists of ids, none empty; with truncation, that leave room for what comes."""
        has_end = self.tokenizer.end_id is not None
        prompts = [text_of(prompt) for prompt in prompts]
        if "" in prompts and not has_end:
            raise ValueError(
                "An empty prompt begins with the end token, which must be there. "
                "Received: an empty prompt, end_id=None"
            )
        rows = self.tokenizer.tokenize(prompts, end_token=has_end)
        rows = [row or [self.tokenizer.end_id] for row in rows]
        if self.truncation == "left":
            longest = self._longest_prompt()
            rows = [row[-longest:] for row in rows]
        return rows

    def _longest_prompt(self):
        """Tokens of a prompt that what is to come leaves room for, at least 1."""
        context, options = self.backbone.max_sequence_length, self.options
        if options.max_length is not None:
            return max(1, min(context, options.max_length) - 1)
        new = options.max_new_tokens
        if new is None:
            new = min(DEFAULT_NEW_TOKENS, context // 2)
        if new >= context:
            raise ValueError(
                f"max_new_tokens must be below {context}, the context. Received: {new}"
            )
        return context - new

    def generated(self, prompts, seeds=None):
        """For each prompt a list of `Generated`."""
        options = self.options
        if seeds is not None:
            options = dataclasses.replace(options, seed=seeds)
        run = self.compiled.start(self.ids_of(prompts), options, self.end_ids)
        while not run.done():
            run.advance(STEPS if self.stop_strings else TO_THE_END)
            if self.stop_strings:
                rows = enumerate(run.tokens())
                run.stop([i for i, ids in rows if self.stopped(ids)])
        return [
            [Generated(*self.up_to_stop(ids), score) for ids, score in group]
            for group in run.results()
        ]

    def streamed(self, prompt):
        """Yields the text as it comes."""
        run = self.compiled.start(self.ids_of([prompt]), self.options, self.end_ids)
        stream, num_read, text, given = self.tokenizer.stream(), 0, "", 0
        while True:
            ids = run.tokens()[0]
            text += stream.add(ids[num_read:])
            num_read = len(ids)
            if run.done():
                text += stream.end()
            cut = self.cut(text)
            if len(cut) > given:
                yield cut[given:]
                given = len(cut)
            if run.done() or cut != text:
                return
            run.advance(STEPS)

    def stopped(self, ids):
        """Whether the text of these ids holds a stop string."""
        text = self.tokenizer.detokenize(ids)
        return any(stop in text for stop in self.stop_strings)

    def up_to_stop(self, ids):
        """The text up to the end of the first stop string, and the ids it takes."""
        if self.stop_strings and self.stopped(ids):
            number = next(n for n in range(1, len(ids) + 1) if self.stopped(ids[:n]))
            ids = ids[:number]
        return self.cut(self.tokenizer.detokenize(ids)), ids

    def cut(self, text):
        """The text up to the end of the first stop string in it."""
        ends = [text.find(s) + len(s) for s in self.stop_strings if s in text]
        return text[: min(ends)] if ends else text


def _check_names(options):
    names = [field.name for field in dataclasses.fields(GenerationOptions)]
    for name in options:
        if name not in names:
            close = ", ".join(difflib.get_close_matches(name, names)) or "none"
            raise TypeError(
                f"An option must be one of GenerationOptions. Received: {name}; those "
                f"with a name like it: {close}"
            )


def text_of(prompt):
    """The text of a prompt that may be bytes."""
    if isinstance(prompt, bytes):
        return prompt.decode("utf-8", "replace")
    if not isinstance(prompt, str):
        raise ValueError(
            f"A prompt must be str or bytes. Received: {type(prompt).__name__}"
        )
    return prompt
