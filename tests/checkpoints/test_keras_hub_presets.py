"""KerasHub presets, saved by KerasHub, compute the same here."""

import json
import logging
import shutil
import sys

import h5py
import keras_hub
import numpy as np
import pytest

from helpers import random_weights
from tfzoo.errors import CheckpointError, TfzooError
from tfzoo.families import BertEncoder, DistilBertEncoder, GPTDecoder, RobertaEncoder
from tfzoo.families.opening import open_checkpoint
from tfzoo.tasks import CausalLM, MaskedLM
from tfzoo.text import tokenizer_from_preset

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, "a", "b", "##c", "good", "film", "é", "e"]
OPENS = {
    "BertBackbone": BertEncoder,
    "RobertaBackbone": RobertaEncoder,
    "DistilBertBackbone": DistilBertEncoder,
    "GPT2Backbone": GPTDecoder,
}
SIZES = dict(
    vocabulary_size=30,
    num_layers=2,
    num_heads=2,
    hidden_dim=8,
    intermediate_dim=24,
    max_sequence_length=10,
)


def make(class_name):
    """A KerasHub backbone whose weights are not all tiny."""
    backbone = getattr(keras_hub.models, class_name)(**SIZES)
    return random_weights(backbone, 0.4)


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    """Dict of class -> (KerasHub model, directory of its preset)."""
    found = {}
    for name in OPENS:
        directory = tmp_path_factory.mktemp("presets") / name
        model = make(name)
        model.save_to_preset(directory)
        found[name] = model, directory
    return found


@pytest.fixture
def preset(presets, tmp_path):
    """A copy of the BERT preset, for the test to damage."""
    return shutil.copytree(presets["BertBackbone"][1], tmp_path / "preset")


def edit(directory, change, name="config.json"):
    content = json.loads((directory / name).read_text())
    change(content)
    (directory / name).write_text(json.dumps(content))


def refused(directory):
    with pytest.raises(TfzooError) as raised:
        open_checkpoint(directory)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def inputs():
    rng = np.random.default_rng(1)
    mask = (np.arange(9) < [[9], [5]]).astype(np.int32)
    return {
        "token_ids": rng.integers(5, 30, (2, 9)).astype(np.int32) * mask,
        "segment_ids": (np.arange(9) > 3).astype(np.int32) * mask,
        "padding_mask": mask,
    }


@pytest.mark.parametrize("class_name", OPENS)
def test_a_preset_computes_what_keras_hub_computes(presets, class_name, caplog):
    theirs, directory = presets[class_name]
    # KerasHub uses the tanh form for BERT; all others use what they were trained with.
    options = {"activation": "gelu_tanh"} if class_name == "BertBackbone" else {}
    with caplog.at_level(logging.WARNING, "tfzoo"):
        ours = OPENS[class_name].from_preset(directory, **options)
    fed = {name: inputs()[name] for name in theirs.input}
    expected, found = theirs(fed), ours(fed)
    expected = expected if isinstance(expected, dict) else {"": expected}
    found = found if isinstance(found, dict) else {"": found}
    if class_name == "RobertaBackbone":
        assert "New, random weights: pooler/bias, pooler/kernel" in caplog.text
        expected = {"sequence_output": expected[""]}
        del found["pooled_output"]
    elif class_name == "DistilBertBackbone":
        expected = {"sequence_output": expected[""]}
    assert expected.keys() == found.keys()
    kept = fed["padding_mask"].astype(bool)
    for name in found:
        a, b = np.asarray(expected[name]), np.asarray(found[name])
        a, b = (a[kept], b[kept]) if a.ndim == 3 else (a, b)
        assert np.abs(a).max() > 0.5
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-5)


def test_bert_opens_with_the_error_function_gelu_its_weights_were_trained_with(presets):
    theirs, directory = presets["BertBackbone"]
    ours = BertEncoder.from_preset(directory)
    assert ours.activation == "gelu"
    difference = ours(inputs())["sequence_output"] - theirs(inputs())["sequence_output"]
    assert np.abs(difference).max() > 1e-4


@pytest.mark.parametrize("class_name", OPENS)
def test_shapes_are_known_without_reading(presets, class_name):
    tensors = open_checkpoint(presets[class_name][1]).tensors
    for name in tensors.names:
        array = tensors.read(name)
        assert (array.shape, array.dtype) == (tensors.shape(name), tensors.dtype(name))


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("name", ["BertTokenizer", "DistilBertTokenizer"])
def test_wordpiece_ids_are_those_of_keras_hub(presets, tmp_path, name, lowercase):
    theirs = getattr(keras_hub.tokenizers, name)(WORDS, lowercase=lowercase)
    theirs.save_to_preset(tmp_path)
    ours = tokenizer_from_preset(tmp_path)
    assert ours.vocabulary == tuple(WORDS)
    assert ours.lowercase == lowercase
    texts = ["a good film", "A bc é E", "Good", "x"]
    assert ours.tokenize(texts) == [np.asarray(theirs(t)).tolist() for t in texts]


def test_byte_pair_vocabularies_are_read_as_keras_hub_wrote_them(tmp_path):
    letters = sorted(byte_letters())
    vocabulary = {t: i for i, t in enumerate([*letters, "ab", "<|endoftext|>"])}
    theirs = keras_hub.tokenizers.GPT2Tokenizer(vocabulary, ["a b"])
    theirs.save_to_preset(tmp_path)
    ours = tokenizer_from_preset(tmp_path)
    assert ours.vocabulary == tuple(vocabulary)
    assert ours.merges == (("a", "b"),)
    assert ours.end_id == 257
    assert ours.tokenize("ab!") == [256, letters.index("!")]


def test_roberta_tokenizes_as_its_files_specify(tmp_path):
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokens = [*special, *sorted(byte_letters()), "ab", "<mask>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    theirs = keras_hub.tokenizers.RobertaTokenizer(vocabulary, ["a b"])
    theirs.save_to_preset(tmp_path)
    ours = tokenizer_from_preset(tmp_path)
    assert (ours.cls_id, ours.pad_id, ours.sep_id) == (0, 1, 2)
    assert ours.mask_id == len(tokens) - 1
    assert ours.tokenize("ab") == [len(tokens) - 2]


def byte_letters():
    from tfzoo.text.byte_bpe.byte_alphabet import CHARACTERS

    return CHARACTERS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"registered_name": "keras_hub>OPTTokenizer"}, "Received: 'OPTTokenizer'"),
        ({"registered_name": None}, "registered_name"),
        ({"config": {"suffix_indicator": "@@"}}, "config.suffix_indicator"),
        ({"config": {"split": False}}, "config.split"),
        ({"config": {"lowercase": "yes"}}, "config.lowercase"),
        ({"config": {"oov_token": 3}}, "A token must be a string"),
    ],
)
def test_a_tokenizer_of_another_kind_is_refused(tmp_path, change, message):
    keras_hub.tokenizers.BertTokenizer(WORDS).save_to_preset(tmp_path)
    edit(tmp_path, lambda content: content.update(change), "tokenizer.json")
    with pytest.raises(TfzooError, match=message):
        tokenizer_from_preset(tmp_path)


@pytest.mark.slow
def test_a_named_preset_comes_from_kaggles_cache(presets, tmp_path, monkeypatch):
    model = keras_hub.models.BertBackbone
    handle = model.presets["bert_tiny_en_uncased"]["kaggle_handle"]
    place = "models/" + handle.removeprefix("kaggle://")
    cached = tmp_path / place
    shutil.copytree(presets["BertBackbone"][1], cached)
    keras_hub.tokenizers.BertTokenizer(WORDS).save_to_preset(cached)
    marks = cached.parent / ".complete" / cached.name
    for path in [p for p in cached.rglob("*") if p.is_file()]:
        mark = marks / f"{path.relative_to(cached)}.complete"
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    opened = BertEncoder.from_preset("keras_hub://bert_tiny_en_uncased")
    assert opened.hidden_dim == SIZES["hidden_dim"]
    tokenizer = tokenizer_from_preset("keras_hub://bert_tiny_en_uncased")
    assert tokenizer.vocabulary == tuple(WORDS)


def test_weights_that_cannot_be_read_are_not_downloaded(monkeypatch):
    import kagglehub

    monkeypatch.setattr(kagglehub, "model_download", lambda *_: pytest.fail("asked"))
    name = next(iter(keras_hub.models.GemmaBackbone.presets))
    with pytest.raises(CheckpointError, match="one of BertBackbone, .*: GemmaBackbone"):
        BertEncoder.from_preset(f"keras_hub://{name}")


def test_a_name_that_keras_hub_does_not_have_is_refused():
    with pytest.raises(CheckpointError, match="keras_hub://bert_huge: KerasHub has no"):
        BertEncoder.from_preset("keras_hub://bert_huge")
    with pytest.raises(CheckpointError, match="KerasHub has no such preset") as error:
        BertEncoder.from_preset("keras_hub://\x1b[2J\n" + "x" * 5000)
    assert str(error.value).isprintable() and len(str(error.value)) < 1000


def test_without_keras_hub_the_error_says_how_to_install_it(preset, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    assert "pip install keras-hub" in refused(preset)


def set_field(name, value):
    return lambda content: content["config"].__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(registered_name="keras_hub>T5Backbone"), "T5Backbone"),
        (lambda c: c.update(registered_name="Custom>BertBackbone"), "registered_name"),
        (lambda c: c.update(registered_name="Functional"), "registered_name"),
        (lambda c: c.update(registered_name=["keras_hub>BertBackbone"]), "registered"),
        (lambda c: c.pop("config"), "config: Must be an object"),
        (lambda c: c["config"].pop("num_layers"), "num_layers: The field is missing"),
        (set_field("num_layers", 10**12), "num_layers: Must be an integer"),
        (set_field("vocabulary_size", 10**7), "must have the 80001656 weights"),
        (set_field("num_layers", 3), "16 arrays per layer"),
        (set_field("num_heads", 3), "num_attention_heads must divide hidden_size"),
        (set_field("hidden_dim", "8"), "hidden_dim: Must be an integer"),
        (set_field("activation", "relu"), "config.activation"),
        (set_field("num_layers", 1), "Received: .* in 39"),
        (set_field("intermediate_dim", 20), "weights of the same model"),
    ],
)
def test_an_invalid_configuration_is_named(preset, change, message):
    edit(preset, change)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(preset)
    refused(preset)


def test_no_object_is_deserialized_from_the_configuration(preset):
    # Keras would import and call this if the file were deserialized.
    made = {"module": "shutil", "class_name": "rmtree", "config": {"path": str(preset)}}
    made["registered_name"] = None
    edit(preset, set_field("num_layers", made))
    assert "num_layers: Must be an integer" in refused(preset)
    edit(preset, set_field("num_layers", 2))
    edit(preset, set_field("dtype", made))
    edit(preset, lambda c: c.update(module="os", class_name="system"))
    open_checkpoint(preset)  # neither is read
    assert preset.exists()


def test_a_file_that_refers_to_another_is_refused(preset, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(8 * 4))
    with h5py.File(preset / "model.weights.h5", "r+") as file:
        place = "layers/dense/vars/1"
        del file[place]
        file.create_dataset(place, (8,), "float32", external=[(str(secret), 0, 32)])
    assert "must not refer to other files" in refused(preset)
    with h5py.File(preset / "model.weights.h5", "r+") as file:
        del file[place]
        file[place] = h5py.ExternalLink(str(secret), "/x")
    assert "no links" in refused(preset)


def test_a_group_within_itself_is_refused(preset):
    with h5py.File(preset / "model.weights.h5", "r+") as file:
        file["layers/dense/again"] = file["layers"]
    assert "again: Each object must have a single name" in refused(preset)


def test_thousands_of_groups_are_refused(preset):
    with h5py.File(preset / "model.weights.h5", "r+") as file:
        for name in range(5_000):
            file.create_group(f"layers/{name}")
    assert "at most 5000 arrays and groups" in refused(preset)


def test_the_right_number_of_weights_in_other_shapes_is_refused(preset):
    with h5py.File(preset / "model.weights.h5", "r+") as file:
        place = file["layers/dense/vars"]
        kernel = place["0"][()]
        del place["0"]
        place["0"] = kernel.reshape(4, 16)
    assert "KerasHub cannot read the weights" in refused(preset)


def test_an_extra_weight_is_refused(preset):
    with h5py.File(preset / "model.weights.h5", "r+") as file:
        file["layers/more/vars/0"] = np.zeros(3, np.float32)
    assert "Received: 1899 weights in 40 arrays" in refused(preset)


def test_nan_is_refused(preset):
    with h5py.File(preset / "model.weights.h5", "r+") as file:
        file["layers/dense/vars/1"][0] = np.nan
    with pytest.raises(CheckpointError, match="pooler.dense.bias: .* finite"):
        BertEncoder.from_preset(preset)


@pytest.mark.parametrize("keep", [0, 7, 100, 3000, -1])
def test_a_truncated_file_is_refused(preset, keep):
    path = preset / "model.weights.h5"
    path.write_bytes(path.read_bytes()[:keep])
    assert "model.weights.h5" in refused(preset)


def scramble(content, rng):
    """The bytes with a few changed, a piece removed, or a piece repeated."""
    content = bytearray(content)
    kind, at = rng.integers(3), rng.integers(len(content))
    size = int(rng.integers(1, 1 + len(content) // 4))
    if kind == 0:
        for _ in range(rng.integers(1, 9)):
            content[rng.integers(len(content))] = rng.integers(256)
    elif kind == 1:
        del content[at : at + size]
    else:
        content[at:at] = content[at : at + size]
    return bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_scrambled_file_opens_or_is_refused(preset, name):
    rng = np.random.default_rng(0)
    content, refusals = (preset / name).read_bytes(), 0
    for _ in range(500):
        (preset / name).write_bytes(scramble(content, rng))
        try:
            tensors = open_checkpoint(preset).tensors
            for tensor in tensors.names:
                tensors.read(tensor)
        except TfzooError as e:
            assert "\n" not in str(e)
            refusals += 1
    assert refusals > 100


def test_tasks_open_a_preset_with_the_requested_activation(tmp_path):
    sizes = {**SIZES, "vocabulary_size": len(WORDS)}
    keras_hub.models.BertBackbone(**sizes).save_to_preset(tmp_path / "bert")
    keras_hub.tokenizers.BertTokenizer(WORDS).save_to_preset(tmp_path / "bert")
    assert MaskedLM.from_preset(tmp_path / "bert").backbone.activation == "gelu"
    task = MaskedLM.from_preset(tmp_path / "bert", activation="gelu_tanh")
    assert task.backbone.activation == "gelu_tanh"
    task.save_to_preset(tmp_path / "saved")
    assert MaskedLM.from_preset(tmp_path / "saved").backbone.activation == "gelu_tanh"


def test_gpt2_of_keras_hub_is_a_causal_lm(tmp_path):
    letters = [*sorted(byte_letters()), "ab", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(letters)}
    theirs = keras_hub.models.GPT2Backbone(**{**SIZES, "vocabulary_size": 258})
    theirs.save_to_preset(tmp_path)
    keras_hub.tokenizers.GPT2Tokenizer(vocabulary, ["a b"]).save_to_preset(tmp_path)
    ours = CausalLM.from_preset(tmp_path)
    ids = np.array([ours.tokenizer.tokenize("abcd")], np.int32)
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    expected = theirs.token_embedding(theirs(inputs), reverse=True)
    np.testing.assert_allclose(ours(inputs), expected, rtol=0, atol=1e-5)
