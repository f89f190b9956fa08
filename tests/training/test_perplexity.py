import keras
import numpy as np
import pytest

from tfzoo.training.perplexity import NextTokenMetrics


def results(metric):
    return {name: float(value) for name, value in metric.result().items()}


@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_equal_numpy_over_several_batches(weighted):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 7, (6, 5))
    logits = rng.normal(size=(6, 5, 7)).astype(np.float32) * 2
    weights = rng.integers(0, 2, (6, 5)) if weighted else np.ones((6, 5))
    metric = NextTokenMetrics()
    for part in (slice(2), slice(2, 6)):
        given = weights[part] if weighted else None
        metric.update_state(truth[part], logits[part], given)
    scores = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    nats = -np.take_along_axis(scores, truth[..., None], -1)[..., 0]
    right = logits.argmax(-1) == truth
    assert results(metric) == pytest.approx(
        {
            "accuracy": np.average(right, weights=weights),
            "perplexity": np.exp(np.average(nats, weights=weights)),
        },
        rel=1e-5,
    )


def test_without_data_accuracy_is_0_and_perplexity_1():
    metric = NextTokenMetrics()
    assert results(metric) == {"accuracy": 0.0, "perplexity": 1.0}
    metric.update_state(np.ones((1, 2), int), np.ones((1, 2, 3)), np.zeros((1, 2)))
    assert results(metric) == {"accuracy": 0.0, "perplexity": 1.0}


def test_state_can_be_reset_and_the_config_round_trips():
    metric = NextTokenMetrics(name="words")
    metric.update_state(np.ones((1, 2), int), np.ones((1, 2, 3)))
    metric.reset_state()
    assert results(metric)["perplexity"] == 1.0
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(metric)
    )
    assert copy.name == "words"
