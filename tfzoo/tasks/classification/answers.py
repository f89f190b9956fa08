"""Converts the logits of a classifier to answers, in Python and in served graphs.

Shapes: B texts, C labels.
"""

import tensorflow as tf

THRESHOLD = 0.5  # minimum probability of a label in multi-label classification


def of_classes(logits):
    """Logits (B, C) -> `index` int32 (B,), its `score` (B,), `probabilities` (B, C)."""
    probabilities = tf.nn.softmax(logits)
    return {
        "index": tf.argmax(logits, axis=-1, output_type=tf.int32),
        "score": tf.reduce_max(probabilities, axis=-1),
        "probabilities": probabilities,
    }


def of_several_labels(logits):
    """Logits (B, C) -> `probabilities` (B, C), independent for each label."""
    return {"probabilities": tf.sigmoid(logits)}


def of_a_number(logits):
    """Logits (B, 1) -> `score` (B,)."""
    return {"score": logits[:, 0]}


ANSWERS = {
    "classification": of_classes,
    "multi_label": of_several_labels,
    "regression": of_a_number,
}


def named_answers(logits, task, labels):
    """The result of `classify`: a dict of Python values for each row of logits (B, C).

    Args:
        logits: A NumPy array.
        task: Key of `ANSWERS`.
        labels: Names of the C labels; None for regression.
    """
    answers = ANSWERS[task](tf.convert_to_tensor(logits))
    answers = {name: x.numpy().tolist() for name, x in answers.items()}
    if task == "regression":
        return [{"score": score} for score in answers["score"]]
    if task == "classification":
        return [
            {"label": labels[index], "score": score}
            for index, score in zip(answers["index"], answers["score"], strict=True)
        ]
    rows = [dict(zip(labels, p, strict=True)) for p in answers["probabilities"]]
    return [
        {
            "labels": [name for name, score in row.items() if score >= THRESHOLD],
            "scores": row,
        }
        for row in rows
    ]
