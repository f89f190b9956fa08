import pytest
import tensorflow as tf

from tfzoo.generation.compiled import CompiledGeneration
from tfzoo.generation.options import GenerationOptions
from tfzoo.generation.speculative import SpeculativeDecoding

OPTIONS = dict(max_new_tokens=70, repetition_penalty=1.2, no_repeat_ngram_size=4)


@pytest.fixture(scope="module")
def similar(make_decoder, decoder):
    """A draft that is often right: the large model with perturbed weights."""
    draft = make_decoder(seed=0)
    draft.set_weights([w * 1.03 for w in decoder.get_weights()])
    return draft


def test_the_texts_are_those_of_the_large_model(
    decoder, compiled, similar, generate, prompts
):
    options = dict(max_new_tokens=24)
    speculative = CompiledGeneration(decoder, draft=similar, jit_compile=False)
    found = generate(speculative, prompts, num_assistant_tokens=2, **options)
    assert found == generate(compiled, prompts, **options)


def test_nothing_follows_an_end_that_the_draft_proposes_too(bigrams):
    likely = [2, 0, 3, 1]  # after 3 comes 1, then 0, the end; then 2 would come
    decoders = [bigrams(tf.one_hot(likely, 4, 0.97, 0.01))] * 2
    search, limits = SpeculativeDecoding(2), tf.constant([7])
    rules = {"end_ids": tf.constant([0])}
    state = search.begin(decoders, tf.constant([[3]]), tf.constant([1]), limits, rules)
    state = search.advance(
        decoders, search.grow(state, 7), limits, rules, num_steps=tf.constant(2)
    )
    tokens, counts, _ = search.results(state, 4)
    assert (tokens.numpy().tolist(), counts.numpy().tolist()) == ([[1, 0, 0, 0]], [2])


@pytest.mark.slow
@pytest.mark.parametrize("num_assistant_tokens", [1, 4])
def test_penalties_end_tokens_and_a_bad_draft_change_nothing(
    decoder, compiled, similar, make_decoder, generate, prompts, num_assistant_tokens
):
    expected = generate(compiled, prompts, end_ids=[6, 11], **OPTIONS)
    for draft in (similar, make_decoder(seed=9, num_layers=1)):
        speculative = CompiledGeneration(decoder, draft=draft, jit_compile=False)
        options = dict(OPTIONS, num_assistant_tokens=num_assistant_tokens)
        assert generate(speculative, prompts, end_ids=[6, 11], **options) == expected


@pytest.mark.slow
def test_xla_gives_the_same(decoder, compiled, similar, generate, prompts):
    xla = CompiledGeneration(decoder, draft=similar, jit_compile=True)
    options = dict(max_new_tokens=40)
    assert generate(xla, prompts, **options) == generate(compiled, prompts, **options)


@pytest.mark.slow
def test_a_good_draft_saves_steps_and_a_perfect_one_the_most(decoder, similar, prompts):
    steps = {}
    for name, draft in (("similar", similar), ("same", decoder)):
        compiled = CompiledGeneration(decoder, draft=draft, jit_compile=False)
        options = GenerationOptions(max_new_tokens=61)
        generation = compiled.start(prompts[:1], options, [])
        steps[name] = 0
        while not generation.done():
            generation.advance(1)
            steps[name] += 1
        accepted = int(generation.state.num_accepted[0])
        assert accepted + steps[name] >= 60
    assert steps["same"] == 12  # five tokens a step
    assert steps["same"] <= steps["similar"] < 60


def test_a_draft_of_another_vocabulary_is_refused(decoder, make_decoder):
    with pytest.raises(ValueError, match="draft 40, large 53"):
        CompiledGeneration(decoder, draft=make_decoder(vocabulary_size=40))
