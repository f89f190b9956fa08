"""Raw strings in `tf.data`."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.data.string_batches import bucketed_strings, padded_strings

PAD = 9


def encode(texts):
    """A character is its code; a pair's second text is segment 1."""
    pair = texts["pair"] if isinstance(texts, dict) else None
    text = texts["text"] if isinstance(texts, dict) else texts
    ids = tf.strings.unicode_decode(text, "UTF-8")
    segments = tf.zeros_like(ids)
    if pair is not None:
        second = tf.strings.unicode_decode(pair, "UTF-8")
        ids = tf.concat([ids, second], axis=1)
        segments = tf.concat([segments, tf.ones_like(second)], axis=1)
    return {"token_ids": ids, "segment_ids": segments}


@pytest.fixture(scope="module")
def texts():
    random = np.random.default_rng(0)
    return ["".join(random.choice(list("abc"), n)) for n in random.integers(1, 40, 500)]


def row_text(ids, mask):
    return "".join(map(chr, ids[mask == 1]))


@pytest.mark.parametrize("multiple", [1, 8])
def test_batches_are_padded_as_they_come(texts, multiple):
    labels = np.arange(500)
    dataset = tf.data.Dataset.from_tensor_slices((texts, labels)).batch(32)
    found = list(padded_strings(dataset, encode, pad_id=PAD, multiple=multiple))
    assert len(found) == 16
    for step, (x, y) in enumerate(found):
        x = {name: value.numpy() for name, value in x.items()}
        part = texts[step * 32 : step * 32 + 32]
        longest = max(map(len, part))
        assert x["token_ids"].shape[1] == -(-longest // multiple) * multiple
        rows = zip(x["token_ids"], x["padding_mask"], strict=True)
        assert [row_text(*row) for row in rows] == part
        assert (x["token_ids"][x["padding_mask"] == 0] == PAD).all()
        assert y.numpy().tolist() == labels[step * 32 : step * 32 + 32].tolist()
        assert {v.dtype for v in x.values()} == {np.dtype("int32")}


def test_pairs_weights_and_texts_alone_keep_their_structure(texts):
    pair = {"text": texts[:10], "pair": texts[10:20]}
    dataset = tf.data.Dataset.from_tensor_slices((pair, np.ones(10), np.ones(10)))
    x, _, weights = next(iter(padded_strings(dataset.batch(5), encode, pad_id=PAD)))
    assert x["segment_ids"].numpy().sum() == sum(map(len, texts[10:15]))
    assert weights.shape == (5,)
    alone = tf.data.Dataset.from_tensor_slices(texts[:10]).batch(5)
    x = next(iter(padded_strings(alone, encode, pad_id=PAD)))
    assert set(x) == {"token_ids", "segment_ids", "padding_mask"}
    x = next(iter(bucketed_strings(alone.unbatch(), encode, batch_size=4, pad_id=PAD)))
    assert x["token_ids"].shape[0] == 4


def bucketed(texts, **options):
    dataset = tf.data.Dataset.from_tensor_slices((texts, np.arange(len(texts))))
    return bucketed_strings(dataset, encode, batch_size=8, pad_id=PAD, **options)


def test_buckets_hold_each_example_once_with_little_padding(texts):
    seen, real, places = [], 0, 0
    for x, y in bucketed(texts):
        rows = zip(x["token_ids"].numpy(), x["padding_mask"].numpy(), strict=True)
        assert [row_text(*row) for row in rows] == [texts[i] for i in y.numpy()]
        seen += y.numpy().tolist()
        real += int(tf.reduce_sum(x["padding_mask"]))
        places += int(tf.size(x["padding_mask"]))
    assert sorted(seen) == list(range(500))
    assert real / places > 0.9


@pytest.mark.slow
def test_buckets_are_a_function_of_data_and_seed(texts):
    def order(**options):
        tf.random.set_seed(np.random.randint(1000))
        return [tuple(y.numpy()) for _, y in bucketed(texts, **options)]

    assert order(seed=1) == order(seed=1)
    assert order(seed=1) != order(seed=2)
    lengths = [len(texts[y[0]]) for y in order(shuffle=False)[:32]]
    assert lengths == sorted(lengths)


def test_an_empty_data_set_gives_no_batch(texts):
    dataset = tf.data.Dataset.from_tensor_slices(texts).take(0)
    assert list(padded_strings(dataset.batch(4), encode, pad_id=PAD)) == []
    assert list(bucketed_strings(dataset, encode, batch_size=4, pad_id=PAD)) == []


def test_no_operation_calls_python(texts):
    """All of it is a graph, so that it can be saved."""

    @tf.function
    def both():
        plain = tf.data.Dataset.from_tensors(texts)
        count = tf.constant(0)
        for dataset in (padded_strings(plain, encode, pad_id=PAD), bucketed(texts)):
            count = dataset.reduce(count, lambda n, *_: n + 1)
        return count

    graph = both.get_concrete_function().graph.as_graph_def()
    operations = {node.op for f in graph.library.function for node in f.node_def}
    assert "StatelessRandomUniformV2" in operations, "the functions are there"
    assert not {op for op in operations if "PyFunc" in op}
