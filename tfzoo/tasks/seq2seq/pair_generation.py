"""Generation of targets in a served model.

Shapes: B rows, R rows after padding, S columns of sources, N beams, W new tokens.
"""

import functools

import tensorflow as tf

from tfzoo.generation import decode
from tfzoo.generation.decoding import Sampling
from tfzoo.generation.rules import rules_for
from tfzoo.generation.searches import search_for
from tfzoo.serving.core import longest_first, rows_of_part
from tfzoo.serving.request_rows import limited, padded_ids, padded_rows
from tfzoo.tasks.causal_lm.served_scores import laid_out
from tfzoo.tasks.causal_lm.served_texts import LOGITS, NUMBERS, PART_BYTES
from tfzoo.tasks.seq2seq.served_sources import ids_of_texts

NUMBERS_OF_PAIRS = {**NUMBERS, "length_penalty": tf.float32}


class PairGeneration:
    """Strings and numbers of the same rows -> the targets of each.

    Args:
        task: The `Seq2SeqLM`.
        kernels: Its backbone's kernels for one row, as variables.
        options: The `GenerationOptions` of the export.
        max_new_tokens: Maximum number of new tokens.
        jit_compile: Whether XLA compiles the numeric parts.
    """

    def __init__(self, task, kernels, options, max_new_tokens, jit_compile):
        self._task, self._kernels = task, kernels
        self._max_new_tokens, self._jit_compile = max_new_tokens, jit_compile
        self._num_beams = options.num_beams
        forced = (task.forced_first_id, task.forced_last_id)
        if forced == (None, None):
            forced = None
        else:
            forced = tuple(-1 if index is None else index for index in forced)
        self._rules = rules_for(
            options,
            [1],
            task.end_token_ids,
            task.backbone.vocabulary_size,
            1,
            task.target_tokenizer.vocabulary_size,
            forced,
            [max_new_tokens],
        )
        if task.forbidden_ids:
            unused = self._rules.get("bad_ids", tf.zeros(task.backbone.vocabulary_size))
            ids = tf.range(task.backbone.vocabulary_size)[:, None]
            bad = tf.reduce_any(ids == tf.constant(task.forbidden_ids), axis=1)
            self._rules["bad_ids"] = tf.cast(unused, tf.bool) | bad
        self._memory = tf.function(
            task.backbone.memory, autograph=False, jit_compile=jit_compile or None
        )
        self._sampled = self._decoder_of(Sampling(self._num_beams, scores=True))
        self._searched = self._sampled
        if self._num_beams > 1:
            search = search_for(options, task.backbone.vocabulary_size)
            self._searched = self._decoder_of(search)

    def _decoder_of(self, search):
        """The function of tensors that decodes with a search."""
        rows = {
            name: tf.TensorSpec([None], dtype)
            for name, dtype in NUMBERS_OF_PAIRS.items()
        }
        return tf.function(
            functools.partial(self._decoded, search),
            input_signature=[
                tf.TensorSpec([None, None], tf.int32),
                tf.TensorSpec([None], tf.int32),
                rows,
            ],
            autograph=False,
        )

    def __call__(self, texts, options):
        """The outputs of `generate` for sources (B,) and options (B,)."""
        task = self._task
        with tf.device("/CPU:0"):
            penalty = options["length_penalty"]
            penalty = tf.where(tf.math.is_nan(penalty), 1.0, penalty)
            options = limited(
                options,
                max_new_tokens=self._max_new_tokens,
                vocabulary_size=task.backbone.vocabulary_size,
            ) | {"length_penalty": tf.clip_by_value(penalty, -10.0, 10.0)}
        ids, lengths = ids_of_texts(task.tokenizer, texts, task.max_sequence_length)

        def generated(decode, rows):
            return self._in_parts(
                decode,
                tf.gather(ids, rows),
                tf.gather(lengths, rows),
                {name: tf.gather(value, rows) for name, value in options.items()},
            )

        def searched(rows):
            return generated(self._searched, rows)

        def both():
            is_drawn = options["temperature"] > 0
            parts = [tf.where(mask)[:, 0] for mask in (~is_drawn, is_drawn)]
            found = [searched(parts[0]), generated(self._sampled, parts[1])]
            parts = [tf.cast(rows, tf.int32) for rows in parts]
            return {
                name: tf.dynamic_stitch(parts, [part[name] for part in found])
                for name in found[0]
            }

        def alone():
            return searched(tf.range(tf.size(lengths), dtype=tf.int64))

        if self._num_beams == 1:
            return self._texts(alone())
        any_drawn = tf.reduce_any(options["temperature"] > 0)
        return self._texts(tf.cond(any_drawn, both, alone))

    def _in_parts(self, decode, ids, lengths, options):
        """The tokens of some rows, in parts of bounded memory."""
        with tf.device("/CPU:0"):
            # With XLA, the cache has room for the maximum that can be requested.
            new = options["max_new_tokens"]
            if self._jit_compile:
                new = tf.fill(tf.shape(new), self._max_new_tokens)
        state = tf.nest.flatten(self._task.backbone.state(1, 1))
        token_bytes = sum(x.dtype.size * x.shape.num_elements() for x in state)
        logits = 4 * LOGITS * self._task.backbone.vocabulary_size * self._num_beams

        def generate(rows):
            with tf.device("/CPU:0"):
                kept = tf.gather(lengths, rows)
                part = tf.gather(ids, rows)[:, : tf.reduce_max(tf.pad(kept, [[0, 1]]))]
                chosen = {name: tf.gather(x, rows) for name, x in options.items()}
            return self._padded(decode, part, kept, chosen)

        return longest_first(
            generate,
            lengths + self._num_beams * new + -(-logits // token_bytes),
            lambda cost: rows_of_part(
                cost, PART_BYTES // token_bytes, jit_compile=self._jit_compile
            ),
        )

    def _padded(self, decode, ids, lengths, options):
        task = self._task
        with tf.device("/CPU:0"):
            count = tf.size(lengths)
            fill = task.tokenizer.required_id("end")
            ids = padded_ids(ids, fill, task.max_sequence_length, self._jit_compile)
            rows = tf.shape(ids)[0]
            lengths = padded_rows(lengths, rows, 1)
            # With 0 new tokens, padding rows are done before they start.
            options = {
                name: padded_rows(value, rows, tf.constant(0, value.dtype))
                for name, value in options.items()
            }
        found = decode(ids, lengths, options)
        return {name: value[:count] for name, value in found.items()}

    def _decoded(self, search, ids, lengths, options):
        """Ids (R, S) of sources -> tokens (R, N, W), counts and scores (R, N)."""
        task, rows = self._task, tf.shape(ids)[0]
        mask = tf.sequence_mask(lengths, tf.shape(ids)[1], tf.int32)
        results = decode(
            search,
            laid_out(task.backbone, self._kernels),
            tf.fill([rows, 1], task.start_token_id),
            tf.ones_like(lengths),
            options["max_new_tokens"],
            self._rules_of(search, options),
            max_new_tokens=self._max_new_tokens,
            memory=self._memory(ids, mask),
            jit_compile=self._jit_compile,
        )
        shape = [rows, self._num_beams]
        counts = tf.reshape(results.counts, shape)
        scores = tf.reshape(results.scores, shape)
        if isinstance(search, Sampling):
            length = tf.cast(tf.maximum(counts, 1), tf.float32)
            scores = scores / length ** options["length_penalty"][:, None]
        scores = tf.where(counts > 0, scores, 0.0)
        return {
            "tokens": tf.reshape(results.tokens, [*shape, self._max_new_tokens]),
            "counts": counts,
            "scores": scores,
        }

    def _rules_of(self, search, options):
        """The rules of R rows, N of them for each source."""

        def repeated(value):
            return tf.repeat(value, self._num_beams)

        rules = {
            name: value
            for name, value in self._rules.items()
            if name in ("end_ids", "bad_ids", "no_repeat_ngram")
        }
        limits = repeated(options["max_new_tokens"])
        if "min_new_tokens" in self._rules:
            minimum, ends = self._rules["min_new_tokens"]
            rules["min_new_tokens"] = (tf.minimum(minimum[0], limits - 1), ends)
        if "forced" in self._rules:
            rules["forced"] = (*self._rules["forced"][:2], limits)
        rules["repetition_penalty"] = repeated(options["repetition_penalty"])
        if not isinstance(search, Sampling):
            return rules | {"length_penalty": repeated(options["length_penalty"])}
        return rules | {
            **{n: repeated(options[n]) for n in ("temperature", "top_k", "top_p")},
            "seeds": repeated(options["seed"]),
            "counters": tf.tile(
                tf.range(self._num_beams), tf.shape(options["max_new_tokens"])
            ),
        }

    def _texts(self, found):
        """The outputs of `generate`, given tokens."""
        task, number = self._task, self._num_beams
        with tf.device("/CPU:0"):
            counts = tf.reshape(found["counts"], [-1])
            tokens = tf.reshape(found["tokens"], [-1, self._max_new_tokens])
            new = tf.RaggedTensor.from_tensor(tokens, lengths=counts)
            before = tf.RaggedTensor.from_tensor(
                tf.fill([tf.size(counts), 1], task.start_token_id)
            )
            texts = task.target_tokenizer.graph.continuations(before, new)
            texts = tf.reshape(texts, [-1, number])
            return {
                "text": texts[:, 0],
                "score": found["scores"][:, 0],
                "beams": texts,
                "beam_scores": found["scores"],
            }
