"""Text from prompts, for a task with a decoder and a tokenizer."""

import dataclasses
import typing

from tfzoo.errors import is_whole, require_flags, require_whole
from tfzoo.generation.compiled import CompiledGeneration
from tfzoo.generation.options import DEFAULT_NEW_TOKENS
from tfzoo.tasks.causal_lm.generation_options import CallOptions
from tfzoo.tasks.inputs import text_of, texts_or_one
from tfzoo.tasks.side_by_side import mapped
from tfzoo.training.host_memory import freed_memory_kept

STEPS = 8  # tokens between two searches for stop strings
TO_THE_END = 2**30


class Generated(typing.NamedTuple):
    """A text that continues a prompt.

    Attributes:
        text: The text after the prompt.
        token_ids: Its ids, including an end token.
        score: For a beam, the sum of its log-probabilities divided by its length to the
            power of `length_penalty`. Otherwise None.
    """

    text: str
    token_ids: list
    score: float | None


class Generating:
    """Mixin: `generate` and `stream`.

    A task defines a `backbone` with a method `step`, as in `GPTDecoder`, a `tokenizer`
    with an end token, and `end_token_ids`, a list of the ids that end a text.
    """

    @property
    def output_tokenizer(self):
        """The tokenizer of generated texts."""
        return self.tokenizer

    def generate(
        self,
        prompts,
        *,
        return_full_text=False,
        return_dict_in_generate=False,
        batch_size=32,
        **options,
    ):
        """Continues texts. The result for a prompt does not depend on the others.

        The first call for each shape compiles (seconds); later calls reuse the result.

        Args:
            prompts: A text, str or bytes, or a column of them: a list, an array, a
                string tensor, a column of a data frame, an iterator. Invalid UTF-8
                becomes U+FFFD. A prompt starts with the first token of the tokenizer's
                layout, if any, and ends with its own text. An end token in a prompt is
                recognized as such, and an empty prompt starts a new text, with the end
                token if the layout has no first token.
            return_full_text: Whether texts include their prompts.
            return_dict_in_generate: Whether to return `Generated` instead of texts.
            batch_size: Number of prompts of a batch. Of a model of at most 16 million
                weights, two batches are computed at a time.
            **options: Those of `GenerationOptions` (by default, a text ends at the
                task's `end_token_ids`), options of `transformers` that tfzoo lacks at
                values without an effect, and
                truncation: `"error"` rejects prompts that leave too little of the
                    context, `"left"` drops their start.
                bad_words: Texts that must not occur, with or without a space before;
                    with SentencePiece, only at the start of a word.
                stop_strings: A text, or texts, after which generation ends; the stop
                    string is kept.
                assistant_model: A task with a smaller backbone, whose proposals make
                    greedy decoding faster without changing the result.
                jit_compile: Whether XLA compiles. Defaults to True.

        Returns:
            A text for each prompt or, with `num_return_sequences`, a list of texts,
            best beam first. Not a list if `prompts` is a single text.

        Raises:
            ValueError: an argument is out of range, contradicts another or does not fit
                the model; a prompt is missing; or the model's logits are not finite.
            TypeError: an option does not exist.
        """
        require_flags(
            return_full_text=return_full_text,
            return_dict_in_generate=return_dict_in_generate,
        )
        call = GenerationCall(self, options, self._compiled_generation)
        prompts, single = texts_or_one(prompts, "prompts")
        results = call.results(call.ids_of(prompts), batch_size)
        if not return_dict_in_generate:
            begin = prompts if return_full_text else [""] * len(prompts)
            results = [
                [text_of(prompt) + generated.text for generated in group]
                for prompt, group in zip(begin, results, strict=True)
            ]
        if options.get("num_return_sequences") is None:
            results = [group[0] for group in results]
        return results[0] if single else results

    def stream(self, prompt, **options):
        """Continues one text incrementally.

        Args:
            prompt: A text, as in `generate`.
            **options: As in `generate`; only one text, without beams.

        Yields:
            The text of each token as soon as it is known, or of several tokens if they
            make one character or come from one step with an assistant; together they
            equal the result of `generate`.
        """
        call = GenerationCall(self, options, self._compiled_generation)
        call.check_stream()
        prompts, single = texts_or_one(prompt, "prompt")
        if not single:
            raise ValueError(
                "prompt must be one text, str or bytes. "
                f"Received: {type(prompt).__name__} of {len(prompts)}"
            )
        return call.streamed(*call.ids_of(prompts))

    def forget_traces(self):
        super().forget_traces()
        vars(self).pop("_generations", None)

    def _compiled_generation(self, assistant, jit_compile):
        """The `CompiledGeneration` of these arguments, cached for the next call."""
        if "_generations" not in self.__dict__:
            # Hidden from Keras, which would track its content.
            object.__setattr__(self, "_generations", {})
        draft = None if assistant is None else assistant.backbone
        key = (id(draft), jit_compile)
        if key not in self._generations:
            self._generations[key] = CompiledGeneration(
                self.backbone, draft=draft, jit_compile=jit_compile
            )
        return self._generations[key]


class GenerationCall:
    """One call of `generate` or `stream`.

    Args:
        task: A task with `backbone` and `tokenizer`.
        options: Dict of the options of `Generating.generate`.
        compiled_generation: Function of an assistant (or None) and `jit_compile` that
            returns a `CompiledGeneration`.
    """

    def __init__(self, task, options, compiled_generation):
        asked = CallOptions(task, options)
        self.tokenizer, self.backbone = task.output_tokenizer, task.backbone
        self.options, self.end_ids = asked.options, asked.end_ids
        self.truncation, self.stop_strings = asked.truncation, asked.stop_strings
        self.compiled = compiled_generation(asked.assistant, asked.jit_compile)

    def seeds(self, num_prompts):
        """One seed per prompt; None if there is a single seed or none."""
        seeds = self.options.seed
        if seeds is None or is_whole(seeds):
            return None
        if len(seeds) != num_prompts:
            raise ValueError(
                "seed must be an integer or one integer per prompt. "
                f"Received: {len(seeds)} seeds, {num_prompts} prompts"
            )
        return list(seeds)

    def check_stream(self):
        """Raises `ValueError` if there is more than one text to follow."""
        many = self.options.num_return_sequences, self.options.num_beams
        if many != (1, 1):
            raise ValueError(
                "stream supports one text without beams. Received: "
                f"num_return_sequences={many[0]}, num_beams={many[1]}"
            )

    def ids_of(self, prompts):
        """Non-empty lists of ids, beginning with the first token of the layout.

        With truncation, they leave room for new tokens.
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
        """Number of prompt tokens next to the new tokens, at least 1."""
        context, options = self.backbone.max_sequence_length, self.options
        if options.max_length is not None:
            return max(1, min(context, options.max_length) - 1)
        new = options.max_new_tokens
        if new is None:
            new = min(DEFAULT_NEW_TOKENS, context // 2)
        if new >= context:
            raise ValueError(
                f"max_new_tokens must be < {context}, the context. Received: {new}"
            )
        return context - new

    def results(self, prompts, batch_size):
        """For each prompt, a list of `Generated`.

        Args:
            prompts: Non-empty lists of ids.
            batch_size: Number of prompts of a batch; None for 32. Of a small model, two
                batches are computed at a time, see `mapped`.
        """
        batch_size = 32 if batch_size is None else batch_size
        require_whole("batch_size", batch_size, 1)
        seeds = self.seeds(len(prompts))

        def of_batch(first):
            part = slice(first, first + batch_size)
            return self.generated(prompts[part], seeds and seeds[part], first)

        with freed_memory_kept(trim=False):
            batches = range(0, len(prompts), batch_size)
            found = mapped(of_batch, batches, self.backbone.count_params())
        return [group for batch in found for group in batch]

    def generated(self, prompts, seeds, first):
        """The `results` of prompts that are continued together.

        Args:
            prompts: Non-empty lists of ids.
            seeds: A list of seeds, or None.
            first: Number of the first prompt, for errors.
        """
        options = self.options
        if seeds is not None:
            options = dataclasses.replace(options, seed=seeds)
        run = self._run(prompts, options)
        while not run.done():
            run.advance(STEPS if self.stop_strings else TO_THE_END)
            if self.stop_strings:
                rows = run.tokens()
                copies = len(rows) // len(prompts)
                before = [p for p in self.before(prompts) for _ in range(copies)]
                pairs = enumerate(zip(before, rows, strict=True))
                run.stop([i for i, pair in pairs if self.stopped(*pair)])
        self._check_finite(run, first)
        return [
            [Generated(*self.up_to_stop(before, ids), score) for ids, score in group]
            for before, group in zip(self.before(prompts), run.results(), strict=True)
        ]

    def before(self, prompts):
        """The ids that generated ids continue, a list for each prompt."""
        return prompts

    def _run(self, prompts, options):
        return self.compiled.start(
            prompts,
            options,
            self.end_ids,
            num_tokens=self.tokenizer.vocabulary_size,
        )

    def streamed(self, prompt):
        """Yields the text after a prompt, a non-empty list of ids, incrementally."""
        with freed_memory_kept(trim=False):
            yield from self._streamed(prompt)

    def _streamed(self, prompt):
        run = self._run([prompt], self.options)
        (before,) = self.before([prompt])
        stream, num_read, text, given = self.tokenizer.stream(before), 0, "", 0
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
            run.advance(1)

    def _check_finite(self, run, first=0):
        for row in run.not_finite():
            raise ValueError(
                "Logits must be finite, but the model's weights are not, or its dtype "
                f"{self.backbone.dtype_name} overflows. Received: NaN or infinity "
                f"after the prompt of row {self.row_of(first + row)}"
            )

    def row_of(self, number):
        """The row of the user's input for the prompt of this number."""
        return number

    def stopped(self, before, ids):
        """Whether the text of ids after those of a prompt contains a stop string."""
        text = self.tokenizer.continuation(before, ids)
        return any(stop in text for stop in self.stop_strings)

    def up_to_stop(self, before, ids):
        """The text up to the end of the first stop string, and its ids."""
        if self.stop_strings and self.stopped(before, ids):
            numbers = range(1, len(ids) + 1)
            ids = ids[: next(n for n in numbers if self.stopped(before, ids[:n]))]
        return self.cut(self.tokenizer.continuation(before, ids)), ids

    def cut(self, text):
        """The text up to the end of the first stop string in it."""
        ends = [text.find(s) + len(s) for s in self.stop_strings if s in text]
        return text[: min(ends)] if ends else text
