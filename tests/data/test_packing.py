"""Windows contain every token and depend only on files, seed and step."""

import gc
import itertools

import numpy as np
import pytest

from tfzoo.data.corpus import build_corpus
from tfzoo.data.packing import PackedText, open_packed_text
from tfzoo.data.whole_text import TextList, WholeText
from tfzoo.errors import DataError

END, START = 1, 2
DOCUMENTS = [range(10, 17), range(20, 23), range(30, 31), range(40, 52)]
TEXTS = [" ".join(map(str, ids)) for ids in DOCUMENTS]
ROW = [token for ids in DOCUMENTS for token in (END, *ids)]


def source(number_tokenizer, texts=TEXTS, **options):
    corpus = build_corpus(TextList(texts), number_tokenizer(), progress=False)
    options = {"max_sequence_length": 5, **options}
    return PackedText(corpus, end_id=END, **options)


def take(dataset, count=None):
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def rows(batches):
    """(token_ids, targets, padding_mask, weights) of all rows."""
    return (
        np.concatenate([pick(batch) for batch in batches])
        for pick in (
            lambda b: b[0]["token_ids"],
            lambda b: b[1],
            lambda b: b[0]["padding_mask"],
            lambda b: b[2],
        )
    )


def assert_equal(one, other):
    for x, y in zip(rows(one), rows(other), strict=True):
        np.testing.assert_array_equal(x, y)


def test_every_token_is_a_target_once_in_validation(number_tokenizer):
    packed = source(number_tokenizer)
    ids, targets, mask, weights = rows(take(packed.validation_batches(2)))
    assert targets[weights == 1].tolist() == [*ROW[1:], END]
    assert ids[weights == 1].tolist() == ROW
    np.testing.assert_array_equal(mask > 0, weights == 1)
    assert packed.num_tokens == len(ROW) == weights.sum()
    assert packed.num_examples == -(-len(ROW) // 5)


def test_a_start_token_stands_after_the_end_token_before_each(number_tokenizer):
    row = [token for ids in DOCUMENTS for token in (END, START, *ids)]
    packed = source(number_tokenizer, start_id=START)
    ids, targets, mask, weights = rows(take(packed.validation_batches(2)))
    assert ids[weights == 1].tolist() == row
    assert targets[weights == 1].tolist() == [*row[1:], END]
    assert packed.num_tokens == len(row)
    inside = weights[:, 1:] == 1
    np.testing.assert_array_equal(np.diff(mask)[inside], (ids[:, 1:] == START)[inside])
    ring = [tuple((row * 2)[i : i + 6]) for i in range(len(row))]
    ids, targets, _, _ = rows(take(packed.batches(packed.num_examples), 9))
    windows = [(*a, b[-1]) for a, b in zip(ids.tolist(), targets.tolist(), strict=True)]
    assert {*windows} <= {*ring} and len({*windows}) > packed.num_examples
    once, twice = source(number_tokenizer), source(number_tokenizer, start_id=END)
    assert_equal(take(once.batches(2), 9), take(twice.batches(2), 9))


def test_every_window_of_an_epoch_is_full_and_every_token_occurs(number_tokenizer):
    packed = source(number_tokenizer)
    batches = take(packed.batches(packed.num_examples), 3)
    for batch in batches:
        ids, targets, _, weights = rows([batch])
        assert weights.all()
        np.testing.assert_array_equal(ids[:, 1:], targets[:, :-1])
        assert set(targets.ravel()) == set(ROW)
    first_tokens = [batch[0]["token_ids"][:, 0].tolist() for batch in batches]
    assert first_tokens[0] != first_tokens[1] != first_tokens[2]


def test_the_next_token_follows_each_on_the_ring(number_tokenizer):
    follows = {pair for pair in zip(ROW, [*ROW[1:], END], strict=True)}
    ids, targets, _, _ = rows(take(source(number_tokenizer).batches(3), 20))
    assert {*zip(ids.ravel().tolist(), targets.ravel().tolist(), strict=True)} == (
        follows
    )


def test_documents_are_numbered_from_their_end_token_on(number_tokenizer):
    ids, _, mask, _ = rows(take(source(number_tokenizer).batches(4), 4))
    for row, numbers in zip(ids, mask, strict=True):
        assert numbers[0] == (2 if row[0] == END else 1)
        np.testing.assert_array_equal(np.diff(numbers), row[1:] == END)


def test_borders_can_be_turned_off(number_tokenizer):
    bordered = take(source(number_tokenizer).batches(4), 3)
    open_ = take(source(number_tokenizer, document_borders=False).batches(4), 3)
    (ids, _, mask, _), (same_ids, _, ones, _) = rows(bordered), rows(open_)
    np.testing.assert_array_equal(ids, same_ids)
    assert mask.max() > 1 and (ones == 1).all()


@pytest.mark.parametrize("start", [1, 4, 9])
def test_batches_from_a_step_equal_those_of_a_full_iteration(number_tokenizer, start):
    packed = source(number_tokenizer)
    assert_equal(
        take(packed.batches(3, start_step=start), 5),
        take(packed.batches(3), start + 5)[start:],
    )


def test_batches_depend_on_the_seed(number_tokenizer):
    first, again, other = (
        take(source(number_tokenizer, seed=seed).batches(4), 3) for seed in (1, 1, 2)
    )
    assert_equal(first, again)
    assert not np.array_equal(first[0][1], other[0][1])


def test_a_text_shorter_than_a_window_is_repeated(number_tokenizer):
    packed = source(number_tokenizer, ["10 11"], max_sequence_length=8)
    ids, _, mask, weights = rows(take(packed.batches(1), 1))
    assert weights.all() and packed.num_examples == 1
    assert "10 11 1 10 11" in " ".join(map(str, ids[0]))
    assert len(set(mask[0])) >= 3
    _, targets, _, weights = rows(take(packed.validation_batches(4)))
    assert targets[weights == 1].tolist() == [10, 11, END]


def test_validation_can_be_cut_short(number_tokenizer):
    batches = take(source(number_tokenizer).validation_batches(4, max_examples=2))
    _, targets, _, weights = rows(batches)
    assert len(batches) == 1
    assert targets[weights == 1].tolist() == ROW[1:11]


def test_long_documents_give_the_same_ids_in_pieces(number_tokenizer):
    numbers = np.random.default_rng(0).integers(10, 900, 6000)
    text = "\n".join(map(str, numbers))
    packed = source(number_tokenizer, [text, "7"], max_sequence_length=64)
    _, targets, _, weights = rows(take(packed.validation_batches(8)))
    assert targets[weights == 1].tolist() == [*numbers, END, 7, END]


def test_files_are_windows_too(number_tokenizer, tmp_path):
    (tmp_path / "a.txt").write_text(TEXTS[0])
    (tmp_path / "b.txt").write_text(TEXTS[1])
    tokenizer = number_tokenizer()
    tokenizer.end_id = END
    packed = open_packed_text(
        WholeText([tmp_path / "a.txt", tmp_path / "b.txt"]),
        tokenizer,
        max_sequence_length=4,
        progress=False,
    )
    _, targets, _, weights = rows(take(packed.validation_batches(2)))
    assert targets[weights == 1].tolist() == [*DOCUMENTS[0], END, *DOCUMENTS[1], END]


def test_temporary_files_are_removed_with_the_windows(
    number_tokenizer, monkeypatch, tmp_path
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    packed = source(number_tokenizer)
    assert list(tmp_path.iterdir())
    del packed
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_text_without_tokens_is_an_error(number_tokenizer, tmp_path):
    (tmp_path / "a.txt").write_text("\n\n")
    tokenizer = number_tokenizer()
    tokenizer.end_id = END
    with pytest.raises(
        DataError, match=r"must have at least one token.*a\.txt.*contain text"
    ):
        open_packed_text(
            WholeText([tmp_path / "a.txt"]), tokenizer, max_sequence_length=4
        )
    for nothing in ([], [""]):
        with pytest.raises(
            DataError,
            match="must have at least one token. Received none from: the texts",
        ):
            source(number_tokenizer, nothing)


def test_a_tokenizer_without_an_end_token_is_refused(number_tokenizer):
    corpus = build_corpus(TextList(TEXTS), number_tokenizer(), progress=False)
    with pytest.raises(ValueError, match="end_id=None"):
        PackedText(corpus, end_id=None, max_sequence_length=4)
