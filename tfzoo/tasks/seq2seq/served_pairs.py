"""The signatures of a served encoder-decoder: source texts in, target texts out.

Shapes: B rows, N beams.
"""

import tensorflow as tf

from tfzoo.generation.options import GenerationOptions
from tfzoo.serving.request_rows import of_one_size
from tfzoo.serving.signatures import STRINGS, ServedModel, traced
from tfzoo.serving.warmup import pair_requests
from tfzoo.tasks.causal_lm.served_texts import PLAIN
from tfzoo.tasks.seq2seq.pair_generation import NUMBERS_OF_PAIRS, PairGeneration
from tfzoo.tasks.seq2seq.served_pair_scores import PairScores
from tfzoo.tasks.seq2seq.translating import MOST_NEW_TOKENS


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
    scoring = PairScores(task, jit_compile)

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
