"""Chat templates: what they make of conversations, and what they must not do."""

import time

import pytest

from tfzoo.errors import TokenizerError
from tfzoo.text.chat_template import ChatTemplate, OneTurn

USER = {"role": "user", "content": "Hi!"}
SYSTEM = {"role": "system", "content": "Be brief."}
ANSWER = {"role": "assistant", "content": "Hello."}

CHAT_ML = """
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""
ALTERNATING = """
{%- set system = '' %}
{%- if messages[0].role == 'system' %}
    {%- set system = '<<S>>' + messages[0].content + '<</S>>\\n\\n' %}
    {%- set messages = messages[1:] %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Roles must alternate.') }}
    {%- endif %}
    {%- set content = system + message.content if loop.first else message.content %}
    {%- if message.role == 'user' %}
        {{- bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
    {%- else %}
        {%- generation %}{{ ' ' + content | trim + ' ' + eos_token }}{% endgeneration %}
    {%- endif %}
{%- endfor %}"""
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
CONVERSATIONS = [[USER], [SYSTEM, USER], [SYSTEM, USER, ANSWER, USER]]


def test_conversations_become_texts():
    assert ChatTemplate(CHAT_ML).render(CONVERSATIONS[:2]) == [
        "<|im_start|>user\nHi!<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nHi!<|im_end|>\n<|im_start|>assistant\n",
    ]
    assert ChatTemplate(ALTERNATING, TOKENS).render(CONVERSATIONS[2:]) == [
        "<s>[INST] <<S>>Be brief.<</S>>\n\nHi! [/INST] Hello. </s><s>[INST] Hi! [/INST]"
    ]


@pytest.mark.parity
@pytest.mark.parametrize("source", [CHAT_ML, ALTERNATING])
def test_texts_are_those_of_transformers(source):
    utils = pytest.importorskip("transformers.utils.chat_template_utils")
    theirs, _ = utils.render_jinja_template(
        CONVERSATIONS, chat_template=source, add_generation_prompt=True, **TOKENS
    )
    assert ChatTemplate(source, TOKENS).render(CONVERSATIONS) == theirs


def test_templates_read_other_variables_and_fields():
    source = "{{ thinking }} {{ messages[0].tags | tojson }} {{ tools is none }}"
    messages = [{**USER, "tags": ["a", "\u00e9"]}]
    texts = ChatTemplate(source).render([messages], thinking=False)
    assert texts == ['False ["a", "\u00e9"] True']


@pytest.mark.parametrize(
    ("messages", "rule"),
    [
        ([], "must have a message"),
        ("Hi!", "must be a list of dicts"),
        (USER, "must be a list of dicts"),
        ([None], "texts role and content"),
        ([{"content": "Hi!"}], "texts role and content"),
        ([{"role": "", "content": "Hi!"}], "texts role and content"),
        ([{"role": "user"}], "texts role and content"),
        ([{"role": "user", "content": ["Hi!"]}], "texts role and content"),
        ([USER, SYSTEM, USER], "must be the first"),
        ([USER, ANSWER], "The last message"),
        ([SYSTEM], "The last message"),
        ([{**USER, "time": object()}], "JSON"),
    ],
)
def test_invalid_conversations_are_refused(messages, rule):
    with pytest.raises(ValueError, match=rule):
        ChatTemplate(CHAT_ML).render([messages])


def test_a_conversation_that_the_template_rejects_is_a_value_error():
    with pytest.raises(ValueError, match=r"rejects .*Roles must alternate"):
        ChatTemplate(ALTERNATING, TOKENS).render([[USER, USER]])


NESTED = (
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
)
DOUBLING = (
    "{% set ns = namespace(x='x' * 64) %}"
    "{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"
)


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        (NESTED, "more than a second"),
        (DOUBLING, "200 MB"),
        ("{{ 'x' * 10 ** 9 }}", "200 MB"),
        ("{{ messages.__class__ }}", "must not read __class__ of a list"),
        ("{{ cycler.__init__.__globals__ }}", "must not read __init__"),
        ("{{ messages.append(1) }}", "append"),
        ("{% import 'os' as os %}", "no loader"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ unknown.field }}", "'unknown' is undefined"),
        ("\n{% if %}", "Expected an expression"),
    ],
)
def test_what_a_template_must_not_do_is_one_line_within_seconds(source, rule, tmp_path):
    begin = time.monotonic()
    template = ChatTemplate(source, path=tmp_path / "chat_template.jinja")
    with pytest.raises(TokenizerError, match=rule) as error:
        template.render([[USER]])
    assert "\n" not in str(error.value) and "chat_template.jinja" in str(error.value)
    assert time.monotonic() - begin < 30  # idle, 2


def test_syntax_errors_name_the_line():
    with pytest.raises(TokenizerError, match=r"template\.jinja:3:"):
        ChatTemplate("\n\n{% if %}", path="template.jinja").render([[USER]])


@pytest.mark.parametrize("source", ["", " ", None, ["x"]])
def test_a_template_must_be_a_text(source):
    with pytest.raises(TokenizerError, match="must be a text"):
        ChatTemplate(source)


def test_one_turn_is_what_surrounds_the_message():
    prompt = "<|im_end|>\n<|im_start|>assistant\n"
    assert ChatTemplate(CHAT_ML).one_turn() == OneTurn(
        "<|im_start|>user\n", prompt, (False, False), None
    )
    assert ChatTemplate(ALTERNATING, TOKENS).one_turn("Be brief.") == OneTurn(
        "<s>[INST] <<S>>Be brief.<</S>>\n\n",
        " [/INST]",
        (False, True),
        "<s>[INST] <<S>>Be brief.<</S>> [/INST]",
    )


MESSAGES = [
    "Hi!",
    " two\n lines \n",
    "",
    "\t",
    "{{ 1 }}",
    "<think>",
    "\ue000",
    "\x1cx\u3000",
]


@pytest.mark.parametrize("source", [CHAT_ML, ALTERNATING])
@pytest.mark.parametrize("system", [None, "Be brief."])
def test_one_turn_gives_the_texts_of_the_template(source, system):
    template = ChatTemplate(source, TOKENS)
    turn = template.one_turn(system)
    before = [] if system is None else [{"role": "system", "content": system}]
    texts = template.render(
        [[*before, {"role": "user", "content": message}] for message in MESSAGES]
    )
    assert [turn.text(message) for message in MESSAGES] == texts


CONTENT = "messages[0].content"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("no message", "print the message once"),
        (f"{{{{ {CONTENT} }}}}{{{{ {CONTENT} }}}}", "print the message once"),
        (f"{{{{ {CONTENT} | upper }}}}", "upper of the message"),
        (f"{{{{ {CONTENT}[:8] }}}}", "getitem of the message"),
        (f"{{{{ {CONTENT} | length }}}}{{{{ {CONTENT} }}}}", "len of the message"),
        (f"{{{{ {CONTENT}.split('a') }}}}", "split of the message"),
        (f"{{% for c in {CONTENT} %}}{{{{ c }}}}{{% endfor %}}", "iter of the message"),
        (f"{{{{ {CONTENT}.strip('a') }}}}", "other characters than white space"),
        (
            f"{{% if {CONTENT} == 'hi' %}}A{{% endif %}}{{{{ {CONTENT} }}}}",
            "equals 'hi'",
        ),
        (
            f"{{% if 'b' in {CONTENT} %}}A{{% endif %}}{{{{ {CONTENT} }}}}",
            "contains 'b'",
        ),
        (
            f"{{% if {CONTENT} in 'yes no' %}}A{{% endif %}}{{{{ {CONTENT} }}}}",
            "is in 'yes no'",
        ),
        (
            f"{{% if {CONTENT} is in 'yes no' %}}A{{% endif %}}{{{{ {CONTENT} }}}}",
            "is in 'yes no'",
        ),
        (
            f"{{% if {CONTENT} not in ['yes'] %}}A{{% endif %}}{{{{ {CONTENT} }}}}",
            "equals 'yes'",
        ),
        (
            f"{{% if [{CONTENT}] | join == 'q' %}}A{{% endif %}}{{{{ {CONTENT} }}}}",
            "eq of the message",
        ),
        (
            f"{{% if 'yes'.startswith({CONTENT}) %}}A{{% endif %}}{{{{ {CONTENT} }}}}",
            "the method startswith of a string",
        ),
        (
            f"{{% if 'a' | replace({CONTENT}, '') %}}A{{% endif %}}{{{{ {CONTENT} }}}}",
            "the filter replace of a string",
        ),
        (f"{{{{ strftime_now('%Y') }}}}{{{{ {CONTENT} }}}}", "strftime_now"),
        (
            f"{{% if 'b' in ('' ~ {CONTENT}) %}}A{{% endif %}}{{{{ {CONTENT} }}}}",
            "contains of the message",
        ),
        (
            f"{{% set x %}}{{{{ {CONTENT} }}}}{{% endset %}}"
            "{% if x == 'q' %}A{% endif %}{{ x }}",
            "eq of the message",
        ),
    ],
)
def test_what_does_not_reduce_to_one_turn_is_refused_with_the_reason(source, reason):
    with pytest.raises(TokenizerError, match=reason):
        ChatTemplate(source).one_turn()


def test_questions_about_the_message_that_change_nothing_are_allowed():
    source = (
        f"{{% if not ({CONTENT}.startswith('<a>') and {CONTENT}.endswith('</a>')) %}}"
        "{% set last = 1 %}{% endif %}"
        f"{{% if {CONTENT} is string and 'x' in {CONTENT} %}}{{% endif %}}"
        f"[{{{{ {CONTENT} }}}}]"
    )
    assert ChatTemplate(source).one_turn() == OneTurn("[", "]", (False, False), None)


def test_a_message_is_followed_into_longer_strings():
    source = f"{{{{ (' a' ~ {CONTENT}) | trim }}}}"
    assert ChatTemplate(source).one_turn() == OneTurn("a", "", (False, True), "a")


def test_the_answer_may_depend_on_a_second_question():
    source = (
        f"{{% if {CONTENT}.startswith('a') %}}{{% if {CONTENT}.endswith('b') %}}!"
        f"{{% endif %}}{{% endif %}}{{{{ {CONTENT} }}}}"
    )
    with pytest.raises(TokenizerError, match="ends with 'b' or starts with 'a'"):
        ChatTemplate(source).one_turn()


def test_too_many_questions_are_refused():
    questions = "".join(
        f"{{% if 'x{i}' in {CONTENT} %}}{{% endif %}}" for i in range(9)
    )
    with pytest.raises(TokenizerError, match="too many questions"):
        ChatTemplate(f"{questions}{{{{ {CONTENT} }}}}").one_turn()
