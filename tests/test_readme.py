"""The README's code runs, in order and without a network, with small sizes.

The commands for Docker and curl need a server and are not run; for the clients in
Python, see `tests/serving/test_clients.py`.
"""

import re

import pytest

from helpers import ROOT, commands_of, random_weights, recipe, small_quickstart
from tfzoo import cli, tasks
from tfzoo.families import (
    BertEncoder,
    DistilBertEncoder,
    GPTDecoder,
    LlamaDecoder,
    T5EncoderDecoder,
)
from tfzoo.text import ByteBPETokenizer, SentencePieceTokenizer, WordPieceTokenizer

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
PYTHON = [
    block
    for language, block in BLOCKS
    if language == "python" and "localhost" not in block
]
LOCAL = [block for block in PYTHON if "hf://" not in block]
HUB = [block for block in PYTHON if "hf://" in block]
# Each must be in the README, so that a change there shows here.
SMALL = {
    "num_layers=2": "num_layers=1",
    "hidden_dim=128": "hidden_dim=16",
    "intermediate_dim=512": "intermediate_dim=32",
    "vocabulary_size=8000": "vocabulary_size=300",
    "total_steps=2000": "total_steps=4",
    "batch_size=32": "batch_size=4",
    "steps_per_epoch=500, epochs=4": "steps_per_epoch=2, epochs=2",
    "epochs=3": "epochs=1",
    "max_new_tokens=50": "max_new_tokens=5",
    "--vocabulary-size 8000": "--vocabulary-size 300",
    "--steps 2000": "--steps 2",
    "--epochs 20 --average-last 5": "--epochs 2 --average-last 2 --vocabulary-size 60 "
    "--num-layers 1 --hidden-dim 16 --scored-texts 2 --max-new-tokens 4",
    "--target test.de": "--target test.de --max-new-tokens 4",
    "--output news.de": "--output news.de --max-new-tokens 4",
    "--num-beams 4": "--num-beams 2 --max-new-tokens 4",
    "--epochs 5": "--epochs 1 --scored-texts 0 --max-new-tokens 4",
    '--prompt "Dear"': '--prompt "Dear" --max-new-tokens 5 --no-jit-compile',
}
WORDS = "the a cat dog sat ran on under mat tree who met ada alan in london".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LINES = [f"The {a} {b} the {c}." for a in WORDS for b in WORDS for c in WORDS[:4]]

PAIRS = [("a dog runs", "ein Hund rennt"), ("the cat sat", "die Katze sitzt")] * 3


def small(block):
    for large, replacement in SMALL.items():
        block = block.replace(large, replacement)
    return block


COMMANDS = commands_of(small(README))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The folder with a new user's own text and tables."""
    monkeypatch.chdir(tmp_path)
    documents = ["\n".join(LINES[i : i + 8]) for i in range(0, 320, 8)]
    for name in ("corpus.txt", "text.txt", "letters.txt"):
        (tmp_path / name).write_text("\n\n".join(documents))
    rows = [(line, ("ham", "spam")["cat" in line]) for line in LINES[:60]]
    table = "".join(f"{text}\t{label}\n" for text, label in [("text", "label"), *rows])
    for name in ("mail.tsv", "test.tsv"):
        (tmp_path / name).write_text(table)
    for name, pairs in {"train": PAIRS * 5, "val": PAIRS, "test": PAIRS}.items():
        for language, texts in zip(("en", "de"), zip(*pairs, strict=True), strict=True):
            (tmp_path / f"{name}.{language}").write_text("\n".join(texts) + "\n")
    rows = [("english", "german"), *PAIRS * 5]
    table = "".join("\t".join(row) + "\n" for row in rows)
    (tmp_path / "pairs.tsv").write_text(table)
    # In place of a checkpoint published by Google
    words = WordPieceTokenizer([*SPECIAL, *WORDS])
    checkpoint = BertEncoder(words.vocabulary_size, 1, 1, 8, 8)
    path = tmp_path / "uncased_L-12_H-768_A-12"
    checkpoint.save_to_preset(path, tokenizer=words)
    return tmp_path


def test_every_replaced_size_is_in_the_readme():
    for large in SMALL:
        assert large in README, large


@pytest.mark.slow
def test_the_python_blocks_that_need_no_hub_run_in_order(place, capsys):
    names = {}
    for block in LOCAL:
        exec(compile(small(block), "README.md", "exec"), names)
    assert (place / "saved_models" / "mail" / "1" / "saved_model.pb").exists()
    for name in ("gpt", "names", "answers", "en_de"):
        assert (place / "saved_models" / name / "1" / "saved_model.pb").exists()
    assert (place / "runs" / "gpt" / "model.safetensors").exists()
    assert names["classifier"].labels == ("ham", "spam")
    assert "{'label': " in capsys.readouterr().out


@pytest.fixture
def models_on_the_hub(hub, tmp_path):
    """A small model under each name on the Hub that the README opens."""
    sizes = dict(num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=32)
    sizes["max_sequence_length"] = 64
    words = WordPieceTokenizer([*SPECIAL, ".", *WORDS])
    byte_bpe = ByteBPETokenizer.train(LINES, vocabulary_size=300, progress=False)

    def encoder(kind, **options):
        return random_weights(kind(words.vocabulary_size, **sizes, **options))

    pieces = SentencePieceTokenizer.train(LINES, vocabulary_size=60, progress=False)
    t5 = random_weights(T5EncoderDecoder(pieces.vocabulary_size, **sizes))
    decoder, llama = (
        kind(byte_bpe.vocabulary_size, **sizes) for kind in (GPTDecoder, LlamaDecoder)
    )
    bert = encoder(BertEncoder)
    for name, task in {
        "google-bert/bert-base-uncased": tasks.MaskedLM(bert, words),
        "openai-community/gpt2": tasks.CausalLM(random_weights(decoder), byte_bpe),
        "google/flan-t5-small": tasks.Seq2SeqLM(t5, pieces),
        "HuggingFaceTB/SmolLM2-135M-Instruct": tasks.CausalLM(
            random_weights(llama),
            byte_bpe,
            chat_template="{% for m in messages %}{{ m.content }}\n{% endfor %}",
        ),
        "distilbert/distilbert-base-uncased": tasks.MaskedLM(
            encoder(DistilBertEncoder), words
        ),
        "dslim/bert-base-NER": tasks.TokenClassifier(bert, words, ["O", "B-PER"]),
        "distilbert/distilbert-base-cased-distilled-squad": tasks.QuestionAnswerer(
            bert, words
        ),
        "sentence-transformers/all-MiniLM-L6-v2": tasks.TextEmbedder(bert, words),
    }.items():
        folder = tmp_path / "models" / name
        task.save_to_preset(folder)
        files = (path for path in folder.rglob("*") if path.is_file())
        hub.add(name, {str(p.relative_to(folder)): p.read_bytes() for p in files})


@pytest.mark.slow
def test_the_blocks_that_open_models_from_the_hub_run_in_order(
    models_on_the_hub, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in ("import tfzoo, tfzoo.tasks\n", *HUB):
        exec(compile(small(block), "README.md", "exec"), names)
    for name in ("films", "frozen_films", "titles"):
        assert (tmp_path / "saved_models" / name / "1" / "saved_model.pb").exists()
    assert len(names["texts"]) == 100 and names["vectors"].shape == (3, 16)
    assert names["indices"][0, 0] == 0


def test_there_are_commands_for_every_kind_of_run():
    names = [[name for name, *_ in block] for block in COMMANDS]
    assert names == [
        ["quickstart"],
        [
            "train_tokenizer",
            "pretrain_bert",
            "finetune_classifier",
            "evaluate_classifier",
            "export_model",
            "predict",
        ],
        [
            "train_tokenizer",
            "pretrain_gpt",
            "finetune_gpt",
            "generate_text",
            "export_model",
            "predict",
        ],
        [
            "train_translator",
            "evaluate_seq2seq",
            "translate",
            "export_model",
            "translate",
            "finetune_seq2seq",
        ],
        ["convert_checkpoint"],
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "block", COMMANDS, ids=["at once", "bert", "gpt", "translation", "checkpoint"]
)
def test_the_commands_run_in_order(block, place, capsys):
    for name, *arguments in block:
        module = small_quickstart() if name == "quickstart" else recipe(name)
        if name == "predict":
            capsys.readouterr()
            module.main(**vars(module.arguments(arguments)))
            assert capsys.readouterr().out.strip()
        else:
            module.main(**cli.parsed(module.main, arguments))
