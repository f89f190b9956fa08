"""Any content of a config.json is read or rejected in one line."""

import copy
import json
import random

import pytest

from tfzoo.errors import TfzooError
from tfzoo.tasks import TextClassifier, TokenClassifier, from_preset

VALUES = (None, True, 0, -1, 1e12, 10**12, "", "relu", [], [1], {}, {"a": []}, 1e400)


@pytest.fixture
def directory(make_encoder, tokenizer, tmp_path):
    task = TextClassifier(make_encoder(), tokenizer, ["no", "yes"])
    task.save_to_preset(tmp_path / "bert")
    return tmp_path / "bert"


def written(directory, config):
    (directory / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("architectures", 5, "architectures: Must be a list of names. Received: 5"),
        ("architectures", [5], r"architectures: Must be a list .* \[5\]"),
        ("model_type", [], "model_type: .*Received: \\[\\]"),
        ("id2label", 3, "id2label: Must have the keys 0, 1"),
        ("id2label", {"1": "a"}, "id2label: Must have the keys 0, 1"),
        ("hidden_size", "8", "hidden_size: Must be an integer.*Received: '8'"),
        (
            "hidden_dropout_prob",
            1,
            r"hidden_dropout_prob: Must be a number in \[0, 1\)",
        ),
        ("layer_norm_eps", 0, r"layer_norm_eps: Must be a number in \(0, 1\)"),
        ("tfzoo", {"class_name": "TextClassifier", "labels": [1]}, "tfzoo.labels"),
    ],
)
def test_an_invalid_field_is_reported(directory, field, value, message):
    config = json.loads((directory / "config.json").read_text())
    config.pop("tfzoo")
    written(directory, config | {field: value})
    with pytest.raises(TfzooError, match=message) as error:
        TextClassifier.from_preset(directory)
    assert "\n" not in str(error.value)


def test_a_dropout_of_integer_zero_is_accepted(directory):
    config = json.loads((directory / "config.json").read_text())
    config["classifier_dropout"] = 0
    written(directory, config)
    assert TextClassifier.from_preset(directory).classifier_dropout == 0


def places(value, above=()):
    """The paths to all values inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*above, key)
        if isinstance(item, dict | list):
            yield from places(item, (*above, key))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_500_mutations_open_or_are_refused_in_one_line(directory):
    rng = random.Random(0)
    config = json.loads((directory / "config.json").read_text())
    refused = 0
    for _ in range(500):
        mutated = copy.deepcopy(config)
        *above, last = rng.choice(list(places(mutated)))
        inner = mutated
        for key in above:
            inner = inner[key]
        if isinstance(inner, dict) and rng.random() < 0.2:
            del inner[last]
        else:
            inner[last] = rng.choice(VALUES)
        written(directory, mutated)
        opener = rng.choice(
            [
                from_preset,
                TextClassifier.from_preset,
                lambda path: TokenClassifier.from_preset(path, labels=["O", "B-X"]),
            ]
        )
        try:
            opener(directory)
        except TfzooError as e:
            refused += 1
            assert "\n" not in str(e)
    assert refused > 200
