"""Models pushed to a hub, and opened from it by reference."""

import numpy as np
import pytest

from tfzoo import tasks
from tfzoo.errors import CheckpointError
from tfzoo.families import BertEncoder
from tfzoo.tasks import TextClassifier
from tfzoo.text import WordPieceTokenizer, tokenizer_from_preset

# huggingface_hub uploads files in a way that its HTTP library has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]
SIZES = dict(
    vocabulary_size=len(VOCABULARY),
    num_layers=1,
    num_heads=2,
    hidden_dim=8,
    intermediate_dim=16,
    max_sequence_length=12,
)


@pytest.fixture
def classifier():
    tokenizer = WordPieceTokenizer(VOCABULARY)
    return TextClassifier(BertEncoder(**SIZES), tokenizer, labels=["no", "yes"])


@pytest.fixture
def logged_in(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", hub.token)


def test_a_pushed_task_opens_by_reference(hub, logged_in, classifier):
    address = classifier.push_to_hub("org/mini", training_data="ten reviews")
    files = hub.repositories["org/mini"].commits[address.rsplit("/", 1)[1]]
    assert b"ten reviews" in files["README.md"]
    texts = ["good film", "bad"]
    expected = classifier.predict(texts, verbose=0)
    for opened in (TextClassifier.from_preset, tasks.from_preset):
        again = opened("hf://org/mini")
        assert isinstance(again, TextClassifier)
        np.testing.assert_array_equal(again.predict(texts, verbose=0), expected)
    assert tokenizer_from_preset("hf://org/mini").vocabulary == tuple(VOCABULARY)
    read = WordPieceTokenizer.from_preset("hf://org/mini")
    assert read.tokenize("bad film") == [6, 7]


def test_a_pushed_backbone_opens_by_reference(hub, logged_in):
    encoder = BertEncoder(**SIZES)
    first = encoder.push_to_hub("org/encoder").rsplit("/", 1)[1]
    weight = encoder.weights[0]
    before = np.array(weight)
    weight.assign(before + 1)
    encoder.push_to_hub("org/encoder")
    opened = BertEncoder.from_preset("hf://org/encoder")
    np.testing.assert_array_equal(opened.weights[0], before + 1)
    opened = BertEncoder.from_preset(f"hf://org/encoder@{first}")
    np.testing.assert_array_equal(opened.weights[0], before)


def test_a_new_repository_is_private_if_requested(hub):
    BertEncoder(**SIZES).push_to_hub("org/secret", private=True, token=hub.token)
    assert hub.repositories["org/secret"].private


def test_missing_write_permission_is_reported(hub, classifier):
    with pytest.raises(CheckpointError, match="hf://org/mini: .* status 401. Log in"):
        classifier.push_to_hub("org/mini", token="hf_of_another")


def test_the_names_of_a_repository_are_checked_first(hub, classifier):
    with pytest.raises(CheckpointError, match="hf://ORG/NAME"):
        classifier.push_to_hub("../mini")
    assert hub.requests == []
