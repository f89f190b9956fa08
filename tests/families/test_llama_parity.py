"""Llama, Mistral, Qwen 2 and Qwen 3 compute what `transformers` does, both ways."""

import numpy as np
import pytest

from helpers import random_weights
from tfzoo.families import (
    LlamaDecoder,
    MistralDecoder,
    Qwen2Decoder,
    Qwen3Decoder,
)
from tfzoo.tasks import CausalLM
from tfzoo.text import ByteBPETokenizer

pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.parity

SIZES = dict(
    vocabulary_size=300,
    num_layers=2,
    num_heads=4,
    num_key_value_heads=2,
    hidden_dim=32,
    intermediate_dim=24,
    max_sequence_length=128,
)
LLAMA_3 = dict(
    rope_type="llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)
YARN = dict(rope_type="yarn", factor=2.0, original_max_position_embeddings=64)
MODELS = {
    "llama": (LlamaDecoder, {}),
    "tied": (LlamaDecoder, dict(ties_output=True)),
    "biases": (LlamaDecoder, dict(attention_bias=True, feed_forward_bias=True)),
    "one key": (LlamaDecoder, dict(num_key_value_heads=1, rope_theta=500.0)),
    "a key for each query": (LlamaDecoder, dict(num_key_value_heads=None)),
    "larger heads": (LlamaDecoder, dict(head_dim=12, layer_norm_epsilon=1e-3)),
    "gelu": (LlamaDecoder, dict(activation="gelu_tanh")),
    "linear": (LlamaDecoder, dict(rope_scaling=dict(rope_type="linear", factor=3.0))),
    "llama3": (LlamaDecoder, dict(rope_scaling=LLAMA_3)),
    "yarn": (LlamaDecoder, dict(rope_scaling=YARN)),
    "yarn, all fields": (
        LlamaDecoder,
        dict(
            rope_scaling=dict(
                YARN,
                **dict(beta_fast=8, beta_slow=0.5, truncate=False),
                **dict(mscale=0.7, mscale_all_dim=0.3),
            ),
        ),
    ),
    "yarn, a factor": (
        LlamaDecoder,
        dict(rope_scaling=dict(YARN, attention_factor=1.5, factor=16.0)),
    ),
    "mistral": (MistralDecoder, dict(window=5)),
    "mistral without a window": (MistralDecoder, dict(ties_output=True)),
    "qwen2": (Qwen2Decoder, dict(ties_output=True)),
    "qwen2, a window": (Qwen2Decoder, dict(window=4, rope_scaling=YARN)),
    "qwen3": (Qwen3Decoder, dict(head_dim=16, ties_output=True)),
    "qwen3, a window": (Qwen3Decoder, dict(window=6, attention_bias=True)),
}
models = pytest.mark.parametrize(("kind", "options"), MODELS.values(), ids=MODELS)


def decoder(kind, options, seed=0):
    return random_weights(kind(**{**SIZES, **options}), 0.2, seed)


def inputs():
    """Rows longer than every window, one of them padded."""
    rng = np.random.default_rng(1)
    mask = np.ones((3, 24), np.int32)
    mask[1, 15:] = 0
    ids = rng.integers(0, SIZES["vocabulary_size"], mask.shape).astype(np.int32)
    return {"token_ids": ids, "padding_mask": mask}


def logits(model, x):
    return np.asarray(model.logits(model(x)))


def their_logits(model, x):
    import torch

    with torch.no_grad():
        return model.eval()(
            input_ids=torch.tensor(x["token_ids"]).long(),
            attention_mask=torch.tensor(x["padding_mask"]),
        ).logits.numpy()


def assert_equal(ours, theirs, x):
    real = x["padding_mask"] == 1
    assert np.abs(theirs[real]).max() > 1
    np.testing.assert_allclose(ours[real], theirs[real], atol=1e-5)


def opened(directory, **options):
    """Their model of a directory, every tensor of which it uses."""
    import transformers

    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        directory, output_loading_info=True, **options
    )
    assert not any(info.values())
    return model


@models
def test_transformers_opens_what_is_saved_and_what_it_saves_opens(
    kind, options, tmp_path
):
    ours, x = decoder(kind, options), inputs()
    ours.save_to_preset(tmp_path / "ours")
    theirs = opened(tmp_path / "ours")
    assert_equal(logits(ours, x), their_logits(theirs, x), x)
    with_other_weights(theirs).save_pretrained(tmp_path / "theirs")
    copy = kind.from_preset(tmp_path / "theirs")
    assert_equal(logits(copy, x), their_logits(theirs, x), x)
    assert np.abs(logits(copy, x) - logits(ours, x)).max() > 0.1
    ours, copy = (kind.family.to_config(model.get_config()) for model in (ours, copy))
    assert ours == copy


def with_other_weights(model):
    import torch

    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_(std=0.2).add_(float("norm" in name))
    return model


@pytest.fixture(scope="module")
def published():
    """A model of `transformers` that ties its output, in bfloat16."""
    import torch
    import transformers

    config = transformers.Qwen3Config(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=128,
        tie_word_embeddings=True,
    )
    model = with_other_weights(transformers.Qwen3ForCausalLM(config))
    return model.to(torch.bfloat16)


@pytest.mark.parametrize("most", ["1GB", "6KB"], ids=["a file", "shards"])
def test_files_in_bfloat16_open(published, most, tmp_path):
    published.save_pretrained(tmp_path, max_shard_size=most)
    assert (tmp_path / "model.safetensors").exists() == (most == "1GB")
    ours, x = Qwen3Decoder.from_preset(tmp_path), inputs()
    exact = opened(tmp_path, dtype="float32")
    assert_equal(logits(ours, x), their_logits(exact, x), x)
    ours.save_to_preset(tmp_path / "ours", dtype="bfloat16", max_shard_size=6000)
    assert (tmp_path / "ours" / "model.safetensors.index.json").exists()
    theirs = opened(tmp_path / "ours")
    assert {str(p.dtype) for p in theirs.parameters()} == {"torch.bfloat16"}
    for name, weight in theirs.state_dict().items():
        assert (weight == published.state_dict()[name]).all(), name


def test_what_transformers_4_writes_is_read():
    """As in the `config.json` of Llama 3.2 and of a Qwen 2.5 with YaRN."""
    import transformers

    for kind, scaling in (
        (LlamaDecoder, {**LLAMA_3, "rope_theta": None}),
        (Qwen2Decoder, {"type": "yarn", "factor": 4.0}),
    ):
        config = kind.family.to_config(kind(**SIZES).get_config())
        del config["rope_parameters"]
        scaling = {k: v for k, v in scaling.items() if v is not None}
        config |= {"rope_theta": 5e5, "rope_scaling": scaling}
        found = kind.family.from_config(config, "config.json")
        theirs = transformers.AutoConfig.for_model(**config).rope_parameters
        ours = {"rope_theta": found["rope_theta"], **found["rope_scaling"]}
        theirs.pop("type", None)
        assert ours == theirs


LINES = ["the dog runs fast.", "a cat sleeps, a dog runs.", "two cats, no dog"] * 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yarn", "mistral", "qwen2", "qwen3, a window"])
def test_a_hundred_greedy_texts_are_those_of_transformers(name, tmp_path):
    import torch

    kind, options = MODELS[name]
    words = ByteBPETokenizer.train(LINES, vocabulary_size=300, progress=False)
    sizes = {"vocabulary_size": words.vocabulary_size}
    model = CausalLM(decoder(kind, {**options, **sizes}), words)
    model.save_to_preset(tmp_path / "ours")
    theirs = opened(tmp_path / "ours").eval()
    rng = np.random.default_rng(0)
    pieces = [piece for line in LINES[:3] for piece in line.split(" ")]
    prompts = [" ".join(rng.choice(pieces, 1 + i % 12)) for i in range(100)]
    found = model.generate(
        prompts, max_new_tokens=20, jit_compile=False, return_dict_in_generate=True
    )
    for prompt, one in zip(prompts, found, strict=True):
        ids = torch.tensor([words.tokenize(prompt)])
        with torch.no_grad():
            texts = theirs.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=20,
                do_sample=False,
                pad_token_id=words.end_id,
            )
        assert one.token_ids == texts[0, ids.shape[1] :].tolist(), prompt
