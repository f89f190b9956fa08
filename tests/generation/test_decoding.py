import time

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.generation import decode
from tfzoo.generation.cache import Cache, compacted, grown, num_columns_for, written
from tfzoo.generation.compiled import CompiledGeneration, padded_prompts
from tfzoo.generation.decoding import Sampling

NEW = 70  # beyond two blocks of the cache


def greedy(next_logits, prompt, num_new):
    ids = list(prompt)
    for _ in range(num_new):
        ids.append(int(np.argmax(next_logits(ids))))
    return ids[len(prompt) :]


@pytest.fixture(scope="module")
def expected(next_logits, prompts):
    """What each prompt gives on its own, computed without a cache."""
    return [greedy(next_logits, prompt, NEW) for prompt in prompts]


def decoded(
    decoder, prompts, limits, rules=None, *, search=None, jit_compile=False, width=NEW
):
    ids, lengths = padded_prompts(prompts, decoder.max_sequence_length)
    limits = np.pad(limits, (0, len(ids) - len(limits)))

    ids, lengths, limits = (tf.constant(x, tf.int32) for x in (ids, lengths, limits))
    sizes = (
        tf.TensorSpec([None, None], tf.int32),
        *[tf.TensorSpec([None], tf.int32)] * 2,
    )

    @tf.function(autograph=False)
    def function(ids, lengths, limits, rules):
        return decode(
            search or Sampling(),
            decoder,
            ids,
            lengths,
            limits,
            rules,
            max_new_tokens=width,
            jit_compile=jit_compile,
        )

    rules = {"end_ids": tf.constant([-1]), **(rules or {})}
    tokens, counts, _ = function.get_concrete_function(*sizes, rules)(
        ids, lengths, limits, rules
    )
    return tokens.numpy()[: len(prompts)], counts.numpy()[: len(prompts)]


@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_a_batch_of_different_prompts_gives_what_each_gives_without_a_cache(
    decoder, prompts, expected, jit_compile
):
    tokens, counts = decoded(decoder, prompts, [NEW] * 5, jit_compile=jit_compile)
    assert tokens.tolist() == expected
    assert counts.tolist() == [NEW] * 5


def test_a_row_ends_at_its_own_limit_or_end_token(decoder, prompts, expected):
    end = expected[0][20]
    limits = [NEW, 3, 0, 40, NEW]
    tokens, counts = decoded(
        decoder, prompts, limits, {"end_ids": tf.constant([end, -1])}
    )
    for row, full, limit, count in zip(tokens, expected, limits, counts, strict=True):
        full = full[:limit]
        full = full[: full.index(end) + 1] if end in full else full
        assert row.tolist() == full + [0] * (NEW - len(full))
        assert count == len(full)


def test_calls_from_python_give_the_same_texts(compiled, generate, prompts, expected):
    results = generate(compiled, prompts, max_new_tokens=NEW)
    assert [group[0][0] for group in results] == expected
    pieces = generate(compiled, prompts, max_new_tokens=NEW, steps=7)
    assert pieces == results


def test_decoding_stops_when_all_rows_are_done(compiled, prompts, expected):
    from tfzoo.generation.options import GenerationOptions

    ends = [row[4] for row in expected]
    generation = compiled.start(prompts, GenerationOptions(max_new_tokens=NEW), ends)
    generation.advance(1000)
    assert generation.done()
    assert int(generation.state.cache.filled) <= 32 + 4


def test_each_shape_is_traced_once_whatever_the_values(decoder, generate, prompts):
    compiled = CompiledGeneration(decoder, jit_compile=False)
    prompts = [prompt[:9] for prompt in prompts]  # all padded to one length
    options = dict(max_new_tokens=20, temperature=0.5, top_k=3, top_p=0.9)
    generate(compiled, prompts[:2], **options, seed=1)
    traces = compiled.num_traces
    assert traces == 4  # prompts, space for a block, form of the weights, steps
    generate(compiled, prompts[3:5], **options, seed=2)
    other = dict(max_new_tokens=18, temperature=0.1, top_k=5, top_p=0.2)
    generate(compiled, prompts[:2], **other, seed=7, end_ids=[4])
    assert compiled.num_traces == traces
    generate(compiled, prompts, **options, seed=1)
    assert compiled.num_traces == traces + 3  # all except the weights


def test_new_weights_are_used_without_a_new_trace(make_decoder, generate, prompts):
    decoder = make_decoder(seed=3)
    compiled = CompiledGeneration(decoder, jit_compile=False)
    before = generate(compiled, prompts, max_new_tokens=5)
    traces = compiled.num_traces
    decoder.set_weights([w[..., ::-1].copy() for w in decoder.get_weights()])
    assert generate(compiled, prompts, max_new_tokens=5) != before
    assert compiled.num_traces == traces


SAMPLING = dict(max_new_tokens=20, temperature=1.2, top_p=0.95, seed=11)


def test_texts_depend_on_the_seed(compiled, generate, prompts):
    first = generate(compiled, prompts, **SAMPLING)
    assert generate(compiled, prompts, **SAMPLING) == first
    assert generate(compiled, prompts, **{**SAMPLING, "seed": 12}) != first


def test_samples_do_not_depend_on_the_batch(compiled, generate, prompts):
    several = dict(SAMPLING, num_return_sequences=3)
    together = generate(compiled, prompts, **several)
    assert [generate(compiled, [p], **several)[0] for p in prompts] == together
    assert len({tuple(ids) for ids, _ in together[0]}) == 3
    fewer = generate(compiled, prompts, **dict(SAMPLING, num_return_sequences=2))
    assert [group[:2] for group in together] == fewer


def test_without_a_seed_calls_differ(compiled, generate, prompts):
    options = {**SAMPLING, "seed": None}
    texts = [generate(compiled, [prompts[0]] * 2, **options) for _ in range(2)]
    assert len({tuple(group[0][0]) for call in texts for group in call}) == 4


@pytest.mark.slow
def test_graph_and_xla_sample_the_same(decoder, compiled, generate, prompts):
    xla = CompiledGeneration(decoder, jit_compile=True)
    options = dict(SAMPLING, repetition_penalty=1.3, no_repeat_ngram_size=3, top_k=9)
    ours = generate(xla, prompts, **options)
    assert ours == generate(compiled, prompts, **options)


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "options",
    [
        dict(repetition_penalty=3.0),
        slow(dict(presence_penalty=4.0)),
        slow(dict(frequency_penalty=2.0)),
        dict(no_repeat_ngram_size=2),
        dict(bad_words_ids=[[3], [4, 5]]),
        dict(min_new_tokens=15),
        slow(dict(temperature=3.0, seed=1)),
        slow(dict(top_k=3, seed=1)),
        dict(top_p=0.5, seed=1),
        slow(dict(min_p=0.3, seed=1)),
        slow(dict(typical_p=0.4, seed=1)),
    ],
    ids=lambda options: next(iter(options)),
)
def test_every_option_changes_the_text(
    compiled, generate, next_logits, prompts, expected, options
):
    name = next(iter(options))
    plain = dict(max_new_tokens=20, end_ids=[expected[0][9]])
    if "seed" in options:
        plain |= dict(seed=1, do_sample=True)
    if name == "bad_words_ids":
        options = dict(bad_words_ids=[[expected[1][0]], expected[2][:2]])
    before = generate(compiled, prompts, **plain)
    assert generate(compiled, prompts, **{**plain, **options}) != before


def test_banned_words_are_never_generated(compiled, generate, prompts, expected):
    word, pair = expected[1][0], expected[2][:2]
    banned = dict(bad_words_ids=[[word], pair], no_repeat_ngram_size=3)
    for prompt, [(ids, _)] in zip(
        prompts, generate(compiled, prompts, max_new_tokens=40, **banned), strict=True
    ):
        assert word not in ids
        text = prompt + ids
        pairs = list(zip(text, text[1:], strict=False))[len(prompt) - 1 :]
        assert tuple(pair) not in pairs
        grams = list(zip(text, text[1:], text[2:], strict=False))
        assert len(grams) - len({*grams}) == _repeats(prompt)


def _repeats(prompt):
    grams = list(zip(prompt, prompt[1:], prompt[2:], strict=False))
    return len(grams) - len({*grams})


def test_the_context_can_be_filled_to_its_last_token(decoder, compiled, generate):
    prompt = list(range(40))
    [[(ids, _)]] = generate(compiled, [prompt], max_new_tokens=88)
    assert len(prompt) + len(ids) == decoder.max_sequence_length


@pytest.mark.slow
def test_a_context_that_is_no_multiple_of_a_block_can_be_filled(make_decoder, generate):
    decoder = make_decoder(max_sequence_length=44)
    compiled = CompiledGeneration(decoder, jit_compile=False)
    prompt = list(range(35))
    [[(ids, _)]] = generate(compiled, [prompt], max_new_tokens=9)
    tokens, _ = decoded(decoder, [prompt], [9], width=9)
    assert tokens.tolist() == [ids]
    assert len(ids) == 9


def cache_of(columns, filled, rows=2, seed=0):
    rng = np.random.default_rng(seed)
    array = rng.normal(size=(rows, 3, columns, 4)).astype(np.float32)
    array[:, :, filled:] = 0
    seen = rng.random((rows, columns)) < 0.6
    seen[:, filled:] = False
    return Cache(
        [(tf.constant(array), tf.constant(-array))],
        tf.constant(seen),
        tf.constant(filled),
    )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_writing_adds_columns_and_changes_no_other(jit_compile):
    cache = cache_of(columns=9, filled=4)
    new = np.random.default_rng(1).normal(size=(2, 3, 2, 4)).astype(np.float32)
    seen = np.array([[True, False], [False, True]])

    @tf.function(autograph=False, jit_compile=jit_compile)
    def write(cache):
        after = tf.constant([5, 0])
        return written(
            cache, [(new, 2 * new)], seen, after=after, jit_compile=jit_compile
        )

    result = write(cache)
    for before, added, array in (
        (cache.state[0][0], new, result.state[0][0]),
        (cache.state[0][1], 2 * new, result.state[0][1]),
    ):
        expected = np.array(before)
        expected[:, :, 4:6] = added
        np.testing.assert_array_equal(array, expected)
    expected = np.array(cache.seen)
    expected[:, 4:6] = seen
    np.testing.assert_array_equal(result.seen, expected)
    assert int(result.filled) == 6


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_column_is_written_without_a_copy_of_the_others(jit_compile):
    array = np.zeros((4, 6, 4096, 64), np.float32)  # 25 MB
    seen, steps = tf.zeros([4, 4096], tf.bool), 40

    def one_step(step, cache):
        new = tf.fill([4, 6, 1, 64], tf.cast(step, tf.float32))
        after = tf.cast(tf.abs(cache.state[0][0][:, 0, 0, 0]), tf.int32)  # reads it
        one = tf.ones([4, 1], tf.bool)
        return step + 1, written(
            cache, [(new, new)], one, after=after, jit_compile=jit_compile
        )

    @tf.function(autograph=False, jit_compile=jit_compile)
    def write(array, steps):
        cache = Cache([(array, array + 1)], seen, tf.constant(0))
        step, cache = tf.while_loop(
            lambda step, _: step < steps, one_step, (tf.constant(0), cache)
        )
        return [x[0, 0, :, 0] for x in cache.state[0]]

    def seconds(function):
        durations = []
        for _ in range(3):
            start = time.perf_counter()
            function()
            durations.append(time.perf_counter() - start)
        return min(durations)

    for column in write(array, tf.constant(steps)):
        np.testing.assert_array_equal(column[:steps], np.arange(steps))
    tensor = tf.constant(array)
    many = seconds(lambda: write(tensor, tf.constant(10 + steps)))
    each = (many - seconds(lambda: write(tensor, tf.constant(10)))) / steps
    copying = seconds(array.copy)
    assert each < copying / 5


def test_compacting_keeps_the_order_of_used_columns():
    cache = cache_of(columns=9, filled=7)
    result = compacted(cache)
    counts = np.asarray(cache.seen).sum(1)
    assert int(result.filled) == counts.max()
    for row, count in enumerate(counts):
        kept = np.asarray(cache.state[0][0])[row][:, np.asarray(cache.seen)[row]]
        np.testing.assert_array_equal(result.state[0][0][row, :, :count], kept)
        assert np.asarray(result.seen)[row].tolist() == [True] * count + [False] * (
            9 - count
        )


def test_a_grown_cache_holds_the_same():
    cache = cache_of(columns=9, filled=7)
    result = grown(cache, 16)
    assert result.num_columns == 16
    np.testing.assert_array_equal(result.state[0][0][:, :, :9], cache.state[0][0])
    assert not np.asarray(result.seen)[:, 9:].any()


@pytest.mark.parametrize("last", [33, 95, 600, 1024])
def test_cache_sizes_are_few_and_grow_by_about_half(last):
    filled, sizes = 32, []
    while filled < last:
        size = int(num_columns_for(filled, last))
        assert size % 32 == 0
        assert filled < size <= max(filled + 64, 1.75 * filled)
        filled = size
        sizes.append(size)
    assert len(sizes) <= 7


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ([3, 53], "0 to 52. Received: 53"),
        ([-1], "Received: -1"),
        ([], "at least one id"),
    ],
)
def test_unknown_ids_and_empty_prompts_are_refused(compiled, generate, prompt, words):
    with pytest.raises(ValueError, match=words):
        generate(compiled, [[1], prompt], max_new_tokens=2)
