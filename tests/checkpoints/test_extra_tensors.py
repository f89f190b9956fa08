"""Extra tensors in files of weights, and prefixes of tensor names."""

import json
import logging
import re

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tfzoo.errors import CheckpointError
from tfzoo.families import BertEncoder, GPTDecoder

SIZES = dict(num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16)


@pytest.fixture(scope="module")
def backbones():
    return {
        "bert": BertEncoder(11, **SIZES, max_sequence_length=6),
        "gpt2": GPTDecoder(11, **SIZES, max_sequence_length=6),
    }


@pytest.fixture
def written(backbones, tmp_path):
    """Function that saves a backbone with changed tensors and a changed config.json."""

    def write(name, tensors, **fields):
        path = tmp_path / name
        backbones[name].save_to_preset(path)
        weights = path / "model.safetensors"
        save_file(tensors(load_file(weights)), weights)
        config = json.loads((path / "config.json").read_text()) | fields
        (path / "config.json").write_text(json.dumps(config))
        return path

    return write


EXTRA = {
    "bert": {
        "loss_fct.weight": np.ones(2, np.float32),
        "loss_fct.pos_weight": np.ones(2, np.float32),
        "loss.0.weight": np.ones(2, np.float32),
        "head.loss_fn.weight": np.ones(2, np.float32),
        "focal_loss.alpha": np.ones((), np.float32),
        "criterion.weight": np.full(2, np.nan, np.float32),
        "pos_weight": np.ones(2, np.float16),
        "class_weights": np.ones(2, np.float64),
        "embeddings.position_ids": np.arange(6)[None],
        "embeddings.token_type_ids": np.zeros((1, 6), np.int64),
        "cls.predictions.decoder.weight": np.ones((11, 8), np.float32),
        "classifier.weight": np.ones((2, 8), np.float32),
    },
    "gpt2": {
        "h.0.attn.bias": np.tril(np.ones((1, 1, 6, 6), np.uint8)),
        "h.0.attn.masked_bias": np.full((), -1e4, np.float32),
        "score.weight": np.ones((2, 8), np.float32),
        "loss_fct.weight": np.ones(2, np.float32),
    },
}


@pytest.mark.parametrize("name", EXTRA)
def test_tensors_that_no_task_uses_are_skipped_and_logged(
    written, backbones, name, caplog
):
    path = written(name, lambda tensors: tensors | EXTRA[name])
    with caplog.at_level(logging.INFO, "tfzoo"):
        found = type(backbones[name]).from_preset(path)
    told = next(r.message for r in caplog.records if r.message.startswith("Unused"))
    assert told == f"Unused: {', '.join(sorted(EXTRA[name]))}"
    assert "random" not in caplog.text
    for a, b in zip(found.get_weights(), backbones[name].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_copy_of_the_tied_output_is_not_called_unused(written, caplog):
    path = written("gpt2", lambda x: x | {"lm_head.weight": x["wte.weight"]})
    with caplog.at_level(logging.INFO, "tfzoo"):
        GPTDecoder.from_preset(path)
    assert "Unused" not in caplog.text


@pytest.mark.parametrize(
    "extra", ["crf.transitions", "encoder.layer.0.adapter.weight", "glossary.weight"]
)
def test_a_weight_that_may_change_the_answers_is_refused(written, extra):
    path = written("bert", lambda ts: ts | {extra: np.ones((2, 2), np.float32)})
    with pytest.raises(CheckpointError, match=f"{extra}: The file has a tensor that"):
        BertEncoder.from_preset(path)


@pytest.mark.parametrize("value", [True, False, None])
def test_an_encoder_has_no_output_layer_to_tie(written, value):
    path = written("bert", dict, tie_word_embeddings=value)
    BertEncoder.from_preset(path)


def test_a_decoder_whose_output_layer_is_not_tied_is_refused(written):
    path = written("gpt2", dict, tie_word_embeddings=False)
    with pytest.raises(CheckpointError, match="tie_word_embeddings: Only True is"):
        GPTDecoder.from_preset(path)


def test_a_copy_of_the_embedding_is_accepted(written):
    def with_copy(tensors):
        return tensors | {"lm_head.weight": tensors["wte.weight"]}

    GPTDecoder.from_preset(written("gpt2", with_copy, tie_word_embeddings=False))


@pytest.mark.parametrize("name", ["bert", "gpt2"])
@pytest.mark.parametrize(
    ("wrap", "pieces"),
    [
        (lambda n: f"module.{n}", ["module."]),
        (lambda n: f"_orig_mod.{n}", ["_orig_mod."]),
        (lambda n: f"_orig_mod.module.{n}", ["_orig_mod.", "module."]),
        (lambda n: f"model.{n}", ["model."]),
        (lambda n: f"net.encoder.{n}", ["net.encoder."]),
        (lambda n: f"model._orig_mod.{n}", ["_orig_mod.", "model."]),
        (lambda n: re.sub(r"^(encoder.layer|h)\.0\.", r"\g<0>_orig_mod.", n), None),
        (lambda n: re.sub(r"^(embeddings|wte)\.", r"\g<0>_orig_mod.", n), None),
    ],
)
def test_a_wrapper_in_the_names_is_reported_with_the_fix(
    written, backbones, name, wrap, pieces
):
    path = written(name, lambda ts: {wrap(n): t for n, t in ts.items()})
    opened = type(backbones[name]).from_preset
    with pytest.raises(CheckpointError) as error:
        opened(path)
    text = str(error.value)
    assert "\n" not in text
    for piece in pieces or ["_orig_mod."]:
        assert f"{piece!r}" in text.split("which a wrapper added")[0]
    # Do what the message suggests.
    weights = path / "model.safetensors"
    steps = re.findall(r"\.replace\('(.+?)', ''\)", text)
    tensors = load_file(weights)
    for step in steps:
        tensors = {n.replace(step, ""): t for n, t in tensors.items()}
    save_file(tensors, weights)
    opened(path)
