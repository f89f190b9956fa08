"""Every architecture with every head, opened from `transformers` and saved again."""

import numpy as np
import pytest

from tfzoo import tasks
from tfzoo.text import WordPieceTokenizer

pytestmark = pytest.mark.parity

LABELS = ["O", "B-place", "I-place"]
# Task -> its class in `transformers`, and the outputs of that in the order of ours
HEADS = {
    "BertPretrainer": ("PreTraining", ["prediction_logits", "seq_relationship_logits"]),
    "MaskedLM": ("MaskedLM", ["logits"]),
    "TextClassifier": ("SequenceClassification", ["logits"]),
    "TokenClassifier": ("TokenClassification", ["logits"]),
    "QuestionAnswerer": ("QuestionAnswering", ["start_logits", "end_logits"]),
    "CausalLM": ("CausalLM", ["logits"]),
}
SIZES = {
    "bert": dict(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    ),
    "distilbert": dict(
        dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=40
    ),
    "gpt2": dict(n_embd=16, n_layer=2, n_head=2, n_positions=40),
}
SIZES["roberta"] = {**SIZES["bert"], "pad_token_id": 1, "type_vocab_size": 1}
ENCODER_HEADS = ["MaskedLM", "TextClassifier", "TokenClassifier", "QuestionAnswerer"]
CASES = [
    *(("bert", head) for head in ["BertPretrainer", *ENCODER_HEADS]),
    *(("roberta", head) for head in ENCODER_HEADS),
    *(("distilbert", head) for head in ENCODER_HEADS),
    ("gpt2", "CausalLM"),
]


@pytest.fixture
def tokenizer(request, architecture):
    """A tokenizer whose pad token has the id of the architecture."""
    if architecture == "gpt2":
        return request.getfixturevalue("byte_tokenizer")
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    if architecture == "roberta":
        special[:2] = "[CLS]", "[PAD]"
    return WordPieceTokenizer([*special, *"abcdefghijklmnopqrstuvwxyz"])


@pytest.fixture
def theirs(architecture, head, tokenizer):
    """A model of `transformers` whose weights and biases are far from zero."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    labels = LABELS if head in ("TextClassifier", "TokenClassifier") else None
    config = transformers.AutoConfig.for_model(
        architecture,
        vocab_size=tokenizer.vocabulary_size,
        initializer_range=0.2,
        **({} if labels is None else {"id2label": dict(enumerate(labels))}),
        **SIZES[architecture],
    )
    model = getattr(transformers, f"AutoModelFor{HEADS[head][0]}").from_config(config)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model.eval()


@pytest.fixture
def inputs(architecture, tokenizer):
    rng = np.random.default_rng(0)
    ids = rng.integers(5, tokenizer.vocabulary_size, (3, 11)).astype(np.int32)
    mask = (np.arange(11) < np.array([[11], [7], [1]])).astype(np.int32)
    if architecture != "gpt2":  # it has no id for padding
        ids = np.where(mask, ids, tokenizer.pad_id)
    segments = rng.integers(0, 2, ids.shape).astype(np.int32)
    positions = np.tile(np.arange(11, dtype=np.int32), (3, 1))
    return {
        "token_ids": ids,
        "segment_ids": segments * mask,
        "padding_mask": mask,
        "mask_positions": positions,
    }


def outputs_of(model, inputs, names):
    """The outputs of a model of `transformers`, as arrays."""
    import torch

    named = {
        "input_ids": torch.tensor(inputs["token_ids"]),
        "attention_mask": torch.tensor(inputs["padding_mask"]),
    }
    if model.config.model_type == "bert":
        named["token_type_ids"] = torch.tensor(inputs["segment_ids"])
    with torch.no_grad():
        outputs = model(**named)
    return [outputs[name].numpy() for name in names]


def outputs_of_task(task, inputs):
    outputs = task(inputs, training=False)
    if isinstance(outputs, dict):
        return [np.array(outputs[name]) for name in task.output_names_in_order()]
    outputs = np.array(outputs)
    if isinstance(task, tasks.QuestionAnswerer):
        return [outputs[..., 0], outputs[..., 1]]
    return [outputs]


def largest_difference(ours, theirs, mask):
    """Over positions other than padding, for outputs that have positions."""
    return max(
        np.abs(a - b)[mask if a.shape[:2] == mask.shape else ...].max()
        for a, b in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize(("architecture", "head"), CASES)
def test_outputs_agree_in_both_directions_and_no_bit_changes(
    architecture, head, theirs, tokenizer, inputs, tmp_path, caplog
):
    import transformers

    automatic, names = HEADS[head]
    theirs.save_pretrained(tmp_path / "theirs")
    task = getattr(tasks, head).from_preset(tmp_path / "theirs", tokenizer=tokenizer)
    assert "New" not in caplog.text
    if task.labels is not None:
        assert list(task.labels) == LABELS
    expected = outputs_of(theirs, inputs, names)
    mask = inputs["padding_mask"] > 0
    ours = outputs_of_task(task, inputs)
    assert np.ptp(expected[0]) > 0.3
    assert largest_difference(ours, expected, mask) <= 1e-5

    task.save_to_preset(tmp_path / "ours")
    again, info = getattr(transformers, f"AutoModelFor{automatic}").from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not any(info.values()), info
    back = outputs_of(again.eval(), inputs, names)
    assert largest_difference(ours, back, mask) <= 1e-5
    before, after = theirs.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert after[name].equal(tensor), name

    # It reads what it wrote.
    copy = tasks.from_preset(tmp_path / "ours", tokenizer=tokenizer)
    assert type(copy) is type(task)
    for a, b in zip(task.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("architecture", "head", "fields", "argument"),
    [
        ("bert", "TokenClassifier", {"classifier_dropout": 0.3}, "classifier_dropout"),
        ("distilbert", "QuestionAnswerer", {"qa_dropout": 0.3}, "answer_dropout"),
    ],
)
def test_the_dropout_of_a_head_is_that_in_the_config(
    architecture, head, fields, argument, theirs, tokenizer, tmp_path
):
    import json

    for name, value in fields.items():
        setattr(theirs.config, name, value)
    theirs.save_pretrained(tmp_path / "theirs")
    task = getattr(tasks, head).from_preset(tmp_path / "theirs", tokenizer=tokenizer)
    assert getattr(task, argument) == 0.3
    assert task.get_layer(f"{task.heads[0]}_dropout").rate == 0.3
    task.save_to_preset(tmp_path / "ours")
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert {name: config[name] for name in fields} == fields


@pytest.mark.parametrize(("architecture", "head"), [("bert", "TextClassifier")])
def test_the_head_of_another_task_is_not_used(
    architecture, head, theirs, tokenizer, tmp_path, caplog
):
    theirs.save_pretrained(tmp_path / "theirs")
    tasks.TokenClassifier.from_preset(
        tmp_path / "theirs", tokenizer=tokenizer, labels=LABELS
    )
    assert "token_classifier/bias, token_classifier/kernel" in caplog.text
