"""The signatures of a served classifier: strings or ids in, answers out.

Shapes: B rows, S tokens, C labels.
"""

import tensorflow as tf

from tfzoo.serving.request_rows import of_one_size
from tfzoo.serving.signatures import (
    STRINGS,
    ServedModel,
    encoded,
    logits_of,
    parsed,
    signature_of_ids,
    traced,
)
from tfzoo.serving.warmup import warmup_requests
from tfzoo.tasks.classification.answers import ANSWERS


def classifier_signatures(
    core,
    tokenizer,
    *,
    labels=None,
    task="classification",
    text_pair=False,
):
    """The signatures of a classifier of texts or pairs of texts.

    `serving_default` takes `text` string (B,), and `text_pair` for pairs, and returns

    - classification: `label` string (B,), `score` float32 (B,) of that label,
      `probabilities` float32 (B, C);
    - multi_label: `probabilities` float32 (B, C), independent for each label;
    - regression: `score` float32 (B,).

    `token_ids` takes `token_ids`, `segment_ids` (if the core has segments) and
    `padding_mask` int32 (B, S), with S from 1 to `max_sequence_length`, and returns
    `logits` float32 (B, C).

    `examples` takes `inputs` string (B,), serialized `tf.train.Example`s with the
    features `text` (and `text_pair`), for two APIs of TF Serving: Classify with
    `classes` string (B, C) and `scores` float32 (B, C), or, for regression, Regress
    with `outputs` float32 (B, 1).

    Args:
        core: A `PaddedCore` that returns logits (B, C).
        tokenizer: The tokenizer.
        labels: The C class names in order; None for regression.
        task: "classification", "multi_label" or "regression".
        text_pair: Whether an input is a pair of texts.

    Returns:
        `ServedModel`.
    """
    if task not in ANSWERS:
        raise ValueError(f"task must be one of {sorted(ANSWERS)}. Received: {task!r}")
    if (labels is None) != (task == "regression"):
        raise ValueError(
            "labels must be set for classification and multi_label, and None for "
            f"regression. Received: task={task!r}, labels={labels!r}"
        )
    if labels is not None:
        core.require_labels(labels)
    names = ("text", "text_pair") if text_pair else ("text",)

    @traced(**dict.fromkeys(names, STRINGS))
    def logits_of_text(**texts):
        texts = of_one_size(texts)
        return logits_of(core, encoded(tokenizer, texts, core.max_sequence_length))

    answer = ANSWERS[task]

    @traced(**dict.fromkeys(names, STRINGS))
    def serving_default(**texts):
        return _named(answer(logits_of_text(**texts)), labels)

    @traced(inputs=STRINGS)
    def examples(inputs):
        return _of_examples(answer(logits_of_text(**parsed(inputs, names))), labels)

    functions = {
        "serving_default": serving_default,
        "token_ids": signature_of_ids(core, "logits"),
        "examples": examples,
    }
    methods = {
        "serving_default": "predict",
        "token_ids": "predict",
        "examples": "classify" if labels else "regress",
    }
    return ServedModel(
        functions=functions,
        methods=methods,
        warmup=warmup_requests(functions, methods, tokenizer, core),
        labels=None if labels is None else tuple(labels),
    )


def _named(answer, labels):
    """The answer of a signature, with the name of the most likely class."""
    if "index" in answer:
        with tf.device("/CPU:0"):
            label = tf.gather(tf.constant(labels), answer.pop("index"))
        return {"label": label, **answer}
    return answer


def _of_examples(answer, labels):
    """The same for TF Serving's Classify or Regress."""
    if labels is None:
        return {"outputs": answer["score"][:, tf.newaxis]}
    scores = answer["probabilities"]
    with tf.device("/CPU:0"):
        rows = tf.shape(scores)[0]
        classes = tf.tile(tf.constant([labels]), [rows, 1])
    return {"classes": classes, "scores": scores}
