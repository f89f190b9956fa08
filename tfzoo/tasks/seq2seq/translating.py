"""Target texts from source texts, by greedy decoding, sampling or beam search."""

import dataclasses

import numpy as np

from tfzoo.errors import require_flags
from tfzoo.generation.rules import check_ids
from tfzoo.tasks.causal_lm.generating import Generating, GenerationCall
from tfzoo.tasks.inputs import text_of, texts_or_one

MOST_NEW_TOKENS = 256  # of a target, if the user sets no other number


class Translating(Generating):
    """Mixin: `generate` and `stream` of a task with an encoder-decoder.

    Besides what `Generating` asks for, a task defines `target_tokenizer`,
    `start_token_id`, `forced_first_id`, `forced_last_id` and `forbidden_ids`.
    """

    @property
    def output_tokenizer(self):
        return self.target_tokenizer

    def generate(
        self, sources, *, return_dict_in_generate=False, batch_size=32, **options
    ):
        """The target of each source. It does not depend on the other sources.

        Sources of similar lengths are computed together. The first call for each shape
        compiles (seconds); later calls reuse the result.

        Args:
            sources: A text, or a column of them, as in `CausalLM.generate`. A source of
                more than `max_sequence_length` tokens is cut to it, with a warning that
                counts them.
            return_dict_in_generate: Whether to return `Generated` instead of texts: its
                `score` is that of the beam.
            batch_size: Number of sources of a batch. Of a model of at most 16 million
                weights, two batches are computed at a time.
            **options: As in `CausalLM.generate`, except for `truncation` and
                `assistant_model`, and
                forced_bos_token_id: The first id of every target; defaults to the
                    task's `forced_first_id`.
                forced_eos_token_id: The id that ends a target without room for more;
                    defaults to the task's `forced_last_id`.
                decoder_start_token_id: Defaults to the task's `start_token_id`.
                Without `max_new_tokens` and `max_length`, at most 256 tokens. As in
                `transformers`, `max_length` includes the start token.

        Returns:
            A text for each source or, with `num_return_sequences`, a list of texts,
            best beam first. Not a list if `sources` is a single text.

        Raises:
            ValueError: an argument is out of range, contradicts another or does not fit
                the model; a source is missing; or the model's logits are not finite.
            TypeError: an option does not exist.
        """
        require_flags(return_dict_in_generate=return_dict_in_generate)
        call = SourceCall(self, options, self._compiled_generation)
        sources, single = texts_or_one(sources, "sources")
        results = call.results(call.ids_of(sources), batch_size)
        if not return_dict_in_generate:
            results = [[found.text for found in group] for group in results]
        if options.get("num_return_sequences") is None:
            results = [group[0] for group in results]
        return results[0] if single else results

    def stream(self, source, **options):
        """The target of one source, incrementally.

        Args:
            source: A text.
            **options: As in `generate`; only one target, without beams.

        Yields:
            The text of each token as soon as it is known, as `CausalLM.stream`.
        """
        call = SourceCall(self, options, self._compiled_generation)
        call.check_stream()
        sources, single = texts_or_one(source, "source")
        if not single:
            raise ValueError(
                "source must be one text, str or bytes. "
                f"Received: {type(source).__name__} of {len(sources)}"
            )
        return call.streamed(*call.ids_of(sources))


class SourceCall(GenerationCall):
    """One call of `Translating.generate` or `stream`; prompts are ids of sources."""

    def __init__(self, task, options, compiled_generation):
        options = {name: value for name, value in options.items() if value is not None}
        for name in ("truncation", "assistant_model"):
            if name in options:
                raise TypeError(
                    f"generate of a {type(task).__name__} has no option {name}"
                )
        self.task, limit = task, task.backbone.vocabulary_size
        own = {
            "decoder_start_token_id": task.start_token_id,
            "forced_bos_token_id": task.forced_first_id,
            "forced_eos_token_id": task.forced_last_id,
        }
        chosen = {name: options.pop(name, value) for name, value in own.items()}
        for name, index in chosen.items():
            check_ids(name, [] if index is None else [index], limit)
        self.start_id, *forced = chosen.values()
        self.forced = None
        if forced != [None, None]:
            self.forced = tuple(-1 if index is None else index for index in forced)
        super().__init__(task, options, compiled_generation)
        asked, context = self.options, self.backbone.max_sequence_length
        if task.forbidden_ids:
            words = [*(asked.bad_words_ids or []), *([i] for i in task.forbidden_ids)]
            asked = dataclasses.replace(asked, bad_words_ids=words)
        if asked.max_new_tokens is None and asked.max_length is None:
            most = min(MOST_NEW_TOKENS, context - 1)
            asked = dataclasses.replace(asked, max_new_tokens=most)
        self.options = asked

    def ids_of(self, sources):
        """Lists of the ids of sources, with the special tokens around them."""
        texts = [text_of(source) for source in sources]
        encoded = self.task.encoded_sources(texts)
        splits = encoded.row_splits.tolist()
        ids = encoded.token_ids.tolist()
        bounds = zip(splits[:-1], splits[1:], strict=True)
        return [ids[start:stop] for start, stop in bounds]

    def results(self, prompts, batch_size):
        seeds = self.seeds(len(prompts))
        order = np.argsort([len(ids) for ids in prompts], kind="stable").tolist()
        if seeds is not None:
            by_length = [seeds[i] for i in order]
            self.options = dataclasses.replace(self.options, seed=by_length)
        self._rows = order
        results = super().results([prompts[i] for i in order], batch_size)
        found = dict(zip(order, results, strict=True))
        return [found[i] for i in range(len(prompts))]

    def before(self, prompts):
        return [[self.start_id]] * len(prompts)

    def _run(self, prompts, options):
        memory = self.compiled.memory(prompts, self.task.tokenizer.required_id("end"))
        return self.compiled.start(
            self.before(prompts),
            options,
            self.end_ids,
            memory,
            num_tokens=self.tokenizer.vocabulary_size,
            forced=self.forced,
        )

    def row_of(self, number):
        """The row of the user's sources that has this number in order of length."""
        return self._rows[number]
