"""Converted checkpoints open in `transformers` and compute the same."""

import json
import pathlib

import numpy as np
import pytest

from helpers import recipe
from tfzoo.errors import CheckpointError, OutputError
from tfzoo.families import BertEncoder
from tfzoo.tasks import MaskedLM, TextClassifier
from tfzoo.text import WordPieceTokenizer, tokenizer_from_preset

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = [*SPECIAL, *"abcdefgh", *(f"##{c}" for c in "abcdefgh")]
SIZES = dict(
    vocab_size=len(VOCABULARY),
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=12,
)
ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def convert():
    return recipe("convert_checkpoint").main


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Directory of a classifier."""
    encoder = BertEncoder(len(VOCABULARY), 1, 2, 8, 16, max_sequence_length=12)
    task = TextClassifier(encoder, WordPieceTokenizer(VOCABULARY), labels=["a", "b"])
    directory = tmp_path_factory.mktemp("classifier") / "preset"
    task.save_to_preset(directory)
    return directory


def tensors(directory):
    import ml_dtypes  # noqa: F401
    import safetensors.numpy

    found = {}
    for path in sorted(directory.glob("*.safetensors")):
        found |= safetensors.numpy.load_file(path)
    return found


def test_the_task_defaults_to_the_one_in_the_checkpoint(convert, classifier, tmp_path):
    convert(str(classifier), tmp_path / "out")
    before, after = tensors(classifier), tensors(tmp_path / "out")
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])
    opened = TextClassifier.from_preset(tmp_path / "out")
    assert opened.labels == ("a", "b")


def test_another_task_reports_new_and_unused_weights(
    convert, classifier, tmp_path, caplog, capsys
):
    convert(str(classifier), tmp_path / "out", task="MaskedLM")
    assert "New, random weights: masked_lm_head/bias" in caplog.text
    assert "Unused: bert.pooler.dense.bias" in caplog.text
    assert "classifier.weight" in caplog.text
    assert "MaskedLM of BertEncoder" in capsys.readouterr().out
    assert isinstance(MaskedLM.from_preset(tmp_path / "out"), MaskedLM)


def test_half_precision_and_shards(convert, classifier, tmp_path):
    convert(str(classifier), tmp_path / "out", dtype="bfloat16", max_shard_size=1000)
    assert len([*(tmp_path / "out").glob("model-*.safetensors")]) > 1
    before = tensors(classifier)
    for name, after in tensors(tmp_path / "out").items():
        assert after.dtype == "bfloat16"
        np.testing.assert_array_equal(before[name].astype(after.dtype), after)


def test_a_converted_keras_hub_preset_opens_without_keras_hub(
    convert, tmp_path, capsys
):
    import keras_hub

    keras_hub.models.BertBackbone(
        len(VOCABULARY), 1, 2, 8, 16, max_sequence_length=12
    ).save_to_preset(tmp_path / "in")
    keras_hub.tokenizers.BertTokenizer(VOCABULARY).save_to_preset(tmp_path / "in")
    convert(str(tmp_path / "in"), tmp_path / "out")
    assert "BertEncoder of BertEncoder" in capsys.readouterr().out
    before = BertEncoder.from_preset(tmp_path / "in")
    after = BertEncoder.from_preset(tmp_path / "out")
    for a, b in zip(before.weights, after.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    tokenizer = tokenizer_from_preset(tmp_path / "out")
    assert tokenizer.vocabulary == tuple(VOCABULARY)
    assert not tokenizer.lowercase


@pytest.mark.parity
def test_a_converted_google_checkpoint_opens_in_transformers(
    convert, shared_data, tmp_path
):
    transformers = pytest.importorskip("transformers")
    toy = shared_data / "ckpt_tf1_bert_toy"
    convert(str(toy), tmp_path / "out")
    model, told = transformers.AutoModelForPreTraining.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not any(told.values())
    assert type(model).__name__ == "BertForPreTraining"
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    text = "the film was good"
    ours = tokenizer_from_preset(toy)
    assert tokenizer(text, add_special_tokens=False).input_ids == ours.tokenize(text)


@pytest.mark.parity
@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertForSequenceClassification"])
def test_a_transformers_directory_is_converted_bit_for_bit(convert, tmp_path, kind):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(**SIZES)
    model = getattr(transformers, kind)(config)
    model.save_pretrained(tmp_path / "in")
    WordPieceTokenizer(VOCABULARY).save_to_preset(tmp_path / "in")
    convert(str(tmp_path / "in"), tmp_path / "out")
    again, told = getattr(transformers, kind).from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not any(told.values())
    after = again.state_dict()
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), after[name].numpy())


def test_nothing_is_overwritten_and_an_unknown_task_is_named(
    convert, classifier, tmp_path
):
    with pytest.raises(OutputError):
        convert("nowhere", classifier)
    with pytest.raises(ValueError, match="one of BertPretrainer.* Received: 'Oracle'"):
        convert(str(classifier), tmp_path / "out", task="Oracle")
    with pytest.raises(CheckpointError, match="nowhere: .* does not exist"):
        convert("nowhere", tmp_path / "out")


def test_an_unsupported_architecture_is_named(convert, classifier, tmp_path):
    import shutil

    copy = shutil.copytree(classifier, tmp_path / "in")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(
        json.dumps(
            {**config, "model_type": "xlnet", "architectures": ["XL"], "tfzoo": {}}
        )
    )
    with pytest.raises(CheckpointError, match="model_type: Must be one of bart"):
        convert(str(copy), tmp_path / "out")
