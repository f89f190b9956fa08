import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from tfzoo.training.metrics import (
    Accuracy,
    ClassificationMetrics,
    MultiLabelMetrics,
    RegressionMetrics,
    pearson,
    spearman,
)


def results(metric):
    return {name: float(value) for name, value in metric.result().items()}


def update_by_halves(metric, truth, predicted, weights):
    half = len(truth) // 2
    for part in (slice(half), slice(half, None)):
        given_weights = None if weights is None else weights[part]
        metric.update_state(truth[part], predicted[part], given_weights)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(40,), (8, 5)])
def test_accuracy_is_that_of_keras(shape, weighted):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 7, shape)
    logits = rng.normal(size=(*shape, 7)).astype("float32")
    weights = rng.integers(0, 3, shape).astype("float32") if weighted else None
    ours, theirs = Accuracy(), keras.metrics.SparseCategoricalAccuracy()
    for metric in (ours, theirs):
        update_by_halves(metric, truth, logits, weights)
    assert 0 < float(ours.result()) < 1
    assert float(ours.result()) == pytest.approx(float(theirs.result()), abs=1e-7)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("num_classes", "occurring"), [(2, 2), (2, 1), (5, 5), (5, 3)])
def test_classification_metrics_equal_those_of_sklearn(
    num_classes, occurring, weighted
):
    rng = np.random.default_rng(num_classes)
    truth = rng.integers(0, occurring, 101)
    logits = rng.normal(size=(101, num_classes)) + np.eye(num_classes)[truth]
    if num_classes > 2:
        logits[:, occurring:] = -99  # classes that do not occur at all
    weights = rng.integers(0, 3, 101).astype("float32") if weighted else None
    metric = ClassificationMetrics(num_classes)
    update_by_halves(metric, truth, logits, weights)
    found = logits.argmax(1)
    average = "binary" if num_classes == 2 else "macro"
    options = dict(average=average, sample_weight=weights, zero_division=0)
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
        truth, found, **options
    )
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(truth, found, sample_weight=weights),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "matthews": sklearn_metrics.matthews_corrcoef(
            truth, found, sample_weight=weights
        ),
    }
    assert results(metric) == pytest.approx(expected, abs=1e-6)


def test_a_class_that_is_only_predicted_counts_in_the_means_and_an_absent_one_not():
    truth, found = np.array([0, 0, 1, 1, 1]), np.array([0, 2, 1, 1, 0])
    metric = ClassificationMetrics(4)
    update_by_halves(metric, truth, np.eye(4, dtype="float32")[found], None)
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
        truth, found, average="macro", zero_division=0
    )
    figures = results(metric)
    assert figures["precision"] == pytest.approx(precision, abs=1e-6)
    assert figures["recall"] == pytest.approx(recall, abs=1e-6)
    assert figures["f1"] == pytest.approx(f1, abs=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_multi_label_metrics_equal_those_of_sklearn(weighted):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (81, 4))
    truth[:, 3] = 0  # a label that never occurs
    logits = rng.normal(size=(81, 4)) + 2 * truth - 1
    weights = rng.integers(0, 3, 81).astype("float32") if weighted else None
    metric = MultiLabelMetrics(4)
    update_by_halves(metric, truth, logits, weights)
    found = (logits > 0).astype(int)
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
        truth, found, average="macro", sample_weight=weights, zero_division=0
    )
    accuracy = sklearn_metrics.accuracy_score(truth, found, sample_weight=weights)
    expected = dict(accuracy=accuracy, precision=precision, recall=recall, f1=f1)
    assert results(metric) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_regression_metrics_equal_numpy(weighted):
    rng = np.random.default_rng(0)
    truth = rng.normal(size=60) + 1000  # far from zero, where float32 would cancel
    predicted = (truth + rng.normal(size=60))[:, None]
    weights = rng.integers(0, 3, 60).astype("float32") if weighted else None
    metric = RegressionMetrics()
    update_by_halves(metric, truth, predicted, weights)
    repeats = np.ones(60, int) if weights is None else weights.astype(int)
    x, y = np.repeat(truth, repeats), np.repeat(predicted[:, 0], repeats)
    expected = {
        "mean_squared_error": np.mean((x - y) ** 2),
        "pearson": np.corrcoef(x, y)[0, 1],
    }
    assert results(metric) == pytest.approx(expected, rel=1e-4)


@given(st.lists(st.tuples(st.integers(-5, 5), st.floats(-1e3, 1e3)), min_size=3))
def test_correlations_are_those_of_scipy(pairs):
    x, y = np.array(pairs, "float64").T
    if np.ptp(x) == 0 or np.ptp(y) < 1e-3:
        return
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)


def test_a_constant_has_no_correlation():
    assert np.isnan(pearson([1, 1, 1], [1, 2, 3]))
    assert np.isnan(spearman([1, 2, 3], [7, 7, 7]))


def test_correlations_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="sizes 2 and 3"):
        pearson([1, 2], [1, 2, 3])


@pytest.mark.parametrize(
    "metric", [ClassificationMetrics(3), MultiLabelMetrics(3), RegressionMetrics()]
)
def test_metrics_without_data_are_zero(metric):
    assert set(results(metric).values()) == {0.0}


@pytest.mark.parametrize(
    "metric",
    [
        ClassificationMetrics(3, prefix="a_", name="m"),
        MultiLabelMetrics(4, prefix="b_"),
        RegressionMetrics(prefix="c_"),
    ],
)
def test_a_saved_metric_agrees(metric):
    copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert copy.get_config() == metric.get_config()
    assert set(copy.result()) == set(metric.result())


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="num_classes=1"):
        ClassificationMetrics(1)


def fit(outputs, inputs, y, metrics, losses):
    model = keras.Model(inputs, outputs)
    model.compile("sgd", losses, weighted_metrics=metrics, jit_compile=False)
    x = np.ones((8, 3), "float32")
    history = model.fit(x, y, verbose=0, validation_data=(x, y)).history
    return set(history)


def test_fit_logs_every_metric_under_its_own_name():
    inputs = keras.Input((3,))
    names = fit(
        keras.layers.Dense(2)(inputs),
        inputs,
        np.zeros(8, "int32"),
        [ClassificationMetrics(2)],
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    figures = {"loss", "accuracy", "precision", "recall", "f1", "matthews"}
    assert names == figures | {f"val_{name}" for name in figures}


def test_fit_on_several_outputs_distinguishes_their_metrics_by_prefix():
    inputs = keras.Input((3,))
    names = fit(
        {n: keras.layers.Dense(1, name=n)(inputs) for n in ("first", "second")},
        inputs,
        {"first": np.zeros(8), "second": np.zeros(8)},
        {n: [RegressionMetrics(prefix=f"{n}_")] for n in ("first", "second")},
        {"first": "mse", "second": "mse"},
    )
    assert {"first_pearson", "second_pearson", "val_second_pearson"} <= names
