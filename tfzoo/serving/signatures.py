"""What the signatures of all served models have in common.

Shapes: B rows, S tokens.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfzoo.serving.core import PaddedCore, checked_ids, of_width
from tfzoo.serving.text_parts import flat_rows, ragged_rows, text_in_parts
from tfzoo.serving.warmup import warmup_requests

STRINGS = tf.TensorSpec([None], tf.string)
IDS = tf.TensorSpec([None, None], tf.int32)


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """What one SavedModel answers, ready to be written.

    Args:
        functions: Signature name -> concrete function of named tensors that returns a
            dictionary.
        methods: Signature name -> TF Serving API: "predict", "classify", "regress".
        warmup: Requests (`tfzoo.serving.warmup.Request`) a server sends itself first.
        labels: The classes in order, or None.
    """

    functions: Mapping[str, Any]
    methods: Mapping[str, str]
    warmup: tuple
    labels: tuple[str, ...] | None = None


def padded_core(core, tokenizer, *, vocabulary_size=None, **options):
    """The `PaddedCore` of a model and its tokenizer.

    Args:
        core: As of `PaddedCore`.
        tokenizer: With the special tokens of an encoder.
        vocabulary_size: Ids that the core knows; the tokenizer's vocabulary if None.
        **options: As of `PaddedCore`.

    Raises:
        TokenizerError: the vocabulary lacks a special token that is needed.
    """
    return PaddedCore(
        core,
        pad_id=tokenizer.required_id("pad"),
        vocabulary_size=vocabulary_size or tokenizer.vocabulary_size,
        **options,
    )


def strings_and_ids(
    serving_default,
    name,
    core,
    tokenizer,
    *,
    by_token=False,
    labels=None,
):
    """The `ServedModel` of a signature of strings, and one of ids for the same core.

    Args:
        serving_default: The concrete function of strings.
        name: As of `signature_of_ids`.
        core: The `PaddedCore`.
        tokenizer: The tokenizer.
        by_token: As of `signature_of_ids`.
        labels: The classes in order, or None.
    """
    functions = {
        "serving_default": serving_default,
        "token_ids": signature_of_ids(core, name, by_token=by_token),
    }
    methods = dict.fromkeys(functions, "predict")
    return ServedModel(
        functions=functions,
        methods=methods,
        warmup=warmup_requests(functions, methods, tokenizer, core),
        labels=labels,
    )


def signature_of_ids(core, name, *, by_token=False):
    """The signature `token_ids` of a core: checked ids in, what it computes out.

    Args:
        core: The `PaddedCore`.
        name: What the signature calls that.
        by_token: Whether the core computes something for each of the S tokens.
    """
    segments = ("segment_ids",) if core.num_segments else ()
    positions = ("mask_positions",) if core.mask_positions else ()
    names = ("token_ids", *segments, "padding_mask", *positions)

    @traced(**dict.fromkeys(names, IDS))
    def token_ids(**inputs):
        checked = checked_ids(
            inputs,
            vocabulary_size=core.vocabulary_size,
            num_segments=core.num_segments,
            max_sequence_length=core.max_sequence_length,
        )
        width = tf.shape(checked["token_ids"])[1]

        def answer(logits, rows):
            return {name: of_width(logits, width) if by_token else logits}

        return core(checked, answer)

    return token_ids


def traced(**specs):
    """Decorator: the graph of a function of these named tensors."""

    def decorate(function):
        named = {
            name: tf.TensorSpec(spec.shape, spec.dtype, name)
            for name, spec in specs.items()
        }
        return tf.function(function, autograph=False).get_concrete_function(**named)

    return decorate


def logits_of(core, inputs):
    """What a `PaddedCore` computes of the inputs that `encoded` gives."""
    lengths = tf.reduce_sum(inputs["padding_mask"], axis=1)
    answer = core(inputs, lambda logits, rows: {"logits": logits}, lengths)
    return answer["logits"]


def encoded(tokenizer, texts, max_sequence_length, *, mask_token=False):
    """Token ids of texts as int32 inputs (B, S), S the longest of them.

    Args:
        tokenizer: With the special tokens of an encoder.
        texts: `text` string (B,), and `text_pair` for pairs.
        max_sequence_length: Largest S; longer text is truncated.
        mask_token: Whether the mask token, written in a text, is that token.
    """

    def tokenize(texts):
        return flat_rows(
            tokenizer.graph.encode(
                texts["text"],
                texts.get("text_pair"),
                max_length=max_sequence_length,
                mask_token=mask_token,
            )
        )

    with tf.device("/CPU:0"):
        flat = text_in_parts(tokenize, texts)
        ids = ragged_rows(flat, ("token_ids", "segment_ids"))
        return dense_inputs(ids, tokenizer.required_id("pad"))


def dense_inputs(ids, pad_id):
    """Ragged `token_ids` and `segment_ids` (B, None) as int32 inputs (B, S)."""
    token_ids = ids["token_ids"].to_tensor(pad_id)
    lengths = ids["token_ids"].row_lengths()
    return {
        "token_ids": token_ids,
        "segment_ids": ids["segment_ids"].to_tensor(0),
        "padding_mask": tf.sequence_mask(lengths, tf.shape(token_ids)[1], tf.int32),
    }


def parsed(serialised, names):
    """The string features `names` (B,) of serialised `tf.train.Example` (B,)."""
    with tf.device("/CPU:0"):
        features = {name: tf.io.FixedLenFeature([], tf.string) for name in names}
        return tf.io.parse_example(serialised, features)
