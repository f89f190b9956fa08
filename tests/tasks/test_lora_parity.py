"""PEFT opens our adapters, and we open those of PEFT."""

import json

import numpy as np
import pytest

from tfzoo import tasks
from tfzoo.text import WordPieceTokenizer

pytestmark = [
    pytest.mark.parity,
    # PEFT calls what transformers 5 has renamed.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is:FutureWarning"),
]
BERT = dict(
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=40,
)
SIZES = {
    "bert": BERT,
    "roberta": {**BERT, "pad_token_id": 1, "type_vocab_size": 1},
    "distilbert": dict(
        dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=40
    ),
    "gpt2": dict(n_embd=16, n_layer=2, n_head=2, n_positions=40),
    "llama": {**BERT, "num_key_value_heads": 1},
}
CLASSES = {  # task -> its class in `transformers`, and the outputs in the order of ours
    "TextClassifier": ("SequenceClassification", ["logits"]),
    "TokenClassifier": ("TokenClassification", ["logits"]),
    "QuestionAnswerer": ("QuestionAnswering", ["start_logits", "end_logits"]),
    "MaskedLM": ("MaskedLM", ["logits"]),
    "CausalLM": ("CausalLM", ["logits"]),
}
ALL = ("query", "key", "value", "output", "intermediate")
OURS = [
    ("gpt2", "CausalLM", ("query", "value"), ["attn.c_attn"]),
    ("gpt2", "CausalLM", ("key", "intermediate"), ["attn.c_attn", "mlp.c_fc"]),
    ("gpt2", "CausalLM", ALL, None),
    ("llama", "CausalLM", ("query", "value"), ["self_attn.q_proj", "self_attn.v_proj"]),
    ("llama", "CausalLM", (*ALL, "gate"), None),
    ("bert", "TextClassifier", ("query", "value"), None),
    ("bert", "TextClassifier", ("feed_forward/output",), None),
    ("bert", "MaskedLM", ALL, None),
    ("roberta", "QuestionAnswerer", ALL, None),
    ("roberta", "TextClassifier", ("query",), ["attention.self.query"]),
    ("distilbert", "TextClassifier", ("value",), ["attention.v_lin"]),
    ("distilbert", "TokenClassifier", ALL, None),
]
THEIRS = [
    ("gpt2", "CausalLM", dict(r=3, lora_alpha=5, target_modules=["c_attn"])),
    ("gpt2", "CausalLM", dict(r=2, target_modules="all-linear", use_rslora=True)),
    (
        "gpt2",
        "CausalLM",
        dict(
            target_modules=["c_attn", "c_proj", "c_fc"],
            layers_to_transform=[1],
            rank_pattern={"attn.c_proj": 2, "h.1.attn.c_attn": 4},
            alpha_pattern={"c_fc": 3, "c_attn": 1.5},
            init_lora_weights="gaussian",
        ),
    ),
    ("llama", "CausalLM", dict(r=3, lora_alpha=5)),
    ("llama", "CausalLM", dict(r=2, lora_alpha=2, target_modules="all-linear")),
    ("bert", "TextClassifier", dict(r=4, lora_alpha=16, lora_dropout=0.1)),
    ("bert", "TextClassifier", dict(r=20, target_modules=["dense"])),
    ("bert", "MaskedLM", dict(target_modules=r".*\.(query|key)")),
    ("roberta", "TokenClassifier", dict(target_modules=["intermediate.dense"])),
    ("distilbert", "QuestionAnswerer", dict(target_modules=["q_lin", "lin1"])),
]
TYPES = {
    "TextClassifier": "SEQ_CLS",
    "TokenClassifier": "TOKEN_CLS",
    "QuestionAnswerer": "QUESTION_ANS",
    "CausalLM": "CAUSAL_LM",
    "MaskedLM": None,
}


@pytest.fixture
def tokenizer(request, architecture):
    """A tokenizer whose pad token has the id of the architecture."""
    if architecture in ("gpt2", "llama"):
        return request.getfixturevalue("byte_tokenizer")
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    if architecture == "roberta":
        special[:2] = "[CLS]", "[PAD]"
    return WordPieceTokenizer([*special, *"abcdefghijklmnopqrstuvwxyz"])


@pytest.fixture
def peft():
    return pytest.importorskip("peft")


@pytest.fixture
def theirs(architecture, task, tokenizer, peft):
    """A model of `transformers` whose weights are far from zero."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        architecture,
        vocab_size=tokenizer.vocabulary_size,
        initializer_range=0.2,
        **SIZES[architecture],
    )
    return getattr(transformers, f"AutoModelFor{CLASSES[task][0]}").from_config(config)


@pytest.fixture
def ours(task, theirs, tokenizer, tmp_path):
    theirs.save_pretrained(tmp_path / "base")
    options = {"labels": ["no", "yes"]} if task.endswith("Classifier") else {}
    return getattr(tasks, task).from_preset(
        tmp_path / "base", tokenizer=tokenizer, **options
    )


def randomized(parameters):
    import torch

    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in parameters:
            parameter += 0.3 * torch.randn_like(parameter)


def difference(task, ours, theirs):
    """The largest difference of logits on rows of several lengths."""
    import torch

    rng = np.random.default_rng(0)
    ids = rng.integers(5, ours.tokenizer.vocabulary_size, (3, 11)).astype(np.int32)
    mask = (np.arange(11) < np.array([[11], [7], [1]])).astype(np.int32)
    inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": mask}
    if task == "MaskedLM":
        inputs["mask_positions"] = np.tile(np.arange(11, dtype=np.int32), (3, 1))
    logits = np.asarray(ours(inputs, training=False))
    theirs.eval()
    with torch.no_grad():
        found = theirs(
            input_ids=torch.tensor(ids).long(),
            attention_mask=torch.tensor(mask).long(),
        )
    expected = np.stack([found[name].numpy() for name in CLASSES[task][1]], axis=-1)
    expected = expected.reshape(logits.shape)
    if len(logits.shape) == 3:
        logits, expected = (x[mask == 1] for x in (logits, expected))
    return np.abs(logits - expected).max()


@pytest.mark.parametrize(("architecture", "task", "targets", "modules"), OURS)
def test_peft_opens_our_adapters(
    peft, task, targets, modules, ours, theirs, tmp_path, recwarn
):
    ours.enable_lora(3, targets, alpha=5)
    rng = np.random.default_rng(0)
    for variable in ours.trainable_variables:
        variable.assign(variable + 0.3 * rng.normal(size=variable.shape))
    before = difference(task, ours, theirs)
    ours.save_adapter(tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tmp_path / "base")
    if modules is not None:
        assert config["target_modules"] == modules
    recwarn.clear()
    opened = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter")
    assert [str(w.message) for w in recwarn if "peft" in str(w.filename)] == []
    assert difference(task, ours, opened) < 1e-5 < 0.1 < before
    ours.merge_adapter()
    assert difference(task, ours, opened.merge_and_unload()) < 1e-5


@pytest.mark.parametrize(("architecture", "task", "options"), THEIRS)
def test_we_open_adapters_of_peft(
    peft, architecture, task, options, ours, theirs, tmp_path
):
    config = peft.LoraConfig(
        task_type=TYPES[task], fan_in_fan_out=architecture == "gpt2", **options
    )
    model = peft.get_peft_model(theirs, config)
    trained = [p for p in model.parameters() if p.requires_grad]
    randomized(trained)
    before = difference(task, ours, model)
    model.save_pretrained(tmp_path / "theirs")
    ours.load_adapter(tmp_path / "theirs")
    assert difference(task, ours, model) < 1e-5 < 0.1 < before
    ours.save_adapter(tmp_path / "ours")
    again = type(ours).from_preset(
        tmp_path / "base", tokenizer=ours.tokenizer, **ours.task_arguments()
    )
    again.load_adapter(tmp_path / "ours")
    assert difference(task, again, model) < 1e-5
    assert [v.path for v in again.trainable_variables] == [
        v.path for v in ours.trainable_variables
    ]
