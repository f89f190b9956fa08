"""Language models of Llama, Mistral, Qwen 2 and Qwen 3: training, texts, serving."""

import json

import numpy as np
import pytest
import tensorflow as tf

from helpers import random_weights
from tfzoo.families import (
    BertEncoder,
    LlamaDecoder,
    MistralDecoder,
    Qwen2Decoder,
    Qwen3Decoder,
)
from tfzoo.tasks import CausalLM, from_preset
from tfzoo.text import ByteBPETokenizer, Layout

LINES = ["the dog runs fast.", "a cat sleeps, a dog runs.", "two cats, no dog"] * 5
SIZES = dict(
    vocabulary_size=310,  # more than the tokenizer has, as in Qwen's checkpoints
    num_layers=2,
    num_heads=4,
    num_key_value_heads=2,
    hidden_dim=32,
    intermediate_dim=48,
    max_sequence_length=64,
)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16)
OPTIONS = {
    LlamaDecoder: dict(rope_scaling=YARN),
    MistralDecoder: dict(window=5),
    Qwen2Decoder: dict(ties_output=True),
    Qwen3Decoder: dict(head_dim=16, ties_output=True, window=7),
}
kinds = pytest.mark.parametrize("kind", OPTIONS)
some_kinds = pytest.mark.parametrize(
    "kind",
    [
        LlamaDecoder,
        *(pytest.param(k, marks=pytest.mark.slow) for k in [*OPTIONS][1:]),
    ],
)
PROMPTS = ["the dog", "", "a cat sleeps, a dog runs, two cats"]


@pytest.fixture(scope="module")
def tokenizer():
    return ByteBPETokenizer.train(
        LINES,
        vocabulary_size=300,
        start_token="<|begin_of_text|>",
        progress=False,
    )


@pytest.fixture(scope="module")
def model(tokenizer):
    """Function that makes a model of a class with random weights."""

    def make(kind, *, dtype=None, **options):
        words = tokenizer
        if kind is LlamaDecoder:  # Llama 3's
            words = tokenizer.with_layout(Layout("start", repeats_first=True))
        backbone = kind(**SIZES, **OPTIONS[kind], dtype=dtype)
        return CausalLM(random_weights(backbone, 0.2), words, **options)

    return make


def test_texts_have_the_layout_of_the_tokenizer(model):
    llama, qwen = model(LlamaDecoder), model(Qwen2Decoder)
    assert llama.tokenizer.begin_id == llama.tokenizer.start_id
    assert qwen.tokenizer.begin_id == qwen.tokenizer.end_id
    for task in (llama, qwen):
        ids = task.encode_strings(tf.constant(["a cat"]))["token_ids"][0].numpy()
        text = task.tokenizer.tokenize("a cat")
        assert ids[: len(text) + 1].tolist() == [task.tokenizer.begin_id, *text]


@kinds
def test_it_learns_is_saved_and_goes_on(model, kind, tmp_path):
    task = model(kind)
    before = [np.array(v) for v in task.trainable_variables]
    task.compile(learning_rate=1e-2, run_eagerly=True)
    first = task.fit(LINES, batch_size=2, epochs=1, verbose=0).history["loss"][0]
    for old, v in zip(before, task.trainable_variables, strict=True):
        assert np.abs(old - np.asarray(v)).max() > 0, v.path
    task.save_to_preset(tmp_path / "first")
    copy = from_preset(tmp_path / "first")
    assert type(copy.backbone) is kind
    assert copy.tokenizer.get_config() == task.tokenizer.get_config()
    copy.compile(learning_rate=1e-2, run_eagerly=True)
    last = copy.fit(LINES, batch_size=2, epochs=1, verbose=0).history["loss"][0]
    assert last < first


@some_kinds
def test_greedy_texts_are_those_without_a_cache(model, kind):
    task = model(kind)
    found = task.generate(
        PROMPTS, max_new_tokens=20, jit_compile=False, return_dict_in_generate=True
    )
    for prompt, one in zip(PROMPTS, found, strict=True):
        ids = [task.tokenizer.begin_id, *task.tokenizer.tokenize(prompt)]
        if prompt and task.tokenizer.layout.first is None:
            ids = ids[1:]
        for _ in one.token_ids:
            row = np.array([ids], np.int32)
            hidden = task.backbone({"token_ids": row, "padding_mask": row * 0 + 1})
            logits = task.backbone.logits(hidden)[0, -1]
            ids.append(int(np.argmax(logits[: task.tokenizer.vocabulary_size])))
        assert ids[-len(one.token_ids) :] == one.token_ids


@pytest.mark.slow
@kinds
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_served_model_gives_the_same_texts(model, kind, jit_compile, tmp_path):
    task = model(kind)
    path = tmp_path / "served"
    task.export(path, max_new_tokens=12, jit_compile=jit_compile)
    served = tf.saved_model.load(str(path)).signatures
    texts = served["serving_default"](prompt=tf.constant(PROMPTS))["text"].numpy()
    options = dict(max_new_tokens=12, jit_compile=False)
    assert [text.decode() for text in texts] == task.generate(PROMPTS, **options)
    scores = served["score"](text=tf.constant(PROMPTS))
    for i, expected in enumerate(task.score(PROMPTS)):
        np.testing.assert_allclose(
            scores["log_probability"][i], expected["log_probability"], atol=1e-3
        )


@pytest.mark.slow
@kinds
def test_xla_and_the_other_searches_agree_with_a_graph(model, kind):
    task = model(kind)
    for options in (
        {},
        dict(num_beams=3),
        dict(penalty_alpha=0.6, top_k=4),
        dict(do_sample=True, seed=1, top_p=0.9),
    ):
        texts = [
            task.generate(PROMPTS, max_new_tokens=12, jit_compile=xla, **options)
            for xla in (False, True)
        ]
        assert texts[0] == texts[1], options


def test_a_text_ends_at_any_of_the_end_tokens_of_the_files(model, tmp_path):
    """As in Llama 3's generation_config.json."""
    task = model(Qwen2Decoder)
    (whole,) = task.generate(
        ["the dog"],
        max_new_tokens=12,
        jit_compile=False,
        return_dict_in_generate=True,
    )
    last = next(i for i in whole.token_ids if i != whole.token_ids[0])
    place = whole.token_ids.index(last) + 1
    task.save_to_preset(tmp_path / "x")
    path = tmp_path / "x" / "generation_config.json"
    ends = [task.tokenizer.end_id, last]
    path.write_text(json.dumps({"eos_token_id": ends}))
    copy = from_preset(tmp_path / "x")
    assert copy.end_token_ids == ends
    (found,) = copy.generate(
        ["the dog"],
        max_new_tokens=12,
        jit_compile=False,
        return_dict_in_generate=True,
    )
    assert found.token_ids == whole.token_ids[:place] != whole.token_ids
    copy.save_to_preset(tmp_path / "y")
    for name in ("config.json", "generation_config.json"):
        content = json.loads((tmp_path / "y" / name).read_text())
        assert content["eos_token_id"] == ends


def test_weights_in_bfloat16_take_half_the_memory_and_are_not_trained(model, tmp_path):
    exact = model(LlamaDecoder)
    exact.save_to_preset(tmp_path / "x")
    half = from_preset(tmp_path / "x", dtype="bfloat16")
    assert {v.dtype for v in half.weights} == {"bfloat16"}
    for ours, other in zip(half.weights, exact.weights, strict=True):
        assert (tf.cast(other, "bfloat16") == ours.value).numpy().all(), ours.path
    assert half.backbone.kernels_for(1) == {}  # no copies
    ids = np.arange(9, dtype=np.int32)[None]
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    seen = np.tril(np.ones((9, 9), bool))[None, None]
    hidden, _ = half.backbone.step(ids, ids, half.backbone.state(1), seen)
    whole = half.backbone(inputs)
    assert hidden.dtype == whole.dtype == "bfloat16"
    logits = [m.backbone.logits(m.backbone(inputs)) for m in (half, exact)]
    logits.append(half.backbone.logits(hidden))
    assert all(x.dtype == "float32" for x in logits)
    for x in logits:
        assert np.abs(x - logits[1]).mean() < 0.05
    with pytest.raises(ValueError, match="must be float32 .*weights in bfloat16"):
        half.compile()
    half.save_to_preset(tmp_path / "half")
    config = json.loads((tmp_path / "half" / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    again = from_preset(tmp_path / "half")  # in float32, as everything that is trained
    for ours, other in zip(again.weights, half.weights, strict=True):
        assert ours.dtype == "float32"
        np.testing.assert_array_equal(ours, tf.cast(other.value, "float32"))


def test_an_encoder_has_no_weights_in_bfloat16():
    with pytest.raises(ValueError, match="must be 'float32'.*Received: 'bfloat16'"):
        BertEncoder(50, 1, 1, 8, 8, dtype="bfloat16")
    with pytest.raises(ValueError, match="without training, 'bfloat16'.*'float64'"):
        LlamaDecoder(50, 1, 1, 8, 8, dtype="float64")
