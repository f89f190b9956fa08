"""Runs a SavedModel in a process where Keras and this package cannot be imported.

Usage: python tensorflow_alone.py SAVED_MODEL < REQUESTS

Reads the same input as `c_api.py` and prints the same `answers`. TensorFlow imports
parts of Keras if it is installed, so it is hidden here.
"""

import json
import sys

for name in ("keras", "tf_keras", "tfzoo", "tensorflow_text", "tokenizers"):
    sys.modules[name] = None

import tensorflow as tf  # noqa: E402


def main(path):
    signatures = tf.saved_model.load(path).signatures
    answers = []
    for name, inputs in json.load(sys.stdin):
        tensors = {}
        for key, (dtype, shape, values) in inputs.items():
            if dtype == "string":
                values = [value.encode("utf-8", "surrogateescape") for value in values]
            tensors[key] = tf.reshape(tf.constant(values, dtype), shape)
        try:
            outputs = signatures[name](**tensors)
        except tf.errors.OpError as e:
            answers.append(e.message)
            continue
        answers.append({key: described(value) for key, value in outputs.items()})
    print(json.dumps({"answers": answers}))


def described(tensor):
    values = tensor.numpy().ravel().tolist()
    if tensor.dtype == tf.string:
        values = [value.decode() for value in values]
    return [tensor.shape.as_list(), values]


if __name__ == "__main__":
    main(*sys.argv[1:])
