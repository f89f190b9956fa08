"""Generation from Python: one compiled function per shape.

Shapes: B prompts, R rows (B times `rows_per_prompt`), P length of the padded prompts.
"""

import functools
import threading

import numpy as np
import tensorflow as tf

from tfzoo.generation.cache import BLOCK, SHORT, num_columns_for
from tfzoo.generation.rules import check_ids, rules_for
from tfzoo.generation.searches import search_for


class CompiledGeneration:
    """Compiled search loops for one decoder.

    Functions are traced once per shape and set of rules; the values of rules are
    tensors. Prompts are padded to 16 or a multiple of 32 tokens and batches to a power
    of two, so there are few shapes.

    Args:
        decoder: See `tfzoo.generation.decoding`.
        draft: A smaller decoder with the same vocabulary, for speculative decoding.
        jit_compile: Whether to compile with XLA.

    Attributes:
        num_traces: Number of functions traced so far.
    """

    def __init__(self, decoder, *, draft=None, jit_compile=True):
        if draft is not None and draft.vocabulary_size != decoder.vocabulary_size:
            raise ValueError(
                "The draft model must have the same vocabulary size as the large one. "
                f"Received: draft {draft.vocabulary_size}, large "
                f"{decoder.vocabulary_size}"
            )
        self.decoder, self.draft = decoder, draft
        self.jit_compile = jit_compile
        self.num_traces = 0
        self._functions = {}
        self._lock = threading.Lock()  # batches may be generated side by side

    def compiled(self, method, *shape):
        """The `tf.function` of a method of a decoder or search, for a shape.

        There is one per shape, because TensorFlow warns about functions that are traced
        often; and each is a `partial`, because functions with the same code count as
        one.
        """
        # Equal searches share functions, although their bound methods are not equal.
        key = (method.__func__, method.__self__, *shape)
        with self._lock:
            if key not in self._functions:
                self._functions[key] = tf.function(
                    functools.partial(self._traced, method),
                    jit_compile=self.jit_compile,
                    autograph=False,
                )
            return self._functions[key]

    def _traced(self, method, /, *args, **kwargs):
        self.num_traces += 1
        return method(*args, **kwargs)

    def laid_out(self, decoder, rows):
        """A decoder with its current weights laid out for a number of rows.

        Args:
            decoder: `self.decoder` or `self.draft`.
            rows: Number of rows that a step multiplies by the kernels.
        """
        rows = min(rows, decoder.many_rows)
        if rows == decoder.many_rows and not self.jit_compile:
            return decoder  # without XLA this layout gains nothing
        return decoder.laid_out(self.compiled(decoder.kernels_for, rows)(rows))

    def memory(self, rows, pad_id):
        """The memory of an encoder-decoder for lists of source ids, for `start`.

        Args:
            rows: Lists of one or more ids.
            pad_id: Id for padding.
        """
        ids, lengths = padded_prompts(rows, self.decoder.max_sequence_length)
        lengths[len(rows) :] = 0
        real = np.arange(ids.shape[1]) < lengths[:, None]
        return self.compiled(self.decoder.memory, *ids.shape)(
            tf.constant(np.where(real, ids, pad_id), tf.int32),
            tf.constant(real, tf.int32),
        )

    def start(
        self, prompts, options, end_ids, memory=(), *, num_tokens=None, forced=None
    ):
        """Starts a `Generation`, up to the first token.

        Args:
            prompts: Lists of one or more ids.
            options: `GenerationOptions`.
            end_ids: Ids that end a text; may be empty.
            memory: As in `tfzoo.generation.cache.Cache`, with a row per prompt.
            num_tokens: As in `rules_for`.
            forced: As in `rules_for`.
        """
        return Generation(self, prompts, options, end_ids, memory, num_tokens, forced)


class Generation:
    """Prompts in progress.

    Args:
        compiled: A `CompiledGeneration`.
        prompts: Lists of one or more ids.
        options: `GenerationOptions`.
        end_ids: Ids that end a text.
        memory: As in `CompiledGeneration.start`.
        num_tokens: As in `rules_for`.
        forced: As in `rules_for`.
    """

    def __init__(
        self,
        compiled,
        prompts,
        options,
        end_ids,
        memory=(),
        num_tokens=None,
        forced=None,
    ):
        self.compiled, self.options = compiled, options
        decoder = compiled.decoder
        self.decoders = (
            [decoder] if compiled.draft is None else [decoder, compiled.draft]
        )
        self.search = search_for(
            options, decoder.vocabulary_size, speculative=compiled.draft is not None
        )
        self.num_prompts = len(prompts)
        for prompt in prompts:
            check_ids("A prompt", prompt, decoder.vocabulary_size)
        with_memory = bool(tf.nest.flatten(memory))
        ids, lengths = padded_prompts(
            prompts, decoder.max_sequence_length, exact=with_memory
        )
        self._num_padded = len(ids)
        limits = np.zeros(len(ids), int)
        limits[: len(prompts)] = options.limits(
            lengths[: len(prompts)], decoder.max_sequence_length
        )
        self._last = self.search.most_columns(ids.shape[1], int(limits.max()))
        self._rules = rules_for(
            options,
            lengths,
            end_ids,
            decoder.vocabulary_size,
            len(prompts),
            num_tokens,
            forced,
            limits,
        )
        self._limits = tf.constant(limits, tf.int32)
        self._rule_shapes = frozenset(
            (name, *(tuple(x.shape) for x in tf.nest.flatten(value)))
            for name, value in self._rules.items()
        )
        memory, self._memory_shapes = padded_memory(memory, len(ids))
        self.state = self._compiled(self.search.begin, *ids.shape)(
            self.decoders,
            tf.constant(ids, tf.int32),
            tf.constant(lengths, tf.int32),
            self._limits,
            self._rules,
            **({"memory": memory} if self._memory_shapes else {}),
        )

    @functools.cached_property
    def _laid_out(self):
        """`decoders` laid out for a step; computed for the first step."""
        rows = self.search.rows_of_step
        return [
            self.compiled.laid_out(decoder, self._num_padded * n)
            for decoder, n in zip(self.decoders, rows, strict=True)
        ]

    def advance(self, num_steps):
        """Runs up to `num_steps` steps, or until the cache is full.

        Returns:
            Whether any row is not done.
        """
        search = self.search
        if not search.has_room(self.state):
            kept = int(search.num_kept(self.state))
            columns = _num_columns_for(kept, self._last, search.columns_per_step)
            columns = max(columns, self.state.cache.num_columns)
            grow = self._compiled(search.grow, *self.state.cache.seen.shape, columns)
            self.state = grow(self.state, columns)
        advance = self._compiled(search.advance, *self.state.cache.seen.shape)
        self.state = advance(
            self._laid_out,
            self.state,
            self._limits,
            self._rules,
            num_steps=tf.constant(num_steps),
            jit_compile=self.compiled.jit_compile,
        )
        return not self.done()

    def _compiled(self, method, *shape):
        return self.compiled.compiled(
            method, *shape, self._rule_shapes, *self._memory_shapes
        )

    def done(self):
        """Whether all rows are done."""
        return bool(self.state.done.numpy().all())

    def not_finite(self):
        """Indices of the prompts for which NaN or infinite logits chose a token."""
        rows = self.search.rows_per_prompt
        finite = self.state.history.finite.numpy()[: self.num_prompts * rows]
        return np.flatnonzero(~finite.reshape(-1, rows).all(axis=1)).tolist()

    def stop(self, rows):
        """Marks the given rows as done."""
        done = self.state.done.numpy()
        done[rows] = True
        self.state = self.state._replace(done=tf.constant(done))

    def tokens(self):
        """List of the new ids so far, for each row in progress."""
        history = self.state.history
        tokens, starts, ends = (
            x.numpy() for x in (history.tokens, history.prompt_lengths, history.lengths)
        )
        rows = range(self.num_prompts * self.search.rows_per_prompt)
        return [tokens[i, starts[i] : ends[i]].tolist() for i in rows]

    def results(self):
        """List of `num_return_sequences` pairs (ids, score), for each prompt."""
        width = self.state.history.tokens.shape[1]
        tokens, counts, scores = self.search.results(self.state, width)
        tokens, counts = tokens.numpy(), counts.numpy()
        scores = [None] * len(counts) if scores is None else scores.numpy().tolist()
        rows = [
            (row[:count].tolist(), score)
            for row, count, score in zip(tokens, counts, scores, strict=True)
        ]
        step, wanted = self.search.rows_per_prompt, self.options.num_return_sequences
        return [rows[i * step :][:wanted] for i in range(self.num_prompts)]


@functools.cache
def _num_columns_for(*args):
    return int(num_columns_for(*args))


def padded_prompts(prompts, context, *, exact=False):
    """Pads lists of ids to int32 (B, P), with lengths (B,), using few shapes.

    Args:
        prompts: Lists of one or more ids.
        context: Maximum of P, unless a prompt is longer.
        exact: Whether P is the length of the longest, as for a decoder that reads a
            memory, whose prompts are short.

    Returns:
        Arrays with B rows, the next power of two. Rows after the prompts have one id.
    """
    if not all(len(prompt) for prompt in prompts):
        raise ValueError("A prompt must have at least one id. Received: []")
    rows = 1 << (len(prompts) - 1).bit_length()
    longest = max(map(len, prompts))
    step = 1 if exact else BLOCK if longest > SHORT else SHORT
    width = max(longest, min(-(-longest // step) * step, context))
    padded = np.zeros((rows, width), np.int32)
    lengths = np.ones(rows, np.int32)
    for i, prompt in enumerate(prompts):
        padded[i, : len(prompt)] = prompt
        lengths[i] = len(prompt)
    return padded, lengths


def padded_memory(memory, rows):
    """Pads a memory with rows of zeros to a number of rows; also returns its shapes."""

    def padded(x):
        return tf.pad(x, [[0, rows - len(x)], *[[0, 0]] * (len(x.shape) - 1)])

    memory = tf.nest.map_structure(padded, memory)
    return memory, [tuple(x.shape) for x in tf.nest.flatten(memory)]
