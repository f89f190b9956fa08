"""Conversations, for a causal language model that has a chat template."""

from tfzoo.errors import require_flags, shown
from tfzoo.tasks.causal_lm.generating import Generating, GenerationCall
from tfzoo.text.chat_template import ChatTemplate, checked
from tfzoo.text.tokenizer import special_texts

# Role of a special token -> variable of chat templates
_VARIABLES = {
    "start": "bos_token",
    "end": "eos_token",
    "unknown": "unk_token",
    "pad": "pad_token",
    "sep": "sep_token",
    "cls": "cls_token",
    "mask": "mask_token",
}


class Chatting(Generating):
    """Mixin: `chat` and `stream_chat`.

    Besides what `Generating` asks for, a task defines `chat_template`, the source of
    its Jinja template, or None.
    """

    def chat(
        self,
        messages,
        *,
        template_arguments=None,
        return_dict_in_generate=False,
        batch_size=32,
        **options,
    ):
        """The model's answer to a conversation.

        The conversation becomes a text by the `chat_template` of the checkpoint, which
        runs in a process of its own, see `ChatTemplate`. Unlike in `generate`, nothing
        is put before this text, and all special tokens in it are recognized.

        Args:
            messages: A conversation, or a list of conversations: each a list of dicts
                with the texts `role` (`"system"` for the first only, `"user"`,
                `"assistant"` or what the template knows) and `content`.
            template_arguments: Dict of further variables of the template, such as
                `{"enable_thinking": False}`.
            return_dict_in_generate: Whether to return `Generated` instead of texts.
            batch_size: As in `generate`.
            **options: As in `generate`, except `truncation="left"`.

        Returns:
            The text of the answer, or a list of texts.

        Raises:
            ValueError: there is no template, or it rejects the conversation; a message
                lacks its role or its content, or has a special token in its text, which
                could end the turn; or as `generate`.
            TokenizerError: the template is invalid, or takes more than a second or
                200 MB.
        """
        conversations, single = _conversations(messages)
        call = self._chat_call(options)
        prompts = self._prompts_of(conversations, template_arguments)
        results = call.results(prompts, batch_size)
        if not return_dict_in_generate:
            results = [[generated.text for generated in group] for group in results]
        if options.get("num_return_sequences") is None:
            results = [group[0] for group in results]
        return results[0] if single else results

    def stream_chat(self, messages, *, template_arguments=None, **options):
        """The model's answer to one conversation, incrementally.

        Args:
            messages: One conversation, as in `chat`.
            template_arguments: As in `chat`.
            **options: As in `stream`.

        Yields:
            Pieces of text as from `stream`; together they equal the result of `chat`.
        """
        conversations, single = _conversations(messages)
        if not single:
            raise ValueError(
                "stream_chat takes one conversation. Received: "
                f"{len(conversations)} conversations"
            )
        call = self._chat_call(options)
        call.check_stream()
        return call.streamed(*self._prompts_of(conversations, template_arguments))

    @property
    def template(self):
        """The `ChatTemplate`, with the special tokens of the tokenizer.

        Raises:
            ValueError: there is none.
        """
        if self.chat_template is None:
            raise ValueError(
                "chat requires a chat template, which this model has not. Pass "
                "chat_template to from_preset, or use generate."
            )
        named = {
            variable: getattr(self.tokenizer, f"{role}_token", None)
            for role, variable in _VARIABLES.items()
        }
        tokens = {n: token for n, token in named.items() if token is not None}
        return ChatTemplate(self.chat_template, tokens, path=self.tokenizer.path)

    def turn(self, *, chat=False, system=None, template_arguments=None):
        """The `OneTurn` that an export serves, None without `chat`.

        Args:
            chat: Whether prompts are messages of the user, and the model answers.
            system: Text of the system's message, for all of them.
            template_arguments: As in `chat`.

        Raises:
            ValueError: the others are given without `chat`, or there is no template.
            TokenizerError: the template is invalid, or does more with the message than
                to put texts around it.
        """
        require_flags(chat=chat)
        if chat:
            return self.template.one_turn(system, **(template_arguments or {}))
        given = {"system": system, "template_arguments": template_arguments}
        for name, value in given.items():
            if value is not None:
                raise ValueError(f"{name} requires chat=True. Received: {shown(value)}")
        return None

    def _chat_call(self, options):
        if options.get("truncation") not in (None, "error"):
            raise ValueError(
                "truncation must be 'error' in a chat, whose start is part of the "
                f"template. Received: {options['truncation']!r}"
            )
        return GenerationCall(self, options, self._compiled_generation)

    def _prompts_of(self, conversations, template_arguments):
        """The ids of conversations, up to where the answers begin."""
        special = special_texts(self.tokenizer)
        conversations = [checked(c, row) for row, c in enumerate(conversations)]
        for row, conversation in enumerate(conversations):
            for number, message in enumerate(conversation):
                for token in special:
                    if token in message["content"]:
                        raise ValueError(
                            f"A message must not contain the special token {token}. "
                            f"Received: {shown(message['content'])} (message {number} "
                            f"of conversation {row})"
                        )
        texts = self.template.render(conversations, **(template_arguments or {}))
        return self.tokenizer.tokenize(texts, special_tokens=True)


def _conversations(messages):
    """List of conversations, and whether a single one was given."""
    if isinstance(messages, str | bytes | dict) or not hasattr(messages, "__iter__"):
        raise ValueError(
            "messages must be a list of dicts with role and content, or a list of such "
            f"lists. Received: {shown(messages)}"
        )
    messages = list(messages)
    single = not messages or not isinstance(messages[0], list | tuple)
    return ([messages] if single else messages), single
