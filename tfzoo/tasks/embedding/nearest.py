"""Exhaustive nearest neighbor search by cosine similarity.

Shapes: Q queries, N vectors of the corpus, D width, K neighbors.
"""

import numpy as np
import tensorflow as tf

from tfzoo.errors import require_whole

QUERIES, VECTORS = 256, 16384  # at a time: 16 MB of scores


def nearest(queries, corpus, k=10):
    """Finds the vectors of a corpus that are nearest to each query.

    Args:
        queries: Numbers (Q, D).
        corpus: Numbers (N, D); a memory-mapped array is read in parts.
        k: Number of neighbors per query.

    Returns:
        Scores float32 (Q, K), the cosine similarities, largest first, and the indices
        int64 (Q, K) of these vectors; for equal scores, the lower index comes first. K
        is `k`, or N if less. The similarity with a zero vector is 0.

    Raises:
        ValueError: the shapes do not match, or a number is not finite.
    """
    if np.ndim(queries) != 2 or np.ndim(corpus) != 2:
        raise ValueError(
            "queries and corpus must have two axes. "
            f"Received: shapes {np.shape(queries)} and {np.shape(corpus)}"
        )
    if np.shape(queries)[1] != np.shape(corpus)[1]:
        raise ValueError(
            "queries and corpus must have the same width. "
            f"Received: {np.shape(queries)[1]} and {np.shape(corpus)[1]}"
        )
    require_whole("k", k, 1)
    count = len(queries)
    scores = np.zeros((count, min(k, len(corpus))), np.float32)
    indices = np.zeros(scores.shape, np.int64)
    queries = _unit(queries, "queries", 0)
    for start in range(0, len(corpus), VECTORS):
        part = _unit(corpus[start : start + VECTORS], "corpus", start)
        # Number of vectors seen so far, at most K.
        seen = min(start, scores.shape[1])
        for first in range(0, count, QUERIES):
            rows = slice(first, first + QUERIES)
            _merge(scores[rows], indices[rows], seen, queries[rows] @ part.T, start)
    return scores, indices


def _merge(scores, indices, seen, new_scores, start):
    """Merges new scores (Q, n), whose indices start at `start`, in place."""
    # TensorFlow's top_k, unlike NumPy's partition, takes the first of equal scores.
    kept = min(scores.shape[1], new_scores.shape[1])
    best, places = (x.numpy() for x in tf.math.top_k(new_scores, kept))
    best = np.concatenate([scores[:, :seen], best], axis=1)
    places = np.concatenate([indices[:, :seen], places + np.int64(start)], axis=1)
    order = np.argsort(-best, axis=1, kind="stable")[:, : scores.shape[1]]
    scores[:, : order.shape[1]] = np.take_along_axis(best, order, axis=1)
    indices[:, : order.shape[1]] = np.take_along_axis(places, order, axis=1)


def _unit(vectors, name, start):
    vectors = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        row = int(np.argmin(np.isfinite(lengths)))
        raise ValueError(
            f"{name} must be finite. Received: {name}[{start + row}] with norm "
            f"{lengths[row, 0]}"
        )
    return vectors / np.maximum(lengths, 1e-12)
