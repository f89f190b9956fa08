"""One call of `generate` or `stream`: its arguments, checked, and what it does."""

import dataclasses
import numbers
import typing

from tfzoo.generation.options import DEFAULT_NEW_TOKENS
from tfzoo.tasks.causal_lm.generation_options import CallOptions
from tfzoo.tasks.inputs import text_of
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
        asked = CallOptions(task, options)
        self.tokenizer, self.backbone = task.tokenizer, task.backbone
        self.options, self.end_ids = asked.options, asked.end_ids
        self.truncation, self.stop_strings = asked.truncation, asked.stop_strings
        self.compiled = compiled_generation(asked.assistant, asked.jit_compile)
        keep_freed_memory()

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
        """Lists of ids, none empty; with truncation, that leave room for what comes.

        They begin as the layout of the tokenizer does.
        """
        first = self.tokenizer.layout_ids.first
        before = [] if first is None else [first]
        prompts = [text_of(prompt) for prompt in prompts]
        rows = self.tokenizer.tokenize(prompts, end_token=True)
        if self.truncation == "left":
            longest = self._longest_prompt() - len(before)
            rows = [row[max(0, len(row) - longest) :] for row in rows]
        return [[*before, *row] or [self.tokenizer.begin_id] for row in rows]

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

    def generated(self, prompts, seeds=None, first=0):
        """For each prompt a list of `Generated`; `first` is the number of the first."""
        options = self.options
        if seeds is not None:
            options = dataclasses.replace(options, seed=seeds)
        run = self.compiled.start(self.ids_of(prompts), options, self.end_ids)
        while not run.done():
            run.advance(STEPS if self.stop_strings else TO_THE_END)
            if self.stop_strings:
                rows = enumerate(run.tokens())
                run.stop([i for i, ids in rows if self.stopped(ids)])
        self._check_finite(run, first)
        return [
            [Generated(*self.up_to_stop(ids), score) for ids, score in group]
            for group in run.results()
        ]

    def streamed(self, prompt):
        """Yields the text as it comes."""
        run = self.compiled.start(self.ids_of([prompt]), self.options, self.end_ids)
        stream, num_read, text, given = self.tokenizer.stream(), 0, "", 0
        while True:
            self._check_finite(run)
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

    def _check_finite(self, run, first=0):
        for row in run.not_finite():
            raise ValueError(
                "Logits must be finite: the model's weights are not, or its dtype, "
                f"{self.backbone.dtype_name}, overflows. Received: NaN or infinity "
                f"after the prompt of row {first + row}"
            )

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
