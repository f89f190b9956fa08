"""Chat templates: conversations as the texts that a model was trained on."""

import json
import os
import pathlib
import subprocess
import sys
import typing

from tfzoo.errors import TokenizerError, shown

_PROGRAM = pathlib.Path(__file__).with_name("chat_renderer.py")
_SECONDS = 60  # for everything, on a slow machine; a text has 1 s of processor time
_DIED = "it takes more than a second or 200 MB"


class OneTurn(typing.NamedTuple):
    """What a template makes of a single message of the user.

    Attributes:
        before: Text before the message.
        after: Text after it, up to where the model's answer begins.
        strips: Whether white space on the left and on the right of it is removed.
        blank: The text for a message of white space alone; None if it is no exception.
    """

    before: str
    after: str
    strips: tuple
    blank: str | None

    def text(self, message):
        """The text of the conversation with this message."""
        left, right = self.strips
        message = message.lstrip() if left else message
        message = message.rstrip() if right else message
        if self.blank is not None and not message:
            return self.blank
        return self.before + message + self.after


class ChatTemplate:
    """A Jinja template, with the variables and functions that `transformers` offers.

    It is other people's code: each call runs it in Jinja's immutable sandbox, in a
    process that is ended after a second of processor time for a text, or if it needs
    200 MB.

    Args:
        source: The template.
        tokens: Dict of name -> text of the special tokens, such as `bos_token`.
        path: The file that it was read from, for errors.
    """

    def __init__(self, source, tokens=(), *, path=None):
        if not isinstance(source, str) or not source.strip():
            raise TokenizerError(
                f"A chat template must be a text. Received: {shown(source)}.", path=path
            )
        self.source, self.path = source, path
        self.tokens = dict(tokens)

    def render(self, conversations, **variables):
        """The texts of conversations, up to where the model's answer begins.

        Args:
            conversations: List of conversations, each a list of messages: dicts with
                `role` and `content`, and possibly others that the template reads.
            **variables: Others that the template reads, such as `enable_thinking`.

        Raises:
            ValueError: a conversation is invalid, or the template rejects it.
            TokenizerError: the template is invalid, or exceeds its limits.
        """
        conversations = [checked(c, row) for row, c in enumerate(conversations)]
        answer = self._run(
            task="render", conversations=conversations, variables=variables
        )
        if answer.get("kind") == "rejected":
            raise ValueError(
                f"The chat template rejects the conversation: {answer['error']}"
            )
        return self._result(answer)["texts"]

    def one_turn(self, system=None, **variables):
        """The template of a conversation with one message, as a `OneTurn`.

        Args:
            system: Text of the system's message, which comes first; None for none.
            **variables: As in `render`.

        Raises:
            TokenizerError: the template is invalid; or it does more with the message
                than to put texts around it. The error says what.
        """
        before = [] if system is None else [{"role": "system", "content": system}]
        answer = self._run(task="reduce", before=before, variables=variables)
        if answer.get("kind") == "refused":
            raise TokenizerError(
                "The chat template of a served model must put fixed texts around the "
                f"user's message, but {answer['error']}.",
                path=self.path,
                fix="Export without chat, and render the prompts yourself.",
            )
        found = self._result(answer)
        return OneTurn(**{**found, "strips": tuple(found["strips"])})

    def _run(self, *, variables, **job):
        job |= {"template": self.source, "variables": {**self.tokens, **variables}}
        try:
            line = json.dumps(job).encode() + b"\n"
        except (TypeError, ValueError) as e:
            raise ValueError(f"Messages must consist of JSON values: {e}") from None
        paths = os.pathsep.join(filter(None, sys.path))
        with subprocess.Popen(
            [sys.executable, "-P", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths},
        ) as process:
            try:
                answer, _ = process.communicate(line, timeout=_SECONDS)
            except BaseException as e:
                process.kill()
                if not isinstance(e, subprocess.TimeoutExpired):
                    raise
                answer = b""
        if process.returncode:
            return {"kind": "limit", "error": _DIED}
        return json.loads(answer)

    def _result(self, answer):
        if "error" in answer:
            raise TokenizerError(
                f"The chat template failed: {answer['error']}.",
                path=self.path,
                line=answer.get("line"),
            )
        return answer


def checked(messages, row):
    """The messages of a conversation as plain dicts.

    Raises:
        ValueError: the conversation is empty or ends with an answer of the model, or a
            message lacks its role or its content.
    """
    where = f"conversation {row}"
    if isinstance(messages, str | bytes | dict):
        raise ValueError(
            "messages must be a list of dicts with role and content. "
            f"Received: {shown(messages)}"
        )
    messages = list(messages)
    if not messages:
        raise ValueError(f"A conversation must have a message. Received: [] ({where})")
    for number, message in enumerate(messages):
        for name in ("role", "content"):
            value = message.get(name) if isinstance(message, dict) else None
            if not isinstance(value, str) or (name == "role" and not value):
                raise ValueError(
                    "A message must be a dict with the texts role and content. "
                    f"Received: {shown(message)} (message {number} of {where})"
                )
        if number and message["role"] == "system":
            raise ValueError(
                "The system's message must be the first. Received: role='system' "
                f"(message {number} of {where})"
            )
    if messages[-1]["role"] in ("assistant", "system"):
        raise ValueError(
            "The last message must not be the model's or the system's. Received: "
            f"role={messages[-1]['role']!r} (message {len(messages) - 1} of {where})"
        )
    return [dict(message) for message in messages]
