"""Any content of a config.json is read or rejected in one line."""

import copy
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfzoo.errors import TfzooError
from tfzoo.families import BertEncoder
from tfzoo.tasks import MaskedLM, TextClassifier, TokenClassifier, from_preset
from tfzoo.tasks.labels import Labels, stored_labels

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


@pytest.mark.parametrize(
    "opener", [from_preset, TextClassifier.from_preset, BertEncoder.from_preset]
)
@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_an_architecture_that_is_not_there_says_which_are(directory, opener, weights):
    config = json.loads((directory / "config.json").read_text())
    config |= {"model_type": "xlnet", "architectures": ["XLNetModel"]}
    written(directory, config)
    (directory / "model.safetensors").rename(directory / weights)
    with pytest.raises(TfzooError) as error:
        opener(directory)
    message = str(error.value)
    assert message.startswith(f"{directory / 'config.json'}: model_type: ")
    assert "bert, " in message and "roberta" in message
    assert message.endswith("Received: 'xlnet'.")


HOSTILE = "<b>a</b>\x1b[2J\n\u202e" + "x" * 200


def test_a_hostile_label_is_kept_and_its_card_is_harmless(directory, tmp_path):
    config = json.loads((directory / "config.json").read_text())
    config |= {"id2label": {"0": HOSTILE, "1": "yes"}, "label2id": None}
    written(directory, config)
    task = TextClassifier.from_preset(directory)
    assert task.labels == (HOSTILE, "yes")
    task.save_to_preset(tmp_path / "copy")
    (line,) = [
        line
        for line in (tmp_path / "copy" / "README.md").read_text().split("\n")
        if line.startswith("| labels ")
    ]
    assert line.isprintable() and len(line) < 150
    assert "&lt;b&gt;a&lt;/b&gt;\\\\x1b" in line and line.endswith("xxx, yes |")
    assert TextClassifier.from_preset(tmp_path / "copy").labels == task.labels


def test_a_card_shows_a_small_number(directory):
    assert "| layer_norm_eps | 1e-12 |" in (directory / "README.md").read_text()


@pytest.mark.parametrize("field", ["id2label", "label2id"])
def test_a_label_must_be_unicode(directory, field):
    config = json.loads((directory / "config.json").read_text())
    labels = {"0": "\ud800", "1": "yes"}
    if field == "label2id":
        labels = {name: int(i) for i, name in labels.items()}
    other = {"id2label": None, "label2id": None}
    written(directory, {**config, **other, field: labels})
    with pytest.raises(TfzooError, match=f"config.json: {field}: ") as error:
        TextClassifier.from_preset(directory)
    assert str(error.value).isprintable()
    with pytest.raises(ValueError, match=r"strings of valid Unicode.*'\\ud800'"):
        Labels(["\ud800", "yes"])


names = st.text(st.characters(codec=None), max_size=9)
values = st.none() | st.booleans() | st.integers(-1, 2**70) | st.floats() | names
values = st.recursive(values, lambda x: st.lists(x) | st.dictionaries(names, x))
ids = st.dictionaries(st.sampled_from(["0", "1", "2", "x", "00"]), values)


@given(
    config=st.fixed_dictionaries(
        {},
        optional={
            "id2label": values | ids,
            "label2id": values | st.dictionaries(names, st.integers(0, 2)),
            "num_labels": st.none() | st.integers(-1, 9) | st.just(2**40) | names,
        },
    )
)
def test_any_labels_are_read_or_refused_in_one_line(config, tmp_path):
    path = tmp_path / "config.json"
    try:
        labels = stored_labels(config, path)
    except TfzooError as error:
        message = str(error)
        assert message.startswith(f"{path}: ") and len(message) < 1000
        assert not {"\n", "\x1b", "\u202e"} & {*message}
    else:
        assert labels and all(isinstance(name, str) for name in labels)
        "".join(labels).encode("utf-8")


def test_a_tokenizer_without_a_token_is_named_with_its_directory(directory):
    lines = (directory / "vocab.txt").read_text().split("\n")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (directory / name).unlink()
    (directory / "vocab.txt").write_text("\n".join(lines).replace("[MASK]", "[ASK]"))
    with pytest.raises(TfzooError, match="mask token") as error:
        MaskedLM.from_preset(directory)
    assert str(error.value).startswith(str(directory))


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
            assert str(e).isprintable() and str(directory) in str(e)
    assert refused > 200
