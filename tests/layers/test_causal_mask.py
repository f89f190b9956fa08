import numpy as np

from tfzoo.layers import CausalMask


def test_a_token_attends_to_its_own_document_up_to_itself():
    seen = np.asarray(CausalMask()(np.array([[1, 1, 2, 2, 0]])))
    expected = [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1],
    ]
    np.testing.assert_array_equal(seen, [np.array(expected, bool)])


def test_rows_of_a_batch_have_independent_documents():
    documents = np.random.default_rng(0).integers(0, 3, (4, 7))
    seen = np.asarray(CausalMask()(documents))
    for row in range(4):
        for i, j in np.ndindex(7, 7):
            same = documents[row, i] == documents[row, j]
            assert seen[row, i, j] == (same and j <= i)
