"""Results of `fit` on two replicas and on one device; called by test_distribution."""

import keras
import numpy as np
import tensorflow as tf

from tfzoo.training import AdamW, WarmupLinearDecay, distribution, losses, metrics

WORDS, LENGTH, POSITIONS, CLASSES, LABELS = 60, 6, 3, 4, 5
EXAMPLES, BATCH = 41, 8  # the last batch is a single example


def make_model(optimizer):
    keras.utils.set_random_seed(0)
    token_ids = keras.Input((LENGTH,), dtype="int32")
    embedding = keras.layers.Embedding(WORDS, 8)
    x = keras.layers.LayerNormalization()(keras.layers.Dense(8)(embedding(token_ids)))
    pooled = keras.layers.GlobalAveragePooling1D()(x)
    outputs = {
        "words": keras.layers.Dense(WORDS, name="words")(x[:, :POSITIONS]),
        "class": keras.layers.Dense(CLASSES, name="class")(pooled),
        "labels": keras.layers.Dense(LABELS, name="labels")(pooled),
        "score": keras.layers.Dense(1, name="score")(pooled),
    }
    model = keras.Model(token_ids, outputs)
    distribution.require_supported(optimizer=optimizer)
    model.compile(
        optimizer,
        {
            "words": losses.SparseCategoricalCrossentropy(),
            "class": losses.SparseCategoricalCrossentropy(label_smoothing=0.1),
            "labels": losses.BinaryCrossentropy(),
            "score": losses.MeanSquaredError(),
        },
        weighted_metrics={
            "words": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
            "class": [metrics.ClassificationMetrics(CLASSES, prefix="class_")],
            "labels": [metrics.MultiLabelMetrics(LABELS, prefix="labels_")],
            "score": [metrics.RegressionMetrics(prefix="score_")],
        },
        jit_compile=False,
    )
    return model


def make_dataset():
    """Strings of numbers, and weights that differ widely between the replicas."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, WORDS, (EXAMPLES, LENGTH))
    targets = {
        "words": ids[:, :POSITIONS],
        "class": ids.sum(1) % CLASSES,
        "labels": (ids[:, :LABELS] % 2).astype("float32"),
        "score": ids[:, 0].astype("float32") / WORDS,
    }
    weights = {
        "words": (rng.random((EXAMPLES, POSITIONS)) < 0.4).astype("float32"),
        "class": rng.random(EXAMPLES).astype("float32") ** 4,
        "labels": rng.integers(0, 2, EXAMPLES).astype("float32"),
        "score": np.where(np.arange(EXAMPLES) % BATCH < BATCH / 2, 0.0, 1.0),
    }
    texts = [" ".join(map(str, row)) for row in ids]

    def parse(text, *rest):
        numbers = tf.strings.to_number(tf.strings.split(text).to_tensor(), tf.int32)
        return numbers, *rest

    return (
        tf.data.Dataset.from_tensor_slices((texts, targets, weights))
        .batch(BATCH)
        .map(parse)
    )


def fit(strategy, clip_norm):
    with distribution.strategy(strategy).scope():
        schedule = WarmupLinearDecay(1e-2, 3, 30)
        model = make_model(AdamW(schedule, 0.1, global_clipnorm=clip_norm))
    data = make_dataset()
    history = model.fit(
        data, epochs=2, validation_data=data, shuffle=False, verbose=0
    ).history
    variables = [*model.variables, *model.optimizer.variables]
    return np.concatenate([np.ravel(v.numpy()) for v in variables]), history


def compare():
    """Largest differences of weights and of logs."""
    weights, history = fit("none", clip_norm=0.2)
    mirrored_weights, mirrored_history = fit("mirrored", clip_norm=0.2)
    return {
        "replicas": distribution.strategy("mirrored").num_replicas_in_sync,
        "weights": float(abs(weights - mirrored_weights).max()),
        "logs": {
            name: float(np.abs(np.subtract(mirrored_history[name], values)).max())
            for name, values in history.items()
        },
        "refusals": refusals(),
    }


def refusals():
    """The messages for what several replicas do not support."""
    messages = []
    scaled = keras.optimizers.LossScaleOptimizer(AdamW())
    cases = [
        dict(optimizer=AdamW(), jit_compile=True),
        dict(optimizer=AdamW(), steps_per_execution=2),
        dict(optimizer=AdamW(gradient_accumulation_steps=2)),
        dict(optimizer=scaled),
    ]
    for case in cases:
        distribution.require_supported(**case)  # supported on one device
    with distribution.strategy("mirrored").scope():
        for case in cases:
            try:
                distribution.require_supported(**case)
            except ValueError as e:
                messages.append(str(e))
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(AdamW(use_ema=True), "mse")
    try:
        model.fit(np.ones((4, 2)), np.ones(4), verbose=0)
    except ValueError as e:
        messages.append(str(e))
    return messages
