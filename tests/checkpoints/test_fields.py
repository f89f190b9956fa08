"""Defaults of `config.json`, and names of activation functions."""

import json

import numpy as np
import pytest
from scipy.special import erf

from tfzoo.families import BertEncoder, DistilBertEncoder
from tfzoo.layers import gelu, gelu_tanh
from tfzoo.tasks import TextClassifier
from tfzoo.text import WordPieceTokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]
SIZES = dict(num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16)
X = np.linspace(-4, 4, 33)


def by_tanh(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


# As `transformers` computes them (its ACT2FN)
FUNCTIONS = {
    "gelu": 0.5 * X * (1 + erf(X / np.sqrt(2))),
    "gelu_python": 0.5 * X * (1 + erf(X / np.sqrt(2))),
    "gelu_new": by_tanh(X),
    "gelu_pytorch_tanh": by_tanh(X),
    "gelu_fast": by_tanh(X),
    "relu": np.maximum(X, 0),
}


def edited(directory, **fields):
    path = directory / "config.json"
    config = json.loads(path.read_text())
    for name, value in fields.items():
        config.pop(name) if value is None else config.update({name: value})
    path.write_text(json.dumps(config))
    return directory


@pytest.fixture
def bert(tmp_path):
    BertEncoder(len(WORDS), **SIZES).save_to_preset(tmp_path / "bert")
    return tmp_path / "bert"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_activation_names_mean_what_they_do_in_transformers(bert, name):
    encoder = BertEncoder.from_preset(edited(bert, hidden_act=name))
    function = encoder.get_layer("transformer_layer_0").feed_forward
    found = function.activation_function(X.astype(np.float32))
    np.testing.assert_allclose(found, FUNCTIONS[name], atol=1e-6)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("gelu", "gelu"), ("gelu_tanh", "gelu_new"), ("relu", "relu"), ("silu", "silu")],
)
def test_an_activation_is_written_with_the_first_of_its_names(ours, theirs):
    encoder = BertEncoder(len(WORDS), **SIZES, activation=ours)
    assert BertEncoder.family.to_config(encoder.get_config())["hidden_act"] == theirs


def test_the_two_gelus_can_be_told_apart():
    x = X.astype(np.float32)
    assert np.abs(np.asarray(gelu(x)) - np.asarray(gelu_tanh(x))).max() > 1e-4


def test_the_dropout_of_distilberts_head_defaults_to_a_fifth(tmp_path):
    encoder = DistilBertEncoder(len(WORDS), **SIZES, dropout=0.1)
    task = TextClassifier(encoder, WordPieceTokenizer(WORDS), ["x", "y"])
    task.save_to_preset(tmp_path / "task")
    directory = edited(tmp_path / "task", seq_classif_dropout=None, tfzoo=None)
    found = TextClassifier.from_preset(directory)
    (head,) = (layer for layer in found.layers if hasattr(layer, "input_dropout"))
    assert (head.dropout, head.input_dropout) == (0.2, 0.0)
