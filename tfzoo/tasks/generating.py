"""Text from prompts, for a task with a decoder and a tokenizer."""

from collections.abc import Iterable

from tfzoo.generation.compiled import CompiledGeneration
from tfzoo.tasks.generation_call import GenerationCall, text_of


class Generating:
    """Adds `generate` and `stream` to a task that has a `backbone` and a `tokenizer`.

    The backbone has a method `step`, as `GPTDecoder` has.
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
            prompts: A text or a list of them, str or bytes; invalid UTF-8 becomes
                U+FFFD. An end token written in a prompt is that token, and an empty
                prompt begins a new text, that is with the end token.
            return_full_text: Whether texts include their prompts.
            return_dict_in_generate: Whether to return `Generated` instead of texts.
            batch_size: Prompts that are continued at once.
            **options: Those of `GenerationOptions`, which see, and
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
                not fit the model.
            TypeError: there is no option of that name.
        """
        call = GenerationCall(self, options, self._compiled_generation)
        if isinstance(prompts, str | bytes):
            prompts, single = [prompts], True
        elif isinstance(prompts, Iterable):
            prompts, single = list(prompts), False
        else:
            raise ValueError(
                "prompts must be a text or a list of them. "
                f"Received: {type(prompts).__name__}"
            )
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1. Received: {batch_size}")
        results = []
        seeds = call.seeds(len(prompts))
        for i in range(0, len(prompts), batch_size):
            part = slice(i, i + batch_size)
            results += call.generated(prompts[part], seeds and seeds[part])
        if not return_dict_in_generate:
            begin = prompts if return_full_text else [""] * len(prompts)
            results = [
                [text_of(prompt) + generated.text for generated in group]
                for prompt, group in zip(begin, results, strict=True)
            ]
        if "num_return_sequences" not in options:
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
        return call.streamed(prompt)

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
