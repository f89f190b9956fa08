"""The signatures of a served encoder-decoder: source texts in, target texts out.

Shapes: B rows, R rows after padding, S columns of sources, N beams, W new tokens.
"""

import functools

import tensorflow as tf

from tfzoo.data.pair_batches import teacher_forced
from tfzoo.generation import decode
from tfzoo.generation.decoding import Sampling
from tfzoo.generation.log_probabilities import log_probabilities
from tfzoo.generation.options import GenerationOptions
from tfzoo.generation.rules import rules_for
from tfzoo.generation.searches import search_for
from tfzoo.serving.core import PART, longest_first, num_columns, rows_of_part
from tfzoo.serving.request_rows import (
    first_ids,
    limited,
    of_one_size,
    padded_ids,
    padded_rows,
)
from tfzoo.serving.signatures import STRINGS, ServedModel, traced
from tfzoo.serving.text_parts import flat_rows, ragged_rows, text_in_parts
from tfzoo.serving.warmup import pair_requests
from tfzoo.tasks.causal_lm.served_scores import laid_out
from tfzoo.tasks.causal_lm.served_texts import LOGITS, NUMBERS, PART_BYTES, PLAIN
from tfzoo.tasks.seq2seq.translating import MOST_NEW_TOKENS

NUMBERS_OF_PAIRS = {**NUMBERS, "length_penalty": tf.float32}


def seq2seq_signatures(
    task,
    *,
    max_new_tokens=None,
    num_beams=1,
    length_penalty=1.0,
    early_stopping=None,
    temperature=0.0,
    top_k=0,
    top_p=1.0,
    repetition_penalty=1.0,
    no_repeat_ngram_size=None,
    min_new_tokens=None,
    seed=0,
    jit_compile=False,
):
    """The signatures of a model that turns a source into a target.

    `serving_default` takes `text` string (B,) and returns `text` string (B,), the
    target of each source with the options given here.

    `generate` takes `text` and options for each row, all (B,): `max_new_tokens`,
    `top_k` (0 for all) int32, `seed` int64, `temperature`, `top_p` (1 for all),
    `repetition_penalty` (1 for none), `length_penalty` float32. A row of temperature 0
    is decoded greedily or, if there are beams, by beam search; others are sampled, N
    times. It returns `text` string (B,), the best beam or the first sample, with its
    `score` float32 (B,), and all of them as `beams` string (B, N) with `beam_scores`
    (B, N). A score is the sum of log-probabilities, divided by the number of tokens
    raised to the length penalty. Values out of range are clipped. The result of a row
    depends only on that row.

    `score` takes `text` and `target` string (B,) and returns `log_probability` float32
    (B,), the sum over the tokens of the target with its special tokens, in nats, and
    their number `token_count` int32 (B,).

    A source or target of more than `max_sequence_length` tokens is cut to it.

    Args:
        task: A `Seq2SeqLM` that computes in float32.
        max_new_tokens: Option of `serving_default`, and the maximum for `generate`.
            None for 256, or the context if that is smaller.
        num_beams: Number of beams N of both; 1 for none.
        length_penalty: Option of `serving_default`, as the next five.
        early_stopping: See `GenerationOptions`; of `generate`, too.
        temperature: 0 for the most likely token.
        top_k: 0 for all.
        top_p: 1 for all.
        repetition_penalty: 1 for none.
        no_repeat_ngram_size: See `GenerationOptions`; of `generate`, too.
        min_new_tokens: See `GenerationOptions`; of `generate`, too.
        seed: Option of `serving_default`, where a source always gives the same target.
        jit_compile: Whether XLA compiles the numeric parts of the served model.

    Returns:
        `ServedModel`.

    Raises:
        ValueError: an option is out of range, or contradicts another.
    """
    context = task.backbone.max_sequence_length
    if max_new_tokens is None:
        max_new_tokens = min(MOST_NEW_TOKENS, context - 1)
    defaults = {
        "max_new_tokens": max_new_tokens,
        "top_k": top_k,
        "seed": seed,
        "temperature": temperature,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
        "length_penalty": length_penalty,
    }
    asked = {n: value for n, value in defaults.items() if value != PLAIN.get(n)}
    if num_beams == 1:
        if length_penalty != 1:
            raise ValueError(
                "length_penalty must be 1 without beams. Received: num_beams=1, "
                f"length_penalty={length_penalty}"
            )
        del asked["length_penalty"]
    options = GenerationOptions(
        **asked,
        num_beams=num_beams,
        early_stopping=early_stopping,
        no_repeat_ngram_size=no_repeat_ngram_size,
        min_new_tokens=min_new_tokens,
    )
    options.limits([1], context)
    kernels = {
        path: tf.Variable(kernel, trainable=False, name=f"{path}_laid_out")
        for path, kernel in _kernels(task.backbone).items()
    }
    generation = PairGeneration(task, kernels, options, max_new_tokens, jit_compile)
    scoring = _Scoring(task, jit_compile)

    @traced(text=STRINGS)
    def serving_default(text):
        with tf.device("/CPU:0"):
            options = {
                name: tf.fill(tf.shape(text), tf.constant(defaults[name], dtype))
                for name, dtype in NUMBERS_OF_PAIRS.items()
            }
        return {"text": generation(text, options)["text"]}

    numbers = {
        name: tf.TensorSpec([None], dtype) for name, dtype in NUMBERS_OF_PAIRS.items()
    }

    @traced(text=STRINGS, **numbers)
    def generate(text, **options):
        inputs = of_one_size({"text": text, **options})
        return generation(inputs.pop("text"), inputs)

    @traced(text=STRINGS, target=STRINGS)
    def score(text, target):
        return scoring(**of_one_size({"text": text, "target": target}))

    functions = {
        "serving_default": serving_default,
        "generate": generate,
        "score": score,
    }
    return ServedModel(
        functions=functions,
        methods=dict.fromkeys(functions, "predict"),
        warmup=pair_requests(
            task.tokenizer,
            max_sequence_length=task.max_sequence_length,
            max_new_tokens=max_new_tokens,
            jit_compile=jit_compile,
        ),
    )


def _kernels(backbone):
    """The kernels for one row, without the table that the encoder reads, too."""
    kernels = backbone.kernels_for(1)
    if backbone.source_embedding is backbone.output_embedding:
        kernels.pop(backbone.output_embedding.embeddings.path, None)
    return kernels


def _sources(tokenizer, texts, most):
    """Strings (B,) -> ids (B, S) of at most `most` tokens, and their numbers (B,)."""

    def tokenize(texts):
        encoded = tokenizer.graph.encode(texts["text"], max_length=most)
        return flat_rows({"ids": encoded["token_ids"]})

    with tf.device("/CPU:0"):
        flat = text_in_parts(tokenize, {"text": texts})
        ids = ragged_rows(flat, ["ids"])["ids"]
        return first_ids(ids, most, tokenizer.required_id("end"))


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
        ids, lengths = _sources(task.tokenizer, texts, task.max_sequence_length)

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


class _Scoring:
    """Strings (B,) and (B,) -> `log_probability` float32 and `token_count` int32 (B,).

    Args:
        task: The `Seq2SeqLM`.
        jit_compile: Whether XLA compiles the numeric part.
    """

    def __init__(self, task, jit_compile):
        self._task, self._jit_compile = task, jit_compile
        matrix = tf.TensorSpec([None, None], tf.int32)
        self._compute = tf.function(
            self._log_probability,
            input_signature=[matrix, matrix, matrix, matrix],
            autograph=False,
            jit_compile=jit_compile or None,
        )

    def __call__(self, text, target):
        task, most = self._task, self._task.max_sequence_length
        sides = [
            _sources(task.tokenizer, text, most),
            _sources(task.target_tokenizer, target, most),
        ]
        lengths = [side[1] for side in sides]

        def score(rows):
            parts = []
            with tf.device("/CPU:0"):
                for ids, counts in sides:
                    kept = tf.gather(counts, rows)
                    width = tf.reduce_max(tf.pad(kept, [[0, 1]]))
                    part = tf.gather(ids, rows)[:, :width]
                    fill = task.tokenizer.required_id("end")
                    part = padded_ids(part, fill, most, self._jit_compile)
                    real = padded_rows(kept, tf.shape(part)[0], 0)
                    parts += [part, tf.sequence_mask(real, tf.shape(part)[1], tf.int32)]
            return {"sums": self._compute(*parts)[: tf.size(rows)]}

        found = longest_first(
            score,
            tf.maximum(*lengths),
            lambda cost: rows_of_part(
                num_columns(cost, most, jit_compile=self._jit_compile),
                PART,
                jit_compile=self._jit_compile,
            ),
        )
        return {"log_probability": found["sums"], "token_count": lengths[1]}

    def _log_probability(self, source, source_mask, target, target_mask):
        task = self._task
        inputs, ids, weights = teacher_forced(
            {"token_ids": source, "padding_mask": source_mask},
            {"token_ids": target, "padding_mask": target_mask},
            pad_id=task.target_tokenizer.required_id("end"),
            start_id=task.start_token_id,
        )
        hidden = task.backbone(inputs, training=False)["decoder_sequence_output"]
        scores = log_probabilities(task.backbone, hidden, ids)
        return tf.reduce_sum(scores * weights, axis=1)
