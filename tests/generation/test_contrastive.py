import numpy as np
import pytest

from tfzoo.generation.compiled import CompiledGeneration

XLA = pytest.param(True, marks=pytest.mark.slow)


def by_numpy(hidden_states, next_logits, prompt, *, num_new, num_candidates, alpha):
    ids = list(prompt)
    for _ in range(num_new):
        logits = next_logits(ids)
        p = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        values = {}
        best = np.argsort(-p)[:num_candidates]
        hidden = hidden_states([[*ids, token] for token in best])
        for token, h in zip(best, hidden, strict=True):
            h = h / np.linalg.norm(h, axis=1, keepdims=True)
            values[token] = (1 - alpha) * p[token] - alpha * (h[:-1] @ h[-1]).max()
        ids.append(int(max(values, key=values.get)))
    return ids[len(prompt) :]


@pytest.mark.parametrize("jit_compile", [False, XLA])
def test_equals_numpy(
    decoder, hidden_states, next_logits, generate, prompts, jit_compile
):
    compiled = CompiledGeneration(decoder, jit_compile=jit_compile)
    found = generate(compiled, prompts, max_new_tokens=12, penalty_alpha=0.6, top_k=4)
    for prompt, [(ids, score)] in zip(prompts, found, strict=True):
        expected = by_numpy(
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
