import numpy as np
import pytest

from tfzoo.tasks import nearest
from tfzoo.tasks.embedding.nearest import QUERIES, VECTORS


def sorted_fully(queries, corpus, k):
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, corpus)]
    cosines = unit[0].astype(float) @ unit[1].T.astype(float)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(cosines, order, 1), order


@pytest.mark.parametrize("k", [1, 7])
def test_neighbors_equal_those_of_a_full_sort(k):
    rng = np.random.default_rng(0)
    corpus = rng.normal(size=(2 * VECTORS + 3, 8)).astype(np.float32)
    queries = rng.normal(size=(QUERIES + 2, 8)).astype(np.float32)
    scores, indices = nearest(queries, corpus, k)
    expected, order = sorted_fully(queries, corpus, k)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert (indices == order).mean() > 0.999  # except for scores equal in float32
    assert (scores.dtype, indices.dtype) == (np.float32, np.int64)


def test_for_equal_scores_the_lower_index_comes_first():
    corpus = np.zeros((2 * VECTORS + 5, 2), np.float32)
    corpus[:, 1] = 1
    equal = [3, VECTORS - 1, VECTORS + 1, 2 * VECTORS + 4]
    corpus[equal] = [[1, 0]]
    scores, indices = nearest([[2.0, 0.0]], corpus, k=6)
    assert indices.tolist() == [[*equal, 0, 1]]
    assert scores.tolist() == [[1, 1, 1, 1, 0, 0]]


def test_norms_of_vectors_have_no_effect():
    rng = np.random.default_rng(0)
    queries, corpus = rng.normal(size=(3, 4)), rng.normal(size=(20, 4))
    _, indices = nearest(queries, corpus, 5)
    _, scaled = nearest(queries * 3, corpus * rng.uniform(0.1, 9, (20, 1)), 5)
    np.testing.assert_array_equal(indices, scaled)


def test_a_k_above_the_number_of_vectors_returns_all():
    scores, indices = nearest(np.eye(2), np.eye(2), k=10)
    assert indices.tolist() == [[0, 1], [1, 0]] and scores.tolist() == [[1, 0]] * 2


def test_empty_queries_and_corpora_have_no_neighbors():
    assert nearest(np.zeros((0, 3)), np.eye(3))[0].shape == (0, 3)
    assert nearest(np.eye(3), np.zeros((0, 3)))[1].shape == (3, 0)


@pytest.mark.parametrize("wrong", [0, 1.5, True, None])
def test_a_number_of_neighbors_that_is_not_whole_is_named(wrong):
    with pytest.raises(ValueError, match=f"k must be an integer >= 1.*{wrong}"):
        nearest(np.eye(2), np.eye(2), k=wrong)


def test_zero_vectors_have_similarity_0():
    scores, _ = nearest([[0.0, 0.0]], np.eye(2))
    assert scores.tolist() == [[0, 0]]


def test_a_corpus_may_be_in_a_file(tmp_path):
    corpus = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    np.save(tmp_path / "corpus.npy", corpus)
    mapped = np.load(tmp_path / "corpus.npy", mmap_mode="r")
    for ours, theirs in zip(
        nearest(corpus[:3], mapped, 4), nearest(corpus[:3], corpus, 4), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("queries", "corpus", "k", "message"),
    [
        (np.zeros(3), np.eye(3), 1, r"two axes. Received: shapes \(3,\) and \(3, 3\)"),
        (np.eye(2), np.eye(3), 1, "the same width. Received: 2 and 3"),
        (np.eye(2), np.eye(2), 0, "k must be .*Received: 0"),
        (np.eye(2), [[1, 0], [0, np.nan]], 1, r"finite. Received: corpus\[1\].* nan"),
        ([[np.inf, 0]], np.eye(2), 1, r"finite. Received: queries\[0\]"),
    ],
)
def test_invalid_vectors_are_reported(queries, corpus, k, message):
    with pytest.raises(ValueError, match=message):
        nearest(queries, corpus, k)
