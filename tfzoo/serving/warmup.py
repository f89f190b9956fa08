"""Warm-up requests that TF Serving sends a model before it accepts traffic.

Without them, the first client of every length waits for tracing and memory allocation
and, with XLA, for compilation.

Source: https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

import dataclasses

import numpy as np
import tensorflow as tf

from tfzoo.serving.core import XLA_BATCH_SIZES, few_lengths, length_buckets


@dataclasses.dataclass(frozen=True)
class Request:
    """A request: signature, TF Serving API, and inputs as arrays."""

    signature: str
    method: str
    inputs: dict


def warmup_requests(functions, methods, tokenizer, padded):
    """A request for each signature, length bucket and compiled batch size.

    Args:
        functions: Signature name -> concrete function of named inputs.
        methods: Signature name -> "predict", "classify" or "regress".
        tokenizer: The tokenizer of the text inputs.
        padded: The `PaddedCore` shared by all signatures.

    Returns:
        Tuple of `Request`. The text is full stops, preceded by a mask token if the core
        takes `mask_positions`.
    """
    rows = XLA_BATCH_SIZES if padded.jit_compile else (1,)
    pair = len(_inputs(functions["serving_default"])) == 2
    special = _num_special_tokens(tokenizer, pair) + padded.mask_positions
    gap = tokenizer.mask_token if padded.mask_positions else ""
    per_word = len(tokenizer.tokenize(" ."))  # never merges with the next word
    requests = []
    for length in length_buckets(padded.max_sequence_length):
        text = (gap + " ." * ((length - special) // per_word)).encode()
        values = {"text": text, "text_pair": b"", "context": text, "question": b""}
        for size in rows:
            for name, function in functions.items():
                inputs = {
                    key: _value(key, spec, values, size, length, pair)
                    for key, spec in _inputs(function).items()
                }
                requests.append(Request(name, methods[name], inputs))
    return tuple(requests)


def generation_requests(
    tokenizer, *, num_fixed, context, max_sequence_length, max_new_tokens, jit_compile
):
    """Requests for the signatures of a text-generation model.

    One per signature; with XLA, one to `generate` and one to `score` for each length
    and batch size. `serving_default` needs nothing beyond `generate`.

    Args:
        tokenizer: A `ByteBPETokenizer`.
        num_fixed: Number of tokens that each prompt gets in addition to its own.
        context: Maximum number of tokens of a prompt and its continuation.
        max_sequence_length: Maximum number of tokens of a text to score.
        max_new_tokens: Maximum number of new tokens in a request.
        jit_compile: Whether XLA compiles.

    Returns:
        Tuple of `Request`.
    """
    per_word = len(tokenizer.tokenize(" ."))  # never merges with the next word

    def texts(length, rows, num_fixed=0):
        words = max(int(not num_fixed), (length - num_fixed) // per_word)
        return np.array([b" ." * words] * rows, object)

    lengths, others = (1,), (1,)
    if jit_compile:
        lengths, others = few_lengths(context), few_lengths(max_sequence_length)
    requests = [
        Request("serving_default", "predict", {"prompt": texts(1, 1, num_fixed)})
    ]
    for rows in XLA_BATCH_SIZES if jit_compile else (1,):
        for length in lengths:
            options = _options(rows, min(max_new_tokens, context - length))
            inputs = {"prompt": texts(length, rows, num_fixed), **options}
            requests.append(Request("generate", "predict", inputs))
        for length in others:
            requests.append(Request("score", "predict", {"text": texts(length, rows)}))
    return tuple(requests)


def pair_requests(tokenizer, *, max_sequence_length, max_new_tokens, jit_compile):
    """Requests for the signatures of an encoder-decoder.

    One per signature; with XLA, one to `generate` and one to `score` for each length of
    sources and batch size.

    Args:
        tokenizer: The tokenizer of sources.
        max_sequence_length: Maximum number of tokens of a source.
        max_new_tokens: Maximum number of new tokens in a request.
        jit_compile: Whether XLA compiles.

    Returns:
        Tuple of `Request`.
    """
    per_word = len(tokenizer.tokenize(" ."))
    lengths = few_lengths(max_sequence_length) if jit_compile else (1,)
    requests = [_of_texts("serving_default", 1, 1)]
    for rows in XLA_BATCH_SIZES if jit_compile else (1,):
        for length in lengths:
            words = max(1, (length - 1) // per_word)
            generate = _of_texts("generate", rows, words)
            options = _options(rows, max_new_tokens)
            options["length_penalty"] = np.ones(rows, np.float32)
            generate.inputs.update(options)
            score = _of_texts("score", rows, words)
            score.inputs["target"] = score.inputs["text"]
            beams = _of_texts("generate", rows, words)
            beams.inputs.update(options | {"temperature": np.zeros(rows, np.float32)})
            requests += [generate, beams, score]
    return tuple(requests)


def _of_texts(signature, rows, words):
    texts = np.array([b" ." * words] * rows, object)
    return Request(signature, "predict", {"text": texts})


def _options(rows, max_new_tokens):
    """Options of `generate`, with a temperature that makes end tokens unlikely.

    Steps after an end token would not be compiled.
    """
    return {
        "max_new_tokens": np.full(rows, max_new_tokens, np.int32),
        "top_k": np.zeros(rows, np.int32),
        "seed": np.arange(rows),
        "temperature": np.full(rows, 1e4, np.float32),
        "top_p": np.ones(rows, np.float32),
        "repetition_penalty": np.ones(rows, np.float32),
    }


def _inputs(function):
    specs = tf.nest.flatten(function.structured_input_signature)
    return {spec.name: spec for spec in specs}


def _num_special_tokens(tokenizer, pair):
    nothing = tf.constant([""])
    encoded = tokenizer.graph.encode(nothing, nothing if pair else None, max_length=8)
    return int(encoded["token_ids"].row_lengths()[0])


def _value(name, spec, values, rows, length, pair):
    if name == "inputs":
        features = {"text": values["text"]}
        if pair:
            features["text_pair"] = values["text_pair"]
        return np.array([example(features)] * rows, object)
    if spec.dtype == tf.string:
        return np.array([values[name]] * rows, object)
    if name == "mask_positions":
        return np.zeros((rows, 1), np.int32)
    fill = 1 if name == "padding_mask" else 0
    return np.full((rows, length), fill, np.int32)


def example(features):
    """A serialized `tf.train.Example` of feature name -> bytes."""
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                for name, value in features.items()
            }
        )
    ).SerializeToString()


def write_warmup(path, requests):
    """Writes requests as the `PredictionLog` records that TF Serving reads."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in requests:
            writer.write(_log(request).SerializeToString())


def _log(request):
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    if request.method == "predict":
        sent = log.predict_log.request
        for name, value in request.inputs.items():
            sent.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    else:
        kind = log.classify_log if request.method == "classify" else log.regress_log
        sent = kind.request
        for serialised in request.inputs["inputs"]:
            sent.input.example_list.examples.add().ParseFromString(serialised)
    sent.model_spec.signature_name = request.signature
    return log
