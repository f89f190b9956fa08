"""Building blocks for the signatures of served models.

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
    """The signatures of a SavedModel, ready to be written.

    Args:
        functions: Signature name -> concrete function of named tensors that returns a
            dict.
        methods: Signature name -> TF Serving API: "predict", "classify", "regress".
        warmup: Warm-up requests (`tfzoo.serving.warmup.Request`).
        labels: The classes in order, or None.
    """

    functions: Mapping[str, Any]
    methods: Mapping[str, str]
    warmup: tuple
    labels: tuple[str, ...] | None = None


def padded_core(core, tokenizer, *, vocabulary_size=None, **options):
    """The `PaddedCore` of a model and its tokenizer.

    Args:
        core: As in `PaddedCore`.
        tokenizer: The tokenizer.
        vocabulary_size: Upper bound of the ids, exclusive. None for the tokenizer's
            vocabulary.
        **options: As in `PaddedCore`.

    Raises:
        TokenizerError: the vocabulary lacks a required special token.
    """
    return PaddedCore(
        core,
        pad_id=tokenizer.filling_id,
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
    """The `ServedModel` with a signature of strings, and one of ids for the same core.

    Args:
        serving_default: The concrete function of strings.
        name: As in `signature_of_ids`.
        core: The `PaddedCore`.
        tokenizer: The tokenizer.
        by_token: As in `signature_of_ids`.
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
    """The signature `token_ids` of a core: checked ids in, the core's output out.

    Args:
        core: The `PaddedCore`.
        name: Name of the output in the signature.
        by_token: Whether the core has an output for each of the S tokens.
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
    """Decorator that traces a function of these named tensors to a graph."""

    def decorate(function):
        named = {
            name: tf.TensorSpec(spec.shape, spec.dtype, name)
            for name, spec in specs.items()
        }
        return tf.function(function, autograph=False).get_concrete_function(**named)

    return decorate


def logits_of(core, inputs):
    """The output of a `PaddedCore` for inputs from `encoded`."""
    lengths = tf.reduce_sum(inputs["padding_mask"], axis=1)
    answer = core(inputs, lambda logits, rows: {"logits": logits}, lengths)
    return answer["logits"]


def encoded(tokenizer, texts, max_sequence_length, *, mask_token=False):
    """Tokenizes texts to int32 inputs (B, S), S the longest of them.

    Args:
        tokenizer: The tokenizer.
        texts: Dict of `text`, string (B,), and `text_pair` for pairs.
        max_sequence_length: Maximum of S; longer text is truncated.
        mask_token: Whether the mask token is recognized in the text.
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
        return dense_inputs(ids, tokenizer.filling_id)


def dense_inputs(ids, pad_id):
    """Pads ragged `token_ids` and `segment_ids` (B, None) to int32 inputs (B, S)."""
    token_ids = ids["token_ids"].to_tensor(pad_id)
    lengths = ids["token_ids"].row_lengths()
    return {
        "token_ids": token_ids,
        "segment_ids": ids["segment_ids"].to_tensor(0),
        "padding_mask": tf.sequence_mask(lengths, tf.shape(token_ids)[1], tf.int32),
    }


def parsed(serialised, names):
    """Parses the string features `names` (B,) of serialized `tf.train.Example` (B,)."""
    with tf.device("/CPU:0"):
        features = {name: tf.io.FixedLenFeature([], tf.string) for name in names}
        return tf.io.parse_example(serialised, features)
