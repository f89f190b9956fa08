"""Text from prompts, for a task with a decoder and a tokenizer."""

from tfzoo.generation.compiled import CompiledGeneration
from tfzoo.tasks.causal_lm.generation_call import GenerationCall
from tfzoo.tasks.causal_lm.generation_options import check_batch_size, check_flags
from tfzoo.tasks.inputs import text_of, texts_or_one


class Generating:
    """Adds `generate` and `stream` to a task.

    It has a `backbone` with a method `step`, as `GPTDecoder` has, a `tokenizer` with an
    end token, and `end_token_ids`, a list of the ids that end a text.
    """

    def generate(
        self,
        prompts,
        *,
        return_full_text=False,
        return_dict_in_generate=False,
        batch_size=32,
        **options,
    ):
        """Continues texts. What a prompt gives does not depend on the others.

        The first call for each shape compiles (seconds); later ones reuse that.

        Args:
            prompts: A text, str or bytes, or a column of them: a list, an array, a
                string tensor, a column of a data frame, an iterator. Invalid UTF-8
                becomes U+FFFD. A prompt begins with the first token of the tokenizer's
                layout, if it has one, and ends with its own text. An end token written
                in a prompt is that token, and an empty prompt begins a new text: where
                the layout has no first token, with the end token.
            return_full_text: Whether texts include their prompts.
            return_dict_in_generate: Whether to return `Generated` instead of texts.
            batch_size: Prompts that are continued at once.
            **options: Those of `GenerationOptions`, which see (without `eos_token_id`,
                a text ends at the task's `end_token_ids`), those of `transformers` that
                tfzoo lacks at the values that change nothing, and
                truncation: `"error"` refuses prompts that leave too little of the
                    context, `"left"` leaves out their beginning.
                bad_words: Texts that must not come; each also after a space.
                stop_strings: A text or texts after which a text ends; it is kept.
                assistant_model: A task with a smaller backbone, whose proposals make
                    greedy decoding faster without changing it.
                jit_compile: Whether XLA compiles; True.

        Returns:
            A text for each prompt, or, with `num_return_sequences`, a list of texts, of
            beams the best first. For a single prompt, that alone.

        Raises:
            ValueError: an argument is outside its range, contradicts another or does
                not fit the model; a prompt is missing; or the model's logits are not
                finite.
            TypeError: there is no option of that name.
        """
        check_flags(
            return_full_text=return_full_text,
            return_dict_in_generate=return_dict_in_generate,
        )
        call = GenerationCall(self, options, self._compiled_generation)
        prompts, single = texts_or_one(prompts, "prompts")
        batch_size = 32 if batch_size is None else batch_size
        check_batch_size(batch_size)
        results = []
        seeds = call.seeds(len(prompts))
        for i in range(0, len(prompts), batch_size):
            part = slice(i, i + batch_size)
            results += call.generated(prompts[part], seeds and seeds[part], first=i)
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
        """Continues one text, bit by bit.

        Args:
            prompt: A text, as of `generate`.
            **options: As of `generate`; one text, without beams.

        Yields:
            What comes next, never part of a character; together what `generate` gives.
        """
        call = GenerationCall(self, options, self._compiled_generation)
        many = call.options.num_return_sequences, call.options.num_beams
        if many != (1, 1):
            raise ValueError(
                "A stream is one text without beams. Received: "
                f"num_return_sequences={many[0]}, num_beams={many[1]}"
            )
        prompts, single = texts_or_one(prompt, "prompt")
        if not single:
            raise ValueError(
                "A stream continues one text, str or bytes. "
                f"Received: {type(prompt).__name__} of {len(prompts)}"
            )
        return call.streamed(*prompts)

    def _compiled_generation(self, assistant, jit_compile):
        """The `CompiledGeneration` of these arguments, kept for the next call."""
        if "_generations" not in self.__dict__:
            # Not as an attribute of Keras, which would track what is in it.
            object.__setattr__(self, "_generations", {})
        draft = None if assistant is None else assistant.backbone
        key = (id(draft), jit_compile)
        if key not in self._generations:
            self._generations[key] = CompiledGeneration(
                self.backbone, draft=draft, jit_compile=jit_compile
            )
        return self._generations[key]
