import json

import numpy as np
import pytest
import safetensors.numpy

from tfzoo.errors import CheckpointError
from tfzoo.families import BertEncoder, GPTDecoder


def outputs(decoder, inputs):
    return np.asarray(decoder.logits(decoder(inputs)))


def changed(directory, change):
    """Rewrites the tensors of a directory."""
    path = directory / "model.safetensors"
    tensors = change(safetensors.numpy.load_file(path))
    path.unlink()
    safetensors.numpy.save_file(tensors, path)
    return directory


def configured(directory, **changes):
    path = directory / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in config.items() if v != "absent"}))
    return directory


@pytest.fixture
def saved(gpt, tmp_path):
    gpt.save_to_preset(tmp_path / "gpt")
    return tmp_path / "gpt"


def test_a_preset_gives_the_same_outputs(gpt, gpt_inputs, saved):
    copy = GPTDecoder.from_preset(saved)
    np.testing.assert_array_equal(gpt(gpt_inputs()), copy(gpt_inputs()))


def test_query_key_and_value_are_concatenated(gpt, saved):
    tensors = safetensors.numpy.load_file(saved / "model.safetensors")
    assert "h.1.mlp.c_fc.weight" in tensors
    attention = gpt.transformer_layers[1].self_attention
    parts = (attention.query, attention.key, attention.value)
    for theirs, ours in (("weight", "kernel"), ("bias", "bias")):
        together = np.concatenate([getattr(part, ours) for part in parts], -1)
        np.testing.assert_array_equal(tensors[f"h.1.attn.c_attn.{theirs}"], together)


def test_names_with_a_prefix_masks_and_the_tied_copy_are_read(gpt, gpt_inputs, saved):
    def as_published(tensors):
        masks = {
            "h.0.attn.bias": np.tril(np.ones((1, 1, 12, 12), np.float32)),
            "h.0.attn.masked_bias": np.array(-1e4, np.float32),
        }
        named = {f"transformer.{n}": t for n, t in {**tensors, **masks}.items()}
        return {**named, "lm_head.weight": tensors["wte.weight"].copy()}

    copy = GPTDecoder.from_preset(changed(saved, as_published))
    np.testing.assert_array_equal(gpt(gpt_inputs()), copy(gpt_inputs()))


def test_an_untied_output_layer_is_refused(saved):
    def untied(tensors):
        return {**tensors, "lm_head.weight": tensors["wte.weight"] + 1}

    with pytest.raises(CheckpointError, match="lm_head.weight.*must equal wte.weight"):
        GPTDecoder.from_preset(changed(saved, untied))


def test_the_feed_forward_width_may_be_omitted_as_in_gpt2(tmp_path):
    decoder = GPTDecoder(50, 1, 2, 16, 64, max_sequence_length=12)
    decoder.save_to_preset(tmp_path / "gpt")
    for value in (None, "absent"):
        copy = GPTDecoder.from_preset(configured(tmp_path / "gpt", n_inner=value))
        assert copy.intermediate_dim == 64


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("activation_function", "tanh", "config.json: activation_function: .*'tanh'"),
        ("scale_attn_by_inverse_layer_idx", True, "Only False is supported"),
        ("tie_word_embeddings", False, "tie_word_embeddings: Only True"),
        ("model_type", "bert", "model_type: Must be 'gpt2'. Received: 'bert'"),
        ("n_head", 3, "n_head must divide n_embd. Received: n_embd=16, n_head=3"),
        ("n_embd", 32, "wte.weight|The shape must be"),
        ("n_layer", 3, "The file lacks this weight"),
        ("n_layer", 1, r"h\.1.*a tensor that the model lacks"),
        ("n_positions", "absent", "n_positions: The field is missing"),
        ("vocab_size", -1, "vocab_size: Must be an integer.* -1"),
    ],
)
def test_an_invalid_configuration_is_named(saved, field, value, message):
    with pytest.raises(CheckpointError, match=message) as error:
        GPTDecoder.from_preset(configured(saved, **{field: value}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t * np.nan, "must be finite"),
        (lambda t: t[:, :32], r"The shape must be \(16, 48\). Received: \(16, 32\)"),
        (lambda t: t.astype(np.int32), "floating-point dtype. Received: int32"),
    ],
    ids=["nan", "shape", "integer"],
)
def test_an_invalid_tensor_is_reported(saved, change, message):
    name = "h.0.attn.c_attn.weight"

    def at_fault(tensors):
        return {**tensors, name: np.ascontiguousarray(change(tensors[name]))}

    with pytest.raises(CheckpointError, match=f"{name}: .*{message}"):
        GPTDecoder.from_preset(changed(saved, at_fault))


def test_a_model_of_another_kind_or_size_name_is_refused(saved):
    with pytest.raises(CheckpointError, match="Must be 'bert'. Received: 'gpt2'"):
        BertEncoder.from_preset(saved)
    with pytest.raises(CheckpointError, match="sizes are gpt_tiny.*gpt2_xl"):
        GPTDecoder.from_preset("bert_tiny")


@pytest.mark.parity
@pytest.mark.parametrize("class_name", ["GPT2Model", "GPT2LMHeadModel"])
def test_transformers_opens_what_is_saved_and_computes_the_same(
    gpt, gpt_inputs, saved, class_name
):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs, info = getattr(transformers, class_name).from_pretrained(
        saved, output_loading_info=True
    )
    assert not any(info.values())
    x = gpt_inputs()
    x["padding_mask"][0, 5:] = 0
    with torch.no_grad():
        out = theirs.eval()(
            input_ids=torch.tensor(x["token_ids"]).long(),
            attention_mask=torch.tensor(x["padding_mask"]),
        )[0].numpy()
    ours = outputs(gpt, x) if class_name == "GPT2LMHeadModel" else np.asarray(gpt(x))
    real = x["padding_mask"] == 1
    np.testing.assert_allclose(ours[real], out[real], atol=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("class_name", ["GPT2Model", "GPT2LMHeadModel"])
def test_what_transformers_saves_computes_the_same(gpt_inputs, tmp_path, class_name):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=50,
        n_positions=12,
        n_embd=16,
        n_layer=2,
        n_head=2,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=0,
    )
    theirs = getattr(transformers, class_name)(config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    ours = GPTDecoder.from_preset(tmp_path / "theirs")
    x = gpt_inputs()
    with torch.no_grad():
        out = theirs(input_ids=torch.tensor(x["token_ids"]).long())[0].numpy()
    found = outputs(ours, x) if class_name == "GPT2LMHeadModel" else ours(x)
    np.testing.assert_allclose(found, out, atol=1e-5)
