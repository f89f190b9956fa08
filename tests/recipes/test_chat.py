"""The command answers every line of its input, and remembers the conversation."""

import io
import sys

import pytest
import tensorflow as tf

from helpers import random_weights, recipe
from tfzoo.errors import TfzooError
from tfzoo.families import GPTDecoder
from tfzoo.tasks import CausalLM
from tfzoo.text import ByteBPETokenizer

TEMPLATE = "{% for m in messages %}{{ m.role[0] + ':' + m.content }}{% endfor %}a:"
OPTIONS = dict(max_new_tokens=6, temperature=0, jit_compile=False)


@pytest.fixture(scope="module")
def model():
    tokenizer = ByteBPETokenizer.train(
        ["the cat sat on the mat"] * 3, vocabulary_size=270, progress=False
    )
    decoder = GPTDecoder(tokenizer.vocabulary_size, 1, 2, 8, 16, max_sequence_length=64)
    return CausalLM(random_weights(decoder), tokenizer, chat_template=TEMPLATE)


@pytest.fixture(scope="module")
def preset(model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("chat") / "preset"
    model.save_to_preset(directory)
    return str(directory)


def talk(preset, monkeypatch, capsys, *lines, **options):
    text = "".join(f"{line}\n" for line in lines)
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    recipe("chat").main(preset, **{**OPTIONS, **options})
    return capsys.readouterr()


def answered(model, *messages, system=None):
    """The conversation, with an answer after each message."""
    conversation = [{"role": "system", "content": system}] if system else []
    for message in messages:
        conversation.append({"role": "user", "content": message})
        options = dict(max_new_tokens=6, jit_compile=False)
        answer = model.chat(conversation, **options)
        conversation.append({"role": "assistant", "content": answer})
    return [m["content"] for m in conversation if m["role"] == "assistant"]


def test_each_answer_knows_what_was_said_before(model, preset, monkeypatch, capsys):
    found = talk(preset, monkeypatch, capsys, "the cat", "", "sat", system="mat")
    expected = answered(model, "the cat", "sat", system="mat")
    assert found.out == "".join(f"{answer}\n" for answer in expected)


def test_a_conversation_begins_anew_and_ends(model, preset, monkeypatch, capsys):
    lines = ["the cat", "/new", "sat", "/quit", "on"]
    found = talk(preset, monkeypatch, capsys, *lines)
    expected = [*answered(model, "the cat"), *answered(model, "sat")]
    assert found.out == "".join(f"{answer}\n" for answer in expected)


def test_a_message_that_does_not_fit_is_told_and_forgotten(
    model, preset, monkeypatch, capsys
):
    found = talk(preset, monkeypatch, capsys, "cat " * 99, "sat")
    assert found.err.startswith("not answered: ") and found.err.count("\n") == 1
    assert found.out == "".join(f"{answer}\n" for answer in answered(model, "sat"))


def test_a_model_without_a_template_is_one_line(model, monkeypatch, capsys, tmp_path):
    plain = CausalLM(model.backbone, model.tokenizer)
    plain.save_to_preset(tmp_path / "plain")
    with pytest.raises(TfzooError, match="plain: The model must have a chat template"):
        talk(str(tmp_path / "plain"), monkeypatch, capsys, "x")


@pytest.mark.slow
def test_an_exported_chat_answers_messages(model, preset, tmp_path):
    output = tmp_path / "chat"
    recipe("export_model").main(
        preset, output, chat=True, system="mat", max_new_tokens=6
    )
    served = tf.saved_model.load(output / "1").signatures["serving_default"]
    text = served(prompt=tf.constant(["the cat"]))["text"].numpy()[0].decode()
    assert [text] == answered(model, "the cat", system="mat")
    with pytest.raises(ValueError, match="system requires chat=True"):
        recipe("export_model").main(preset, tmp_path / "other", system="mat")
