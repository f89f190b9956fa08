"""Packing against `tokenizers`, whose truncation and template are the reference."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tfzoo.text import Layout, segments

CLS, SEP = 0, 1


LAYOUTS = {
    "bert": Layout(CLS, SEP, between=(SEP,)),
    "roberta": Layout(CLS, SEP, between=(SEP, SEP), second_segment=0),
}


@pytest.fixture(scope="module")
def references():
    """`tokenizers` with the layouts of both models, by name."""
    processor = {
        "bert": processors.TemplateProcessing(
            single="[CLS]:0 $A:0 [SEP]:0",
            pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
            special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
        ),
        "roberta": processors.RobertaProcessing(("[SEP]", SEP), ("[CLS]", CLS)),
    }
    found = {}
    for name in processor:
        ids = {"[CLS]": CLS, "[SEP]": SEP, "a": 2, "b": 3}
        found[name] = Tokenizer(models.WordLevel(ids, unk_token="a"))
        found[name].pre_tokenizer = pre_tokenizers.Whitespace()
        found[name].post_processor = processor[name]
    return found


def flat(lengths, value):
    values = np.full(sum(lengths), value, np.int32)
    return values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def ragged(lengths, value):
    return tf.RaggedTensor.from_row_splits(*flat(lengths, value))


@pytest.mark.parametrize("wrong", [1, 3.5, True, "4"])
def test_a_maximum_length_that_is_not_whole_is_named(wrong):
    layout = Layout(first=8, last=9)
    texts = flat([3, 3], 1)
    rule = f"max_length must be an integer >= 2, .*Received: max_length={wrong!r}"
    for pack, text in (
        (segments.pack, texts),
        (segments.pack_in_graph, ragged([3], 1)),
    ):
        with pytest.raises(ValueError, match=rule):
            pack(text, layout=layout, max_length=wrong)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("max_length", [4, 5, 6, 8, 11, 30])
@pytest.mark.parametrize("pair", [False, True])
def test_texts_are_truncated_and_joined_as_in_tokenizers(
    references, name, max_length, pair
):
    reference, layout = references[name], LAYOUTS[name]
    first, second = np.array(list(itertools.product(range(14), repeat=2))).T
    reference.enable_truncation(max_length, strategy="longest_first")
    texts = [("a " * i, "b " * j) for i, j in zip(first, second, strict=True)]
    expected = reference.encode_batch(texts if pair else [a for a, _ in texts])
    columns = [(first, 2), (second, 3)][: 1 + pair]
    options = {"layout": layout, "max_length": max_length}
    batch = segments.pack(*(flat(*column) for column in columns), **options)
    assert batch.token_ids.tolist() == [i for e in expected for i in e.ids]
    assert batch.segment_ids.tolist() == [i for e in expected for i in e.type_ids]
    assert batch.lengths.tolist() == [len(e) for e in expected]
    assert [array.dtype for array in batch] == [np.int32, np.int32, np.int64]
    in_graph = segments.pack_in_graph(*(ragged(*c) for c in columns), **options)
    for name in ("token_ids", "segment_ids"):
        received = in_graph[name]
        assert received.dtype == tf.int32
        np.testing.assert_array_equal(received.flat_values, getattr(batch, name))
        np.testing.assert_array_equal(received.row_splits, batch.row_splits)
    for (i, j), encoding in list(
        zip(zip(first, second, strict=True), expected, strict=True)
    )[::7]:
        rows = [[(2, (k, k), k) for k in range(i)], [(3, (k, k), k) for k in range(j)]]
        one = segments.join(rows[: 1 + pair], layout, max_length)
        assert one.token_ids == encoding.ids
        assert one.segment_ids == encoding.type_ids
        assert one.special_tokens_mask == encoding.special_tokens_mask
        assert one.word_ids == encoding.word_ids


@given(st.integers(0, 600), st.integers(0, 600), st.integers(0, 600))
def test_all_room_is_used_and_the_longer_text_is_truncated_first(first, second, room):
    kept = segments.longest_first(first, second, room)
    assert sum(kept) == min(first + second, room)
    assert 0 <= kept[0] <= first
    assert 0 <= kept[1] <= second
    if kept[0] < first:
        assert kept[0] >= min(second, room // 2)
    if kept[1] < second:
        assert kept[1] >= min(first, room // 2)


@pytest.mark.parametrize(
    ("name", "num_texts", "least"), [("bert", 1, 2), ("bert", 2, 3), ("roberta", 2, 4)]
)
def test_a_maximum_below_the_number_of_special_tokens_is_refused(
    name, num_texts, least
):
    texts, layout = [flat([1], 2)] * num_texts, LAYOUTS[name]
    assert len(segments.pack(*texts, layout=layout, max_length=least)[0]) == least
    rule = f"must be an integer >= {least}, .*Received: max_length={least - 1}"
    in_graph = [ragged([1], 2)] * num_texts
    for pack, values in ((segments.pack, texts), (segments.pack_in_graph, in_graph)):
        with pytest.raises(ValueError, match=rule):
            pack(*values, layout=layout, max_length=least - 1)


def test_no_texts_give_an_empty_batch():
    batch = segments.pack(flat([], 2), layout=LAYOUTS["bert"], max_length=5)
    assert len(batch.token_ids) == 0
    assert batch.row_splits.tolist() == [0]
