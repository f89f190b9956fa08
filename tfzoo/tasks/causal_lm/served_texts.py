"""The signatures of a served causal language model: prompts in, texts out.

Shapes: B rows, R rows after padding, P columns of prompts, N new tokens.
"""

import functools

import tensorflow as tf

from tfzoo.generation import decode
from tfzoo.generation.decoding import Sampling
from tfzoo.generation.options import (
    DEFAULT_NEW_TOKENS,
    PENALTIES,
    GenerationOptions,
)
from tfzoo.generation.rules import rules_for
from tfzoo.generation.searches import search_for
from tfzoo.serving.core import longest_first, rows_of_part
from tfzoo.serving.request_rows import (
    limited,
    of_one_size,
    padded_ids,
    padded_rows,
)
from tfzoo.serving.signatures import STRINGS, ServedModel, traced
from tfzoo.serving.warmup import generation_requests
from tfzoo.tasks.causal_lm.served_prompts import ChatPrompts, Prompts
from tfzoo.tasks.causal_lm.served_scores import TextScoring, laid_out

PART_BYTES = 1 << 28  # of keys, values and logits in memory at a time
LOGITS = 8  # copies of a row's logits in memory while its next token is chosen
NUMBERS = {
    "max_new_tokens": tf.int32,
    "top_k": tf.int32,
    "seed": tf.int64,
    "temperature": tf.float32,
    "top_p": tf.float32,
    "repetition_penalty": tf.float32,
}
# The options of `serving_default` without sampling
PLAIN = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0}


def causal_lm_signatures(
    decoder,
    tokenizer,
    *,
    max_sequence_length=None,
    end_ids=None,
    max_new_tokens=None,
    temperature=0.0,
    top_k=0,
    top_p=1.0,
    repetition_penalty=1.0,
    seed=0,
    num_beams=1,
    length_penalty=None,
    early_stopping=None,
    penalty_alpha=None,
    turn=None,
    jit_compile=False,
):
    """The signatures of a model that continues texts.

    `serving_default` takes `prompt` string (B,) and returns `text` string (B,), the
    continuation of each prompt with the options given here.

    `generate` takes `prompt` and options for each row, all (B,): `max_new_tokens`,
    `top_k` (0 for all) int32, `seed` int64, `temperature` (0 for the most likely
    token), `top_p` (1 for all), `repetition_penalty` (1 for none) float32. It returns
    `text` string (B,) and `token_count` int32 (B,), the number of new tokens including
    the end token. Values out of range are clipped. The text of a row depends only on
    that row.

    `score` takes `text` string (B,) and returns `log_probability` float32 (B,), the sum
    over the tokens of the text, in nats, and their number `token_count` int32 (B,).

    A prompt that is too long is truncated to its end, as much as fits in the context
    next to the row's `max_new_tokens`; a text to score is truncated to its first
    `max_sequence_length` tokens. A prompt starts with the first token of the
    tokenizer's layout, if any. The end token is recognized in a prompt, and an empty
    prompt starts a new text; in a text to score it is plain text.

    Args:
        decoder: A `Decoder`.
        tokenizer: A `ByteBPETokenizer` or `SentencePieceTokenizer` with an end token.
        max_sequence_length: Maximum number of tokens to score. Defaults to the
            decoder's.
        end_ids: List of the ids that end a text. Defaults to the tokenizer's end token.
        max_new_tokens: Option of `serving_default`, and the maximum for `generate`.
            None for 64, or half the context if that is smaller.
        temperature: Option of `serving_default`.
        top_k: Option of `serving_default`.
        top_p: Option of `serving_default`.
        repetition_penalty: Option of `serving_default`.
        seed: Option of `serving_default`, where a prompt always gives the same text.
        num_beams: Option of `serving_default`, see `GenerationOptions`; > 1 for a beam
            search.
        length_penalty: Option of `serving_default`, see `GenerationOptions`.
        early_stopping: Option of `serving_default`, see `GenerationOptions`.
        penalty_alpha: Option of `serving_default`, see `GenerationOptions`, for a
            contrastive search.
        turn: A `OneTurn` of a chat template: `prompt` is then a message of the user, of
            which the start is dropped if it is too long, and no token is recognized in
            it. None for prompts as described above.
        jit_compile: Whether XLA compiles the numeric parts of the served model.

    Returns:
        `ServedModel`.

    Raises:
        ValueError: an option is out of range.
        TokenizerError: the vocabulary lacks the end token.
    """
    context = decoder.max_sequence_length
    if max_new_tokens is None:
        max_new_tokens = min(DEFAULT_NEW_TOKENS, context // 2)
    defaults = {
        "max_new_tokens": max_new_tokens,
        "top_k": top_k,
        "seed": seed,
        "temperature": temperature,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
    }
    end_ids = [tokenizer.required_id("end")] if end_ids is None else list(end_ids)
    asked = defaults
    if num_beams != 1 or penalty_alpha is not None:  # these reject sampling options
        asked = {n: value for n, value in defaults.items() if value != PLAIN.get(n)}
    options = GenerationOptions(
        **asked,
        num_beams=num_beams,
        length_penalty=length_penalty,
        early_stopping=early_stopping,
        penalty_alpha=penalty_alpha,
    )
    options.limits([1], context)
    rules = rules_for(
        options,
        [1],
        end_ids,
        decoder.vocabulary_size,
        1,
        tokenizer.vocabulary_size,
    )
    search = search_for(options, decoder.vocabulary_size)
    kernels = {
        path: tf.Variable(kernel, trainable=False, name=f"{path}_laid_out")
        for path, kernel in decoder.kernels_for(1).items()
    }
    prompts = Prompts(tokenizer, context)
    if turn is not None:
        prompts = ChatPrompts(tokenizer, context, turn)
        if prompts.num_fixed + max_new_tokens >= context:
            raise ValueError(
                f"max_new_tokens must be < {context - prompts.num_fixed}, the context "
                f"without the template. Received: {max_new_tokens}"
            )
    new_generation = functools.partial(
        _Generation, decoder, kernels, tokenizer, prompts, max_new_tokens, jit_compile
    )
    generation = default = new_generation(
        Sampling(), functools.partial(_rules_of_rows, rules)
    )
    if search != Sampling():
        default = new_generation(search, functools.partial(_same_rules, rules))
    scoring = TextScoring(decoder, kernels, tokenizer, max_sequence_length, jit_compile)

    @traced(prompt=STRINGS)
    def serving_default(prompt):
        with tf.device("/CPU:0"):
            rows = tf.shape(prompt)
            options = {
                name: tf.fill(rows, tf.constant(defaults[name], dtype))
                for name, dtype in NUMBERS.items()
            }
        return {"text": default(prompt, options)["text"]}

    numbers = {name: tf.TensorSpec([None], dtype) for name, dtype in NUMBERS.items()}

    @traced(prompt=STRINGS, **numbers)
    def generate(prompt, **options):
        inputs = of_one_size({"prompt": prompt, **options})
        return generation(inputs.pop("prompt"), inputs)

    @traced(text=STRINGS)
    def score(text):
        return scoring(text)

    functions = {
        "serving_default": serving_default,
        "generate": generate,
        "score": score,
    }
    return ServedModel(
        functions=functions,
        methods=dict.fromkeys(functions, "predict"),
        warmup=generation_requests(
            tokenizer,
            num_fixed=prompts.num_fixed,
            context=context,
            max_sequence_length=scoring.max_sequence_length,
            max_new_tokens=max_new_tokens,
            jit_compile=jit_compile,
        ),
    )


class _Generation:
    """Strings and numbers of the same rows -> the continuation of each.

    All signatures with the same search share one function of tensors, so that XLA
    compiles once.

    Args:
        search: A `Search` of one decoder.
        rules_for: Function of the numbers of B rows that returns the rules of the
            search.
    """

    def __init__(
        self,
        decoder,
        kernels,
        tokenizer,
        prompts,
        max_new_tokens,
        jit_compile,
        search,
        rules_for,
    ):
        self._decoder, self._kernels, self._tokenizer = decoder, kernels, tokenizer
        self._prompts, self._search, self._rules_for = prompts, search, rules_for
        self._end_id = tokenizer.required_id("end")
        self._max_new_tokens, self._jit_compile = max_new_tokens, jit_compile
        self._context = decoder.max_sequence_length
        rows = {name: tf.TensorSpec([None], dtype) for name, dtype in NUMBERS.items()}
        self._decode = tf.function(
            self._decoded,
            input_signature=[
                tf.TensorSpec([None, None], tf.int32),
                tf.TensorSpec([None], tf.int32),
                rows,
            ],
            autograph=False,
        )

    def __call__(self, prompts, options):
        with tf.device("/CPU:0"):
            options = limited(
                options,
                max_new_tokens=self._max_new_tokens,
                vocabulary_size=self._decoder.vocabulary_size,
            )
            ids, lengths = self._prompts(
                prompts, self._context - options["max_new_tokens"]
            )
            # With XLA, the cache has room for the maximum that can be requested.
            new = (
                self._max_new_tokens if self._jit_compile else options["max_new_tokens"]
            )

        def generate(rows):
            with tf.device("/CPU:0"):
                kept = tf.gather(lengths, rows)
                part = tf.gather(ids, rows)[:, : tf.reduce_max(tf.pad(kept, [[0, 1]]))]
                chosen = {name: tf.gather(x, rows) for name, x in options.items()}
            return self._generated(part, kept, chosen)

        token_bytes, row_bytes = self._bytes
        found = longest_first(
            generate,
            lengths + new + -(-row_bytes // token_bytes),
            lambda cost: rows_of_part(
                cost, PART_BYTES // token_bytes, jit_compile=self._jit_compile
            ),
        )
        with tf.device("/CPU:0"):
            tokens, counts = found["tokens"], found["token_count"]
            new = tf.RaggedTensor.from_tensor(tokens, lengths=counts)
            before = tf.RaggedTensor.from_tensor(ids, lengths=lengths)
            return {
                "text": self._tokenizer.graph.continuations(before, new),
                "token_count": counts,
            }

    @property
    def _bytes(self):
        """Bytes for the state of a token, and for choosing a prompt's next tokens."""
        decoder, (rows,) = self._decoder, self._search.rows_of_step
        state = tf.nest.flatten(decoder.state(self._search.rows_per_prompt, 1))
        token_bytes = sum(x.dtype.size * x.shape.num_elements() for x in state)
        return token_bytes, 4 * LOGITS * decoder.vocabulary_size * rows

    def _generated(self, ids, lengths, options):
        """The continuations of some rows: `tokens` and `token_count`."""
        with tf.device("/CPU:0"):
            count = tf.size(lengths)
            ids = padded_ids(ids, self._end_id, self._context, self._jit_compile)
            rows = tf.shape(ids)[0]
            lengths = padded_rows(lengths, rows, 1)
            # With 0 new tokens, padding rows are done before they start.
            options = {
                name: padded_rows(value, rows, tf.constant(0, value.dtype))
                for name, value in options.items()
            }
        tokens, counts = self._decode(ids, lengths, options)
        return {"tokens": tokens[:count], "token_count": counts[:count]}

    def _decoded(self, ids, lengths, options):
        results = decode(
            self._search,
            laid_out(self._decoder, self._kernels),
            ids,
            lengths,
            options["max_new_tokens"],
            self._rules_for(options),
            max_new_tokens=self._max_new_tokens,
            jit_compile=self._jit_compile,
        )
        rows = self._search.rows_per_prompt  # of which the first is the best
        return results.tokens[::rows], results.counts[::rows]


def _rules_of_rows(rules, options):
    """The rules with which each row samples with its own numbers."""
    return {
        **{n: value for n, value in rules.items() if n in ("end_ids", "bad_ids")},
        **{name: options[name] for name in ("temperature", "top_k", "top_p")},
        "repetition_penalty": options["repetition_penalty"],
        "seeds": options["seed"],
        "counters": tf.zeros_like(options["max_new_tokens"]),
    }


def _same_rules(rules, options):
    """The rules of one prompt, repeated for all."""
    prompts = tf.shape(options["max_new_tokens"])
    return {
        name: tf.tile(value, prompts) if name in PENALTIES else value
        for name, value in rules.items()
    }
