"""Every method of every task in mixed precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.families import BertEncoder, GPTDecoder
from tfzoo.tasks import (
    BertPretrainer,
    CausalLM,
    MaskedLM,
    QuestionAnswerer,
    TextClassifier,
    TextEmbedder,
    TokenClassifier,
)

POLICIES = ["mixed_bfloat16", "mixed_float16"]
ROUNDING = {"float32": 1e-5, "mixed_float16": 0.02, "mixed_bfloat16": 0.15}
PROMPTS = ["the cat", "a dog ran on the mat and sat"]
GRAPH = dict(max_new_tokens=6, jit_compile=False)


@pytest.fixture
def gpt(make_gpt, byte_tokenizer):
    return lambda dtype: CausalLM(
        make_gpt(dtype=dtype, max_sequence_length=80), byte_tokenizer
    )


def greedy_logits(model, ids, count):
    """Logits (count, V) of the last tokens of the ids, without a cache."""
    rows = np.array([ids], np.int32)
    logits = model({"token_ids": rows, "padding_mask": np.ones_like(rows)})
    return np.asarray(logits)[0, -count - 1 : -1]


@pytest.mark.parametrize("dtype", ["float32", *POLICIES])
def test_cached_greedy_text_equals_that_without_a_cache(gpt, dtype):
    model = gpt(dtype)
    for prompt in PROMPTS:
        new = model.generate(prompt, return_dict_in_generate=True, **GRAPH).token_ids
        logits = greedy_logits(model, model.tokenizer.tokenize(prompt) + new, len(new))
        assert logits.dtype == np.float32
        chosen = logits[np.arange(len(new)), new]
        np.testing.assert_array_less(logits.max(-1) - ROUNDING[dtype], chosen)


@pytest.mark.parametrize("dtype", POLICIES)
def test_a_step_equals_the_model(gpt, dtype):
    backbone = gpt(dtype).backbone
    ids = np.arange(12, dtype=np.int32)[None]
    whole = backbone({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    assert whole.dtype == backbone.compute_dtype == dtype.removeprefix("mixed_")
    state = backbone.state(1)
    for i in range(12):
        seen = np.ones((1, 1, 1, i + 1), bool)
        here = tf.constant([[i]])
        hidden, new = backbone.step(ids[:, i : i + 1], here, state, seen)
        assert hidden.dtype == whole.dtype
        state = tf.nest.map_structure(
            lambda *parts: tf.concat(parts, axis=2), state, new
        )
        np.testing.assert_allclose(
            *(tf.cast(x, "float32") for x in (hidden[:, 0], whole[:, i])),
            atol=ROUNDING[dtype],
        )


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("dtype", POLICIES)
def test_every_search_runs_in_mixed_precision(gpt, dtype, jit_compile):
    model = gpt(dtype)
    for options in (
        dict(),
        dict(temperature=0.8, top_k=5, top_p=0.9, min_p=0.01, typical_p=0.9, seed=1),
        dict(num_beams=3, repetition_penalty=1.2, no_repeat_ngram_size=2),
        dict(penalty_alpha=0.5, presence_penalty=0.1),
        dict(assistant_model=gpt(dtype)),
    ):
        options = dict(max_new_tokens=6, jit_compile=jit_compile, **options)
        assert len(model.generate([*PROMPTS, "x"], **options)) == 3
    pieces = model.stream("the", max_new_tokens=6, jit_compile=jit_compile)
    expected = model.generate("the", max_new_tokens=6, jit_compile=jit_compile)
    assert "".join(pieces) == expected


@pytest.mark.slow
@pytest.mark.parametrize("dtype", POLICIES)
def test_all_methods_of_a_gpt_work_in_mixed_precision(gpt, dtype, tmp_path):
    model = gpt(dtype)
    exact = gpt("float32").score(PROMPTS)
    for ours, theirs in zip(model.score(PROMPTS), exact, strict=True):
        np.testing.assert_allclose(
            ours["log_probabilities"],
            theirs["log_probabilities"],
            atol=2 * ROUNDING[dtype],
        )
    assert np.isfinite(model.perplexity(PROMPTS)["perplexity"])
    saved_and_served(model, tmp_path, PROMPTS)
    copy = CausalLM.from_preset(tmp_path / "preset", dtype=dtype)
    assert copy.generate(PROMPTS, **GRAPH) == model.generate(PROMPTS, **GRAPH)
    trained(model, PROMPTS)


def saved_and_served(model, directory, texts):
    expected = model.predict(texts, verbose=0)
    assert expected.dtype == np.float32
    model.save(directory / "model.keras")
    copy = keras.saving.load_model(directory / "model.keras")
    assert copy.backbone.dtype_name == model.backbone.dtype_name
    np.testing.assert_array_equal(copy.predict(texts, verbose=0), expected)
    model.save_to_preset(directory / "preset")
    model.export_version(directory / "served")
    tf.saved_model.load(directory / "served" / "1")


def trained(model, x, y=None):
    model.fit(x, y, verbose=0)
    results = model.evaluate(x, y, verbose=0, return_dict=True)
    assert np.isfinite(results["loss"])


SENTENCES = [["the", "cat"], ["a", "dog", "sat"]]
TASKS = {
    MaskedLM: ((), ["a [MASK] sat"] * 2, None, "fill_mask"),
    TextClassifier: ((["a", "b"],), PROMPTS, ["a", "b"], "classify"),
    TokenClassifier: ((["O", "B-x"],), SENTENCES, [["O"] * 2, ["O"] * 3], "tag"),
    TextEmbedder: ((), PROMPTS, None, "embed"),
}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", POLICIES)
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__)
def test_all_methods_of_encoder_tasks_work_in_mixed_precision(
    make_encoder, tokenizer, tmp_path, task, dtype
):
    arguments, x, y, answer = TASKS[task]
    model = task(make_encoder(dtype=dtype), tokenizer, *arguments)
    assert len(getattr(model, answer)(x)) == 2
    saved_and_served(model, tmp_path, x)
    trained(model, (x, x) if task is TextEmbedder else x, y)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", POLICIES)
def test_an_answerer_and_a_pretrainer_work_in_mixed_precision(
    make_encoder, tokenizer, tmp_path, dtype
):
    model = QuestionAnswerer(make_encoder(dtype=dtype), tokenizer)
    assert model.answer("the dog", "a cat sat on the mat")
    model.export_version(tmp_path / "served")
    BertPretrainer(make_encoder(dtype=dtype), tokenizer).save_to_preset(
        tmp_path / "preset"
    )
    assert MaskedLM.from_preset(tmp_path / "preset", dtype=dtype).fill_mask("a [MASK]")


@pytest.mark.parametrize(
    ("backbone", "dtype"),
    [
        *((GPTDecoder, dtype) for dtype in ("float16", "float64", "int8", "fp16")),
        *((BertEncoder, dtype) for dtype in ("bfloat16", "float16", "int8", "fp16")),
    ],
)
def test_a_dtype_with_other_weights_is_refused(backbone, dtype):
    sizes = dict(num_layers=1, num_heads=2, hidden_dim=4, intermediate_dim=8)
    with pytest.raises(ValueError, match=f"'?{dtype}'?") as caught:
        backbone(9, **sizes, dtype=dtype)
    assert "\n" not in str(caught.value)


def test_the_dtype_defaults_to_keras_policy(make_gpt):
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        assert make_gpt().dtype_name == "mixed_bfloat16"
        assert make_gpt(dtype="float32").compute_dtype == "float32"
        keras.config.set_dtype_policy("float16")
        with pytest.raises(ValueError, match="Received: 'float16'"):
            make_gpt()
    finally:
        keras.config.set_dtype_policy(before)
