import numpy as np
import pytest

from tfzoo.generation.options import GenerationOptions
from tfzoo.generation.rules import rules_for


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(max_new_tokens=-3), ["max_new_tokens", "at least 1", "-3"]),
        (dict(max_new_tokens=2.5), ["max_new_tokens", "integer", "2.5"]),
        (dict(max_new_tokens=True), ["max_new_tokens", "integer", "True"]),
        (dict(max_length=0), ["max_length", "at least 1", "0"]),
        (dict(temperature=-0.5), ["temperature", "at least 0", "-0.5"]),
        (dict(temperature=float("nan")), ["temperature", "nan"]),
        (dict(top_k=-1), ["top_k", "at least 0", "-1"]),
        (dict(top_p=0.0), ["top_p", "above 0", "at most 1", "0.0"]),
        (dict(top_p=1.5), ["top_p", "at most 1", "1.5"]),
        (dict(min_p=2), ["min_p", "at most 1", "2"]),
        (dict(typical_p="x"), ["typical_p", "'x'"]),
        (dict(repetition_penalty=0), ["repetition_penalty", "above 0", "0"]),
        (dict(num_beams=0), ["num_beams", "at least 1", "0"]),
        (dict(no_repeat_ngram_size=-1), ["no_repeat_ngram_size", "at least 0", "-1"]),
        (dict(presence_penalty=float("nan")), ["presence_penalty", "nan"]),
        (dict(frequency_penalty=float("-inf")), ["frequency_penalty", "-inf"]),
        (dict(temperature=float("inf")), ["temperature", "1e+30", "inf"]),
        (dict(repetition_penalty=1e-40), ["repetition_penalty", "1e-30", "1e-40"]),
        (dict(num_beams=2, length_penalty=1e9), ["length_penalty", "at most 10"]),
        (dict(penalty_alpha=float("nan")), ["penalty_alpha", "nan"]),
        (dict(do_sample="no"), ["do_sample", "True or False", "'no'"]),
        (dict(do_sample=1), ["do_sample", "True or False", "1"]),
        (dict(do_sample=0), ["do_sample", "True or False", "0"]),
        (dict(seed=True), ["seed", "integer", "True"]),
        (dict(num_beams=2, early_stopping=1), ["early_stopping", "'never'", "1"]),
        (dict(seed=1.5), ["seed", "integer", "1.5"]),
        (dict(seed=[1, "a"]), ["seed", "integer", "'a'"]),
        (dict(num_beams=2, early_stopping="yes"), ["early_stopping", "'never'", "yes"]),
        (dict(max_length=9, max_new_tokens=5), ["max_length=9", "max_new_tokens=5"]),
        (dict(num_beams=2, top_p=0.5), ["num_beams=2", "top_p", "0.5"]),
        (dict(num_beams=2, do_sample=True), ["num_beams=2", "sampling"]),
        (dict(do_sample=False, top_k=5), ["do_sample=False", "top_k", "5"]),
        (dict(penalty_alpha=0.5, num_beams=2), ["penalty_alpha", "num_beams=2"]),
        (dict(penalty_alpha=0.5, temperature=2.0), ["penalty_alpha", "temperature"]),
        (dict(penalty_alpha=0.5, do_sample=True), ["penalty_alpha", "do_sample=True"]),
        (dict(length_penalty=2.0), ["num_beams=1", "length_penalty", "2.0"]),
        (dict(early_stopping=True), ["num_beams=1", "early_stopping"]),
        (dict(num_return_sequences=2), ["num_return_sequences=2", "num_beams=1"]),
        (dict(num_return_sequences=4, num_beams=3), ["sequences=4", "num_beams=3"]),
    ],
    ids=str,
)
def test_wrong_and_contradictory_options_are_named_with_value_and_limit(options, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words below
        GenerationOptions(**options)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("options", "draws"),
    [
        ({}, False),
        (dict(do_sample=True), True),
        (dict(top_k=5), True),
        (dict(temperature=0.7), True),
        (dict(temperature=0), False),
        (dict(temperature=0, do_sample=True, top_p=0.5), False),
        (dict(penalty_alpha=0.5, top_k=4), False),
    ],
    ids=str,
)
def test_sampling_options_turn_on_sampling(options, draws):
    assert GenerationOptions(**options).draws is draws


@pytest.mark.parametrize(
    "options",
    [
        dict(top_k=0, top_p=1.0, min_p=0.0, typical_p=1),
        dict(do_sample=False, temperature=1.0, top_k=0, top_p=1.0),
        dict(do_sample=False, temperature=0),
        dict(length_penalty=1.0, early_stopping=False),
        dict(repetition_penalty=1.0, presence_penalty=0, frequency_penalty=0.0),
        dict(no_repeat_ngram_size=0),
    ],
    ids=str,
)
def test_neutral_options_make_no_rules_and_do_not_sample(options):
    assert not GenerationOptions(**options).draws
    assert rules(**options).keys() == {"end_ids"}
    assert not GenerationOptions(num_beams=2, temperature=1.0).draws


def test_limits_count_new_tokens():
    lengths = [3, 10]
    assert GenerationOptions(max_new_tokens=7).limits(lengths, 20).tolist() == [7, 7]
    assert GenerationOptions(max_length=12).limits(lengths, 20).tolist() == [9, 2]
    assert GenerationOptions().limits(lengths, 20).tolist() == [17, 10]
    assert GenerationOptions().limits(lengths, 500).tolist() == [64, 64]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(max_new_tokens=11), ["20 tokens", "prompt of 10 tokens", "11 new"]),
        (dict(max_new_tokens=10**12), ["20 tokens", "1000000000000 new"]),
        (dict(max_length=10), ["max_length=10", "prompt of 10 tokens"]),
        (dict(max_length=21), ["20 tokens", "prompt of 3 tokens", "18 new"]),
        (dict(max_new_tokens=5, min_new_tokens=6), ["at least 6", "at most 5"]),
        (dict(max_length=14, min_length=15), ["at least 12", "at most 11"]),
    ],
    ids=str,
)
def test_lengths_that_do_not_fit_are_named(options, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words below
        GenerationOptions(**options).limits([3, 10], 20)
    for word in words:
        assert word in str(caught.value)


def test_a_prompt_as_long_as_the_context_leaves_no_room():
    with pytest.raises(ValueError, match="prompt of 20 tokens"):
        GenerationOptions().limits([20], 20)


def rules(vocabulary_size=10, num_prompts=2, end_ids=(), num_tokens=None, **options):
    options = GenerationOptions(**options)
    return rules_for(
        options, [3, 10], list(end_ids), vocabulary_size, num_prompts, num_tokens
    )


def test_ids_without_a_token_are_not_chosen():
    assert "bad_ids" not in rules(num_tokens=10)
    found = rules(num_tokens=8, bad_words_ids=[[3]])["bad_ids"].numpy()
    assert np.flatnonzero(found).tolist() == [3, 8, 9]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(top_k=11), ["top_k", "at most", "size, 10", "11"]),
        (dict(bad_words_ids=[[3], [10]]), ["bad_words_ids", "0 to 9", "10"]),
        (dict(bad_words_ids=[[]]), ["bad_words_ids", "non-empty lists of ids", "[]"]),
        (dict(end_ids=[-1]), ["eos_token_id", "0 to 9", "-1"]),
        (dict(top_k=3, seed=2**63), ["seed", "64-bit", str(2**63)]),
        (dict(top_k=3, seed=[1]), ["1 seeds", "2 prompts"]),
        (dict(top_k=3, seed=["a", "b"]), ["seed", "'a'"]),
    ],
    ids=str,
)
def test_options_that_do_not_fit_the_model_are_named(options, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words below
        rules(**options)
    for word in words:
        assert word in str(caught.value)


def test_only_given_options_become_rules():
    assert {*rules()} == {"end_ids"}
    asked = rules(top_p=0.5, repetition_penalty=2.0, no_repeat_ngram_size=3)
    sampling = {"temperature", "seeds", "counters", "top_p"}
    assert {*asked} == {"end_ids", "repetition_penalty", "no_repeat_ngram", *sampling}


def test_min_length_counts_the_prompt_and_min_new_tokens_does_not():
    minimum, end = rules(min_length=8, min_new_tokens=2, end_ids=[4])["min_new_tokens"]
    assert minimum.numpy().tolist() == [5, 2]
    assert end.numpy().tolist() == [4]


def test_every_sequence_of_a_prompt_has_its_own_counter_and_the_prompts_seed():
    drawn = rules(do_sample=True, num_return_sequences=3, seed=[8, 9])
    assert drawn["seeds"].numpy().tolist() == [8, 8, 8, 9, 9, 9]
    assert drawn["counters"].numpy().tolist() == [0, 1, 2, 0, 1, 2]
    random = rules(do_sample=True)["seeds"].numpy()
    assert len(np.unique(random)) == 2
