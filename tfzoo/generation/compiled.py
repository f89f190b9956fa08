"""Generation called from Python: one compiled function for each shape.

Shapes: B prompts, R rows (B times `rows_per_prompt`), P length of the padded prompts.
"""

import functools

import numpy as np
import tensorflow as tf

from tfzoo.generation import beam_search, contrastive, decoding, speculative
from tfzoo.generation.cache import BLOCK, SHORT, num_columns_for
from tfzoo.generation.rules import check_ids, rules_for

NUM_CANDIDATES, NUM_PROPOSALS = 4, 4  # unless top_k, num_assistant_tokens say so


class CompiledGeneration:
    """The search loops for one decoder, compiled.

    A function is traced once for each shape and each set of rules; the rules' values
    are tensors. Prompts are padded to 16 or a multiple of 32 tokens and batches to a
    power of two, so there are few shapes.

    Args:
        decoder: See `tfzoo.generation.decoding`.
        draft: A smaller one of the same vocabulary, for speculative decoding.
        jit_compile: Whether XLA compiles.

    Attributes:
        num_traces: Number of functions traced so far.
    """

    def __init__(self, decoder, *, draft=None, jit_compile=True):
        if draft is not None and draft.vocabulary_size != decoder.vocabulary_size:
            raise ValueError(
                "The draft model must have the vocabulary of the large one. Received: "
                f"draft {draft.vocabulary_size}, large {decoder.vocabulary_size}"
            )
        self.decoder, self.draft = decoder, draft
        self.jit_compile = jit_compile
        self.num_traces = 0
        self._functions = {}

    def compiled(self, function, *shape):
        """The `tf.function` of a function for a shape.

        One for each shape, because TensorFlow warns of a function that is traced often,
        and each a `partial`, as it takes those of the same code for one.
        """
        if (function, *shape) not in self._functions:
            self._functions[function, *shape] = tf.function(
                functools.partial(self._traced, function),
                jit_compile=self.jit_compile,
                autograph=False,
            )
        return self._functions[function, *shape]

    def _traced(self, function, /, *args, **kwargs):
        self.num_traces += 1
        return function(*args, **kwargs)

    def laid_out(self, decoder, rows):
        """A decoder with its weights, as they are now, laid out for a number of rows.

        Args:
            decoder: One of the two.
            rows: Number of rows that a step multiplies with the kernels.
        """
        rows = min(rows, decoder.many_rows)
        if rows == decoder.many_rows and not self.jit_compile:
            return decoder  # without XLA their form gains nothing
        return decoder.laid_out(self.compiled(decoder.kernels_for, rows)(rows))

    def start(self, prompts, options, end_ids):
        """A `Generation` of lists of ids, after the first token.

        Args:
            prompts: Lists of one or more ids.
            options: `GenerationOptions`.
            end_ids: Ids that end a text; may be empty.
        """
        if self.draft is not None:
            return SpeculativeGeneration(self, prompts, options, end_ids)
        if options.penalty_alpha is not None:
            return ContrastiveGeneration(self, prompts, options, end_ids)
        if options.num_beams > 1:
            return BeamGeneration(self, prompts, options, end_ids)
        return Generation(self, prompts, options, end_ids)


class Generation:
    """Prompts on their way, by `decoding`; the other methods are its subclasses.

    Args:
        compiled: A `CompiledGeneration`.
        prompts: Lists of one or more ids.
        options: `GenerationOptions`.
        end_ids: Ids that end a text.
    """

    method = decoding
    columns_per_step = 1

    def __init__(self, compiled, prompts, options, end_ids):
        self.compiled, self.options = compiled, options
        self.num_prompts = len(prompts)
        for prompt in prompts:
            check_ids("A prompt", prompt, compiled.decoder.vocabulary_size)
        ids, lengths = padded_prompts(prompts, compiled.decoder.max_sequence_length)
        self._num_padded = len(ids)
        limits = np.zeros(len(ids), int)
        limits[: len(prompts)] = options.limits(
            lengths[: len(prompts)], compiled.decoder.max_sequence_length
        )
        self._last = ids.shape[1] + int(limits.max()) + self.columns_per_step - 1
        self._rules = rules_for(
            options, lengths, end_ids, compiled.decoder.vocabulary_size, len(prompts)
        )
        self._limits = tf.constant(self.limits_of_rows(limits), tf.int32)
        self._rule_shapes = frozenset(
            (name, *(tuple(x.shape) for x in tf.nest.flatten(value)))
            for name, value in self._rules.items()
        )
        self.state = self._compiled(self.method.begin, *ids.shape)(
            *self.decoders(),
            tf.constant(ids, tf.int32),
            tf.constant(lengths, tf.int32),
            self._limits,
            self._rules,
            **self.begin_arguments(),
        )

    def decoders(self):
        """The models, as `method` takes them."""
        return [self.compiled.decoder]

    def limits_of_rows(self, limits):
        """The limits (B,) as `method` takes them."""
        return np.repeat(limits, self.options.rows_per_prompt)

    def rows_of_step(self):
        """For each of `decoders()`, the rows that it reads of a prompt in a step."""
        return [self.options.rows_per_prompt]

    def begin_arguments(self):
        """What `method.begin` wants to know beside the tensors."""
        return {"copies": self.options.rows_per_prompt}

    def advance_arguments(self):
        """What `method.advance` wants to know beside the tensors."""
        return {}

    @functools.cached_property
    def _laid_out(self):
        """`decoders()` as a step takes them; the first step needs them."""
        return [
            self.compiled.laid_out(decoder, self._num_padded * rows)
            for decoder, rows in zip(self.decoders(), self.rows_of_step(), strict=True)
        ]

    def advance(self, num_steps):
        """Goes on by at most so many steps, or until the cache is full.

        Returns:
            Whether something is left to do.
        """
        cache = self.state.cache
        if int(cache.filled) + self.columns_per_step > cache.num_columns:
            used = int(cache.seen.numpy().sum(axis=1).max())
            filled = used if self.columns_per_step > 1 else cache.num_columns
            columns = _num_columns_for(filled, self._last)
            columns = max(columns, filled + self.columns_per_step, cache.num_columns)
            grow = self._compiled(self.method.grow, *cache.seen.shape, columns)
            self.state = grow(self.state, columns)
        self.state = self._compiled(self.method.advance, *self.state.cache.seen.shape)(
            *self._laid_out,
            self.state,
            self._limits,
            self._rules,
            num_steps=tf.constant(num_steps),
            jit_compile=self.compiled.jit_compile,
            **self.advance_arguments(),
        )
        return not self.done()

    def _compiled(self, function, *shape):
        return self.compiled.compiled(function, *shape, self._rule_shapes)

    def done(self):
        """Whether all rows are done."""
        return bool(self.state.done.numpy().all())

    def not_finite(self):
        """Numbers of the prompts whose tokens were chosen by NaN or infinite logits."""
        copies = self.options.rows_per_prompt
        finite = self.state.history.finite.numpy()[: self.num_prompts * copies]
        return np.flatnonzero(~finite.reshape(-1, copies).all(axis=1)).tolist()

    def stop(self, rows):
        """Ends the rows of the numbers given."""
        done = self.state.done.numpy()
        done[rows] = True
        self.state = self.state._replace(done=tf.constant(done))

    def tokens(self):
        """For each row a list of the ids after the prompt, so far."""
        history = self.state.history
        tokens, starts, ends = (
            x.numpy() for x in (history.tokens, history.prompt_lengths, history.lengths)
        )
        rows = range(self.num_prompts * self.options.rows_per_prompt)
        return [tokens[i, starts[i] : ends[i]].tolist() for i in rows]

    def results(self):
        """For each prompt a list of (ids, score), `num_return_sequences` of them."""
        rows, copies = self.tokens(), self.options.rows_per_prompt
        return [
            [(row, None) for row in rows[i : i + copies]]
            for i in range(0, len(rows), copies)
        ]


class BeamGeneration(Generation):
    """Prompts on their way, by `beam_search`."""

    method = beam_search

    def limits_of_rows(self, limits):
        return limits

    def begin_arguments(self):
        return {"num_beams": self.options.num_beams, **self.advance_arguments()}

    def advance_arguments(self):
        return {"early_stopping": self.options.early_stopping or False}

    def results(self):
        beams, results = self.state, []
        starts = beams.history.prompt_lengths.numpy()[:: self.options.num_beams]
        for i in range(self.num_prompts):
            tokens, lengths = (
                x[i].numpy() for x in (beams.finished_tokens, beams.finished_lengths)
            )
            scores = beams.finished_scores[i].numpy()
            results.append(
                [
                    (tokens[n, starts[i] : lengths[n]].tolist(), float(scores[n]))
                    for n in range(self.options.num_return_sequences)
                ]
            )
        return results


class ContrastiveGeneration(Generation):
    """Prompts on their way, by `contrastive`."""

    method = contrastive

    def rows_of_step(self):
        return [self.options.top_k or NUM_CANDIDATES]

    def begin_arguments(self):
        return {}

    def advance_arguments(self):
        limit = self.compiled.decoder.vocabulary_size
        return {"num_candidates": min(*self.rows_of_step(), limit)}


class SpeculativeGeneration(Generation):
    """Prompts on their way, by `speculative`."""

    method = speculative

    @property
    def columns_per_step(self):
        return (self.options.num_assistant_tokens or NUM_PROPOSALS) + 1

    def decoders(self):
        return [self.compiled.decoder, self.compiled.draft]

    def rows_of_step(self):
        return [self.columns_per_step, 1]

    def begin_arguments(self):
        return {}

    def advance_arguments(self):
        return {"num_proposals": self.columns_per_step - 1}


@functools.cache
def _num_columns_for(filled, last):
    return int(num_columns_for(filled, last))


def padded_prompts(prompts, context):
    """Lists of ids -> int32 (B, P) and their lengths (B,), for few different shapes.

    Args:
        prompts: Lists of one or more ids.
        context: The largest P, unless a prompt is longer.

    Returns:
        Arrays of B rows, the next power of two. Rows beyond the prompts hold one id.
    """
    if not all(len(prompt) for prompt in prompts):
        raise ValueError("A prompt must hold one or more ids. Received: []")
    rows = 1 << (len(prompts) - 1).bit_length()
    longest = max(map(len, prompts))
    step = BLOCK if longest > SHORT else SHORT
    width = max(longest, min(-(-longest // step) * step, context))
    padded = np.zeros((rows, width), np.int32)
    lengths = np.ones(rows, np.int32)
    for i, prompt in enumerate(prompts):
        padded[i, : len(prompt)] = prompt
        lengths[i] = len(prompt)
    return padded, lengths
