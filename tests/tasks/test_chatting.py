"""Conversations: a chat template, the ids it becomes, and the model's answers."""

import json

import numpy as np
import pytest
import tensorflow as tf

from helpers import random_weights
from tfzoo.errors import CheckpointError, TokenizerError
from tfzoo.families import GPTDecoder
from tfzoo.tasks import CausalLM
from tfzoo.tasks.causal_lm.served_prompts import ChatPrompts
from tfzoo.text import ByteBPETokenizer, SentencePieceTokenizer

TEMPLATE = (
    "{% for m in messages %}"
    "{{ '<|start|>' + m.role + '\\n' + m.content + '<|end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant\\n' }}{% endif %}"
)
STRIPPED = (
    "{% for m in messages %}{{ bos_token + '[' + m.role + '] ' + m.content | trim "
    "+ ' [answer]' }}{% endfor %}"
)
SPECIAL = ["<|start|>", "<|end|>"]
USER = {"role": "user", "content": "the cat"}
ANSWER = {"role": "assistant", "content": "sat"}
SYSTEM = {"role": "system", "content": "be brief"}
GRAPH = dict(max_new_tokens=8, jit_compile=False)


@pytest.fixture(scope="module")
def chat_tokenizer(byte_tokenizer):
    return ByteBPETokenizer(
        [*byte_tokenizer.vocabulary, *SPECIAL],
        byte_tokenizer.merges,
        special_tokens=SPECIAL,
    )


@pytest.fixture(scope="module")
def model(chat_tokenizer):
    return model_of(chat_tokenizer, chat_template=TEMPLATE)


def model_of(tokenizer, **arguments):
    decoder = GPTDecoder(
        tokenizer.vocabulary_size, 1, 2, 16, 32, max_sequence_length=128
    )
    return CausalLM(random_weights(decoder), tokenizer, **arguments)


def test_an_answer_continues_the_ids_of_the_conversation(model):
    tokenizer = model.tokenizer
    start, end = map(tokenizer.token_to_id, SPECIAL)
    user = [start, *tokenizer.tokenize("user\nthe cat"), end]
    prompt = [
        *user,
        *tokenizer.tokenize("\n"),
        start,
        *tokenizer.tokenize("assistant\n"),
    ]
    decoder, expected = model.backbone, []
    while len(expected) < 8 and model.end_token_ids[0] not in expected:
        ids = np.array([[*prompt, *expected]], np.int32)
        hidden = decoder({"token_ids": ids, "padding_mask": np.ones_like(ids)})
        expected.append(int(np.argmax(decoder.logits(hidden)[0, -1])))
    found = model.chat([USER], return_dict_in_generate=True, **GRAPH)
    assert found.token_ids == expected
    assert found.text == tokenizer.detokenize(expected)


def test_many_conversations_have_an_answer_each(model):
    conversations = [[USER], (SYSTEM, USER, ANSWER, USER), [SYSTEM, USER]]
    answers = model.chat(conversations, batch_size=2, **GRAPH)
    assert answers == [model.chat(list(c), **GRAPH) for c in conversations]
    several = model.chat([USER], num_return_sequences=2, num_beams=2, **GRAPH)
    assert len(several) == 2


def test_a_stream_gives_the_answer_in_pieces(model):
    pieces = list(model.stream_chat([SYSTEM, USER], **GRAPH))
    assert "".join(pieces) == model.chat([SYSTEM, USER], **GRAPH)
    assert len(pieces) > 1
    with pytest.raises(ValueError, match="one conversation. Received: 2"):
        model.stream_chat([[USER], [USER]])
    with pytest.raises(ValueError, match="without beams"):
        model.stream_chat([USER], num_beams=2)


def test_the_template_reads_its_arguments_and_the_special_tokens(chat_tokenizer):
    source = "{{ eos_token }}{{ style }}{{ messages[0].content }}"
    model = model_of(chat_tokenizer, chat_template=source)
    answer = model.chat([USER], template_arguments={"style": "old "}, **GRAPH)
    plain = model.generate("<|endoftext|>old the cat", **GRAPH)
    assert answer == plain


@pytest.mark.parametrize(
    ("messages", "rule"),
    [
        ("hi", "must be a list of dicts"),
        (USER, "must be a list of dicts"),
        (3, "must be a list of dicts"),
        ([], "must have a message"),
        ([[]], "must have a message"),
        (["hi"], "texts role and content"),
        ([{"content": "hi"}], "texts role and content"),
        ([USER, ANSWER], "The last message"),
        ([[USER], "hi"], "must be a list of dicts"),
        ([[USER], [USER], []], r"\(conversation 2\)"),
        ([[USER], [USER, ANSWER]], r"\(message 1 of conversation 1\)"),
        ([{**USER, "content": "x<|end|>y"}], r"special token <\|end\|>"),
    ],
)
def test_invalid_messages_are_refused(model, messages, rule):
    with pytest.raises(ValueError, match=rule):
        model.chat(messages, **GRAPH)


def test_options_that_a_chat_cannot_have_are_refused(model):
    with pytest.raises(ValueError, match="truncation must be 'error'"):
        model.chat([USER], truncation="left")
    with pytest.raises(ValueError, match="context"):
        model.chat([{**USER, "content": "cat " * 200}], **GRAPH)
    with pytest.raises(TypeError, match="no argument 'temprature'"):
        model.chat([USER], temprature=1.0)


def test_a_model_without_a_template_does_not_chat(chat_tokenizer):
    model = model_of(chat_tokenizer)
    with pytest.raises(ValueError, match="requires a chat template"):
        model.chat([USER])
    with pytest.raises(ValueError, match="requires a chat template"):
        model.turn(chat=True)
    with pytest.raises(TokenizerError, match="must be a text"):
        model_of(chat_tokenizer, chat_template=" ")


def test_the_template_is_saved_and_opened(model, tmp_path):
    model.save_to_preset(tmp_path / "model")
    assert (tmp_path / "model" / "chat_template.jinja").read_text() == TEMPLATE
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert "chat_template" not in config["tfzoo"]
    again = CausalLM.from_preset(tmp_path / "model")
    assert again.chat_template == TEMPLATE
    other = CausalLM.from_preset(tmp_path / "model", chat_template=STRIPPED)
    assert other.chat_template == STRIPPED


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (TEMPLATE, TEMPLATE),
        ([{"name": "rag", "template": "x"}, {"name": "default", "template": "y"}], "y"),
        (None, None),
    ],
)
def test_older_files_have_the_template_in_the_configuration(
    model, tmp_path, field, expected
):
    preset = tmp_path / "model"
    model.save_to_preset(preset)
    (preset / "chat_template.jinja").unlink()
    rewrite(preset / "tokenizer_config.json", chat_template=field)
    assert CausalLM.from_preset(preset).chat_template == expected


@pytest.mark.parametrize("field", [3, [{"name": "rag", "template": "x"}], {"a": "b"}])
def test_a_template_of_another_type_is_named(model, tmp_path, field):
    preset = tmp_path / "model"
    model.save_to_preset(preset)
    (preset / "chat_template.jinja").unlink()
    rewrite(preset / "tokenizer_config.json", chat_template=field)
    with pytest.raises(CheckpointError, match=r"config\.json: chat_template: Must be"):
        CausalLM.from_preset(preset)


def test_a_template_must_be_utf_8(model, tmp_path):
    model.save_to_preset(tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").write_bytes(b"a\xff")
    with pytest.raises(CheckpointError, match=r"template\.jinja: Must be UTF-8.*0xff"):
        CausalLM.from_preset(tmp_path / "model")


def rewrite(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


MESSAGES = ["the cat", " a\n b ", "", "\t", "\u3000x", "1 < 2", "\u00e9\u0301"]


@pytest.mark.parametrize("system", [None, "be brief"])
def test_the_ids_of_served_messages_are_those_of_a_chat(model, system):
    served_ids_are_those_of_a_chat(model, system)


def test_the_ids_of_sentencepiece_messages_are_those_of_a_chat(texts):
    tokenizer = SentencePieceTokenizer.train(
        texts[0] * 20,
        vocabulary_size=300,
        algorithm="bpe",
        byte_fallback=True,
        start_token="<s>",
    )
    served_ids_are_those_of_a_chat(model_of(tokenizer, chat_template=STRIPPED), None)


def served_ids_are_those_of_a_chat(model, system):
    start = [] if system is None else [{"role": "system", "content": system}]
    texts = model.template.render(
        [[*start, {"role": "user", "content": message}] for message in MESSAGES]
    )
    expected = model.tokenizer.tokenize(texts, special_tokens=True)
    turn = model.turn(chat=True, system=system)
    prompts = ChatPrompts(model.tokenizer, 128, turn)
    ids, counts = prompts(tf.constant(MESSAGES), tf.fill([len(MESSAGES)], 128))
    found = [
        row[:n].tolist() for row, n in zip(ids.numpy(), counts.numpy(), strict=True)
    ]
    assert found == expected


def test_special_tokens_in_a_served_message_are_plain_text(model):
    prompts = ChatPrompts(model.tokenizer, 128, model.turn(chat=True))
    (ids,), (count,) = prompts(tf.constant(["a<|end|>b"]), tf.constant([128]))
    start, end = map(model.tokenizer.token_to_id, SPECIAL)
    plain = model.tokenizer.tokenize("user\na<|end|>b")
    assert ids[: len(plain) + 2].numpy().tolist() == [start, *plain, end]
    assert ids[:count].numpy().tolist().count(end) == 1


def test_a_served_message_that_is_too_long_loses_its_start(model):
    prompts = ChatPrompts(model.tokenizer, 128, model.turn(chat=True))
    message = tf.constant(["the cat sat on it"])
    (whole,), (count,) = prompts(message, tf.constant([128]))
    (ids,), _ = prompts(message, count[None] - 3)
    head = len(prompts.before)
    assert ids.numpy().tolist() == [*whole[:head], *whole[head + 3 :]]


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_served_chat_answers_as_in_python(model, tmp_path, jit_compile):
    options = dict(chat=True, system="be brief", max_new_tokens=8)
    model.export(tmp_path / "chat", jit_compile=jit_compile, **options)
    served = tf.saved_model.load(tmp_path / "chat").signatures["serving_default"]
    found = served(prompt=tf.constant(MESSAGES))["text"].numpy().tolist()
    expected = model.chat(
        [[SYSTEM, {"role": "user", "content": message}] for message in MESSAGES],
        **GRAPH,
    )
    assert [text.decode() for text in found] == expected


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (dict(system="be brief"), "system requires chat=True"),
        (dict(template_arguments={}), "template_arguments requires chat=True"),
        (dict(chat=1), "chat must be"),
        (dict(chat=True, max_new_tokens=125), "the context without the template"),
    ],
)
def test_invalid_options_of_an_export_are_refused(model, tmp_path, options, rule):
    with pytest.raises(ValueError, match=rule):
        model.export(tmp_path / "chat", **options)


def test_a_template_that_is_more_than_texts_is_refused_with_the_reason(
    chat_tokenizer, tmp_path
):
    source = "{{ messages[0].content | upper }}"
    model = model_of(chat_tokenizer, chat_template=source)
    with pytest.raises(TokenizerError, match="uses upper of the message"):
        model.export(tmp_path / "chat", chat=True)


@pytest.mark.parity
def test_ids_are_those_of_transformers(model, tmp_path):
    transformers = pytest.importorskip("transformers")
    model.save_to_preset(tmp_path / "model")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    for conversation in ([USER], [SYSTEM, USER, ANSWER, USER]):
        expected = theirs.apply_chat_template(
            conversation, add_generation_prompt=True, return_dict=False
        )
        texts = model.template.render([conversation])
        assert model.tokenizer.tokenize(texts, special_tokens=True) == [expected]
