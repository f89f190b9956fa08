"""Rows of a corpus have every token of the text, and other noise in every epoch."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.data.corpus import build_corpus
from tfzoo.data.denoising import Denoising
from tfzoo.data.noised_text import NoisedText
from tfzoo.data.running_text import RunningText
from tfzoo.data.span_corruption import SpanCorruption, sentinel_ids
from tfzoo.errors import DataError, TokenizerError
from tfzoo.text import SentencePieceTokenizer

PAD, END, MASK, START = 0, 1, 3, 4
DOCUMENTS = [[3, 4, 5], [1], [7], [2, 2], [30, 1]]  # lengths of sentences
PADS = dict(source_pad_id=PAD, target_pad_id=PAD, start_id=START)
SPANS = SpanCorruption(tuple(range(900, 800, -1)), END, density=0.3)
NOISE = Denoising(MASK, END)


@pytest.fixture
def corpus(number_text, number_tokenizer):
    def build(documents=DOCUMENTS):
        text = RunningText([number_text(documents)])
        return build_corpus(text, number_tokenizer(), progress=False)

    return build


def test_every_document_is_cut_into_parts(corpus):
    text = NoisedText(corpus(), NOISE, max_source_length=9)
    parts = [text.row(i)[1].tolist() for i in range(text.num_examples)]
    assert all(part.pop() == END for part in parts)
    # Documents begin at 10, 23, 25, 33, 38; the one of a single token is left out
    bounds = [(10, 18), (18, 22), (25, 32), (33, 37), (38, 46), (46, 54), (54, 62)]
    bounds.append((62, 69))
    assert parts == [[*range(*bound)] for bound in bounds]


def test_sentences_are_those_of_the_text_also_at_cuts(corpus):
    text = NoisedText(corpus(), _Sentences(), max_source_length=8)
    found = [[s.tolist() for s in text.row(i)] for i in range(2)]
    assert found == [
        [[10, 11, 12], [13, 14, 15, 16], [17]],
        [[18, 19, 20, 21]],
    ]


class _Sentences:
    """Noise that returns the sentences it gets."""

    def window(self, max_source_length):
        return max_source_length

    def __call__(self, sentences, *, seed):
        return sentences


def test_noise_is_a_function_of_seed_epoch_and_number(corpus):
    corpus = corpus()

    def rows(seed, epoch):
        text = NoisedText(corpus, SPANS, max_source_length=30, seed=seed)
        return [text.row(i, epoch)[0].tolist() for i in range(text.num_examples)]

    assert rows(0, 1) == rows(0, 1)
    assert rows(0, 0) != rows(0, 1) != rows(1, 1)


@pytest.mark.parametrize("noise", [SPANS, NOISE])
@pytest.mark.parametrize("limit", [{"tokens_per_batch": 40}, {"batch_size": 3}])
def test_batches_have_the_rows_of_each_epoch(corpus, noise, limit):
    text = NoisedText(corpus(), noise, max_source_length=20, seed=5)
    plan = text.plan(**limit)
    dataset = text.batches(**limit, **PADS, epochs=2)
    assert dataset.cardinality() == 2 * plan.num_batches
    batches = [*dataset.as_numpy_iterator()]
    indices = [
        (epoch, batch) for epoch in range(2) for batch in plan.of_epoch(epoch, seed=5)
    ]
    for (inputs, targets, weights), (epoch, batch) in zip(
        batches, indices, strict=True
    ):
        rows = [text.row(int(i), epoch) for i in batch]
        for i, (source, target) in enumerate(rows):
            assert inputs["encoder_token_ids"][i, : len(source)].tolist() == [*source]
            assert inputs["encoder_padding_mask"][i].sum() == len(source)
            assert targets[i, : len(target)].tolist() == [*target]
            assert weights[i].sum() == len(target)
            assert inputs["decoder_token_ids"][i, 0] == START
        size = len(batch) * max(
            targets.shape[1], *inputs["encoder_token_ids"].shape[1:]
        )
        assert size <= 40 or len(batch) == 1 or "batch_size" in limit


def test_starting_at_a_step_equals_skipping_that_many(corpus):
    text = NoisedText(corpus(), NOISE, max_source_length=20)
    options = dict(tokens_per_batch=40, **PADS)
    count = text.plan(tokens_per_batch=40).num_batches
    whole = [*text.batches(**options).take(3 * count).as_numpy_iterator()]
    for start in (1, count + 2):
        found = text.batches(**options, start_step=start).take(3 * count - start)
        for one, other in zip(found.as_numpy_iterator(), whole[start:], strict=True):
            tf.nest.map_structure(np.testing.assert_array_equal, one, other)


def test_a_corpus_without_texts_is_refused(corpus):
    with pytest.raises(DataError, match="a document of at least 2 tokens"):
        NoisedText(corpus([[1], [1]]), SPANS, max_source_length=20)


def test_a_trained_tokenizer_has_the_sentinels_that_restore_its_text(tmp_path):
    sentinels = [f"<extra_id_{i}>" for i in range(20)]
    lines = ["The quick brown fox jumps over the lazy dog, and the dog sleeps on."] * 3
    path = tmp_path / "a.txt"
    path.write_text("\n\n".join(lines))
    train = functools.partial(
        SentencePieceTokenizer.train, [path], vocabulary_size=70, progress=False
    )
    tokenizer = train(user_defined_symbols=sentinels)
    ids = sentinel_ids(tokenizer)
    assert [tokenizer.id_to_token(i) for i in ids] == sentinels
    corpus = build_corpus(RunningText([path]), tokenizer, progress=False)
    noise = SpanCorruption(ids, tokenizer.end_id)
    text = NoisedText(corpus, noise, max_source_length=100)
    assert text.num_examples == 3
    source, target = (row[:-1].tolist() for row in text.row(1))
    for i, sentinel in enumerate(ids[: len({*source} & {*ids})]):
        span = target[target.index(sentinel) + 1 : target.index(ids[i + 1])]
        place = source.index(sentinel)
        source[place : place + 1] = span
    assert tokenizer.detokenize(source) == lines[1]
    with pytest.raises(TokenizerError, match="with sentinels, <extra_id_0> and so on"):
        sentinel_ids(train())
