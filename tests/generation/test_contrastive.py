import pytest

from helpers import contrastive_by_numpy
from tfzoo.generation.compiled import CompiledGeneration

XLA = pytest.param(True, marks=pytest.mark.slow)


@pytest.mark.parametrize("jit_compile", [False, XLA])
def test_equals_numpy(
    decoder, hidden_states, next_logits, generate, prompts, jit_compile
):
    compiled = CompiledGeneration(decoder, jit_compile=jit_compile)
    found = generate(compiled, prompts, max_new_tokens=12, penalty_alpha=0.6, top_k=4)
    for prompt, [(ids, score)] in zip(prompts, found, strict=True):
        expected = contrastive_by_numpy(
            hidden_states,
            next_logits,
            prompt,
            num_new=12,
            num_candidates=4,
            alpha=0.6,
        )
        assert ids == expected
        assert score is None


@pytest.mark.slow
def test_alpha_0_is_greedy(compiled, generate, prompts):
    greedy = generate(compiled, prompts, max_new_tokens=40)
    found = generate(compiled, prompts, max_new_tokens=40, penalty_alpha=0.0)
    assert found == greedy


def test_more_candidates_than_the_vocabulary_are_all_of_it(compiled, generate, prompts):
    options = dict(max_new_tokens=5, penalty_alpha=0.5)
    found = generate(compiled, prompts, top_k=53, **options)
    assert generate(compiled, prompts, top_k=53, **options) == found
