import pytest
import tensorflow as tf

from helpers import contrastive_by_numpy
from tfzoo.generation.compiled import CompiledGeneration
from tfzoo.generation.contrastive import ContrastiveSearch

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


class Opposites:
    """A decoder of three tokens; its logits and hidden states are of the last alone."""

    vocabulary_size, max_sequence_length = 3, 8

    def state(self, rows, columns=0):
        return [tf.zeros([rows, 1, columns, 1])]

    def step(self, token_ids, positions, state, mask):
        hidden = tf.gather([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], token_ids)
        return hidden, self.state(*token_ids.shape)

    def logits(self, hidden):
        return tf.ones_like(hidden[..., :1]) * [-9.0, 0.0, 0.5]


def test_unused_columns_of_the_cache_resemble_nothing():
    search, decoders, limits = ContrastiveSearch(2), [Opposites()], tf.constant([1])
    rules = {"end_ids": tf.constant([-1]), "penalty_alpha": tf.constant(0.6)}
    state = search.begin(decoders, tf.constant([[0]]), limits, limits, rules)
    state = search.advance(
        decoders, search.grow(state, 4), limits, rules, num_steps=tf.constant(1)
    )
    # Token 1 is the opposite of the prompt, token 2 is likelier but only orthogonal.
    assert state.history.tokens[0, :2].numpy().tolist() == [0, 1]
