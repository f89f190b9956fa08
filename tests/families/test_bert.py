import json

import numpy as np
import pytest
import safetensors.numpy

from helpers import SMALL, random_weights
from tfzoo.errors import CheckpointError, OutputError
from tfzoo.families import BertEncoder
from tfzoo.families.bert import BERT


@pytest.fixture(scope="module")
def encoder():
    encoder = BertEncoder(**SMALL)
    return random_weights(encoder, 0.2)


def inputs(length=9, batch=3, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "token_ids": rng.integers(0, 50, (batch, length)).astype(np.int32),
        "segment_ids": rng.integers(0, 2, (batch, length)).astype(np.int32),
        "padding_mask": np.ones((batch, length), np.int32),
    }


def test_segments_and_positions_matter(encoder):
    x = inputs()
    before = encoder(x)["sequence_output"]
    other = {**x, "segment_ids": 1 - x["segment_ids"]}
    assert np.abs(before - encoder(other)["sequence_output"]).max() > 1e-3
    turned = {**x, "token_ids": x["token_ids"][:, ::-1]}
    after = encoder(turned)["sequence_output"]
    assert np.abs(before - after[:, ::-1]).max() > 1e-3


def test_an_empty_batch_gives_an_empty_result(encoder):
    outputs = encoder({k: v[:0] for k, v in inputs().items()})
    assert outputs["sequence_output"].shape == (0, 9, 16)
    assert outputs["pooled_output"].shape == (0, 16)


@pytest.mark.slow
def test_every_length_compiles_with_xla(encoder):
    import tensorflow as tf

    compiled = tf.function(encoder.call, jit_compile=True)
    for length in (4, 12):
        x = {k: tf.constant(v) for k, v in inputs(length).items()}
        np.testing.assert_allclose(
            compiled(x)["pooled_output"], encoder(x)["pooled_output"], atol=1e-5
        )


@pytest.mark.parametrize("name", ["bert_tiny", "bert_mini"])
def test_named_sizes_have_the_published_number_of_parameters(name):
    published = {"bert_tiny": 4_385_920, "bert_mini": 11_170_560}[name]
    weights = BertEncoder.from_preset(name).trainable_variables
    assert sum(np.prod(w.shape) for w in weights) == published


def test_the_table_has_the_published_sizes():
    layers = {name: size["num_layers"] for name, size in BERT.sizes.items()}
    assert layers == {
        "bert_tiny": 2,
        "bert_mini": 4,
        "bert_small": 4,
        "bert_medium": 8,
        "bert_base": 12,
        "bert_large": 24,
    }


def test_a_preset_is_never_overwritten(encoder, tmp_path):
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "note.txt").write_text("mine")
    with pytest.raises(OutputError, match="note|never overwritten"):
        encoder.save_to_preset(tmp_path / "bert")
    assert [p.name for p in (tmp_path / "bert").iterdir()] == ["note.txt"]


def saved(encoder, directory, **changes):
    encoder.save_to_preset(directory)
    path = directory / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, **changes}))
    return directory


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("hidden_act", "mish", "config.json: hidden_act: .*gelu_new.*'mish'"),
        ("position_embedding_type", "relative_key", "position_embedding_type"),
        ("vocab_size", 1e12, "vocab_size: Must be an integer from 1"),
        ("vocab_size", "50", "vocab_size: Must be an integer from 1"),
        ("num_hidden_layers", None, "num_hidden_layers"),
        ("model_type", "gpt2", "model_type: Must be 'bert'"),
        ("num_attention_heads", 3, "must divide hidden_size"),
        ("hidden_size", 32, "The shape must be"),
        ("num_hidden_layers", 3, "The file lacks this weight"),
        ("num_hidden_layers", 1, "encoder.layer.1.*a tensor that the model lacks"),
    ],
)
def test_an_invalid_configuration_is_named(encoder, tmp_path, field, value, message):
    directory = saved(encoder, tmp_path / "bert", **{field: value})
    with pytest.raises(CheckpointError, match=message) as error:
        BertEncoder.from_preset(directory)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t * np.nan, "must be finite"),
        (lambda t: t.astype(np.int32), "floating-point dtype. Received: int32"),
        (lambda t: t[:-1], "The shape must be"),
        (None, "lacks"),
    ],
    ids=["nan", "integer", "shape", "missing"],
)
def test_an_invalid_tensor_is_reported_and_nothing_is_loaded(
    encoder, tmp_path, change, message
):
    directory = tmp_path / "bert"
    encoder.save_to_preset(directory)
    path = directory / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    name = "embeddings.LayerNorm.weight"
    if change is None:
        del tensors[name]
    else:
        tensors[name] = change(tensors[name])
    path.unlink()
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(CheckpointError, match=f"{name}.*{message}"):
        BertEncoder.from_preset(directory)


def test_a_truncated_weight_file_is_reported(encoder, tmp_path):
    encoder.save_to_preset(tmp_path / "bert")
    path = tmp_path / "bert" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="model.safetensors: Not a complete"):
        BertEncoder.from_preset(tmp_path / "bert")
