"""The same texts as `transformers` generates with the same weights."""

import numpy as np
import pytest

from tfzoo.families import GPTDecoder
from tfzoo.generation.compiled import CompiledGeneration

V, CONTEXT, END = 61, 128, 5


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A model of transformers whose texts vary, and a model here with its weights."""
    torch = pytest.importorskip("torch")
    hf = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = hf.GPT2Config(
        vocab_size=V,
        n_positions=CONTEXT,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=END,
        initializer_range=0.2,
    )
    theirs = hf.GPT2LMHeadModel(config).eval()
    folder = tmp_path_factory.mktemp("gpt2") / "model"
    theirs.save_pretrained(folder)
    decoder = GPTDecoder.from_preset(folder)
    return theirs, CompiledGeneration(decoder, jit_compile=False)


def by_transformers(model, prompt, **options):
    import torch

    ids = torch.tensor([prompt])
    with torch.inference_mode():
        return model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            pad_token_id=0,
            return_dict_in_generate=True,
            output_scores=True,
            **options,
        )


def some_prompts(count):
    rng = np.random.default_rng(0)
    return [rng.integers(6, V, n).tolist() for n in rng.integers(1, 60, count)]


@pytest.mark.slow
@pytest.mark.parity
def test_greedy_gives_the_same_tokens_for_200_prompts(pair, generate):
    theirs, ours = pair
    prompts = some_prompts(200)
    found = []
    for i in range(0, 200, 32):
        found += generate(ours, prompts[i : i + 32], end_ids=[END], max_new_tokens=64)
    lengths = []
    for prompt, [(ids, _)] in zip(prompts, found, strict=True):
        result = by_transformers(theirs, prompt, do_sample=False, max_new_tokens=64)
        expected = result.sequences[0, len(prompt) :].tolist()
        lengths.append(len(ids))
        if ids != expected:  # only if the two best are nearly equal
            first = next(
                i for i, (a, b) in enumerate(zip(ids, expected, strict=False)) if a != b
            )
            best = result.scores[first][0].topk(2).values
            assert best[0] - best[1] < 1e-4
    assert min(lengths) < 10 and max(lengths) == 64  # with and without end tokens


@pytest.mark.parity
@pytest.mark.parametrize("early_stopping", [False, True, "never"])
@pytest.mark.parametrize("length_penalty", [1.0, 0.0, -0.5])
def test_beam_search_gives_the_same_scores(
    pair, generate, early_stopping, length_penalty
):
    theirs, ours = pair
    options = dict(
        max_new_tokens=16,
        num_beams=4,
        num_return_sequences=4,
        early_stopping=early_stopping,
        length_penalty=length_penalty,
        repetition_penalty=1.3,
        no_repeat_ngram_size=2,
    )
    prompts = some_prompts(6)
    found = generate(ours, prompts, end_ids=[END], **options)
    for prompt, group in zip(prompts, found, strict=True):
        result = by_transformers(theirs, prompt, do_sample=False, **options)
        np.testing.assert_allclose(
            [score for _, score in group], result.sequences_scores, rtol=1e-6, atol=1e-4
        )
        best = result.sequences[0, len(prompt) :].tolist()
        ids = group[0][0]
        assert best[: len(ids)] == ids
