"""What a served model reads: prompts as they are, or messages within a chat template.

Shapes: B rows, P columns of prompts.
"""

import re

import tensorflow as tf

from tfzoo.errors import TokenizerError, shown
from tfzoo.serving.request_rows import last_ids
from tfzoo.serving.text_parts import flat_rows, ragged_rows, text_in_parts
from tfzoo.text.graph_with_tokens import valid
from tfzoo.text.tokenizer import special_texts

# What `str.strip` removes
_SPACE = "[\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
_PROBES = ("Hi!", " two\n lines ", "1 + 1 = 2", "'s", "\u00e9\u4e00\u0301\u200b", "")


class Prompts:
    """Prompts (B,) -> their ids, with the first token of the tokenizer's layout.

    An end token in a prompt is recognized, and an empty prompt is the end token.

    Args:
        tokenizer: The tokenizer.
        context: Maximum number of tokens of a prompt.

    Call arguments:
        texts: Strings (B,).
        most: int32 (B,), maximum number of ids of each row, of which the last are kept.

    Returns:
        int32 (B, P), padded on the right, and the numbers of ids, int32 (B,).
    """

    token = "end"  # recognized in texts

    def __init__(self, tokenizer, context):
        self._tokenizer, self._context = tokenizer, context
        first = tokenizer.layout_ids.first
        self.before, self.after = [] if first is None else [first], []

    @property
    def num_fixed(self):
        """Number of ids that are the same in all prompts."""
        return len(self.before) + len(self.after)

    def __call__(self, texts, most):
        ids = self._tokenized(self.plain(texts))
        end = tf.tile(tf.constant([self.after], tf.int32), [ids.nrows(), 1])
        ids = tf.concat([ids, end], axis=1) if self.after else ids
        return last_ids(
            ids, most, self._tokenizer.required_id("end"), first=self.before
        )

    def plain(self, texts):
        """The texts (B,) between the ids that are the same in all prompts."""
        return texts

    def _tokenized(self, texts):
        """Ragged ids (B, None), at most as many as the context has."""

        def tokenize(texts):
            ids = self._tokenizer.graph.in_bounds(texts["prompt"], self.token)
            return flat_rows({"ids": ids[:, -self._context :]})

        flat = text_in_parts(tokenize, {"prompt": texts})
        return ragged_rows(flat, ["ids"])["ids"]


class ChatPrompts(Prompts):
    """Messages of the user (B,) -> the ids of conversations of one turn.

    The special tokens of the template are ids around the message; in the message
    itself they are plain text, so that it cannot end its turn. What is too long loses
    the start of the message.

    Args:
        tokenizer: The tokenizer.
        context: Maximum number of tokens of a prompt.
        turn: A `OneTurn` of the chat template.

    Raises:
        TokenizerError: the tokenizer reads the text of the template in another way if
            it is not in one piece.
    """

    token = None

    def __init__(self, tokenizer, context, turn):
        super().__init__(tokenizer, context)
        special = map(re.escape, sorted(special_texts(tokenizer), key=len)[::-1])
        pattern = re.compile("|".join(special) or r"(?!)", re.DOTALL)
        head = max((found.end() for found in pattern.finditer(turn.before)), default=0)
        found = pattern.search(turn.after)
        tail = len(turn.after) if found is None else found.start()
        self._texts = turn.before[head:], turn.after[:tail]
        self._strips, self._blank = turn.strips, turn.blank
        if turn.blank is not None:
            self._blank = turn.blank[head : len(turn.blank) - len(turn.after) + tail]
        self.before, self.after = (
            tokenizer.tokenize(text, special_tokens=True)
            for text in (turn.before[:head], turn.after[tail:])
        )
        self._check(turn)

    def plain(self, texts):
        before, after = self._texts
        left, right = self._strips
        messages = valid(texts)
        if left:
            messages = tf.strings.regex_replace(messages, rf"\A{_SPACE}+", "")
        if right:
            messages = tf.strings.regex_replace(messages, rf"{_SPACE}+\z", "")
        texts = tf.strings.join([before, messages, after])
        if self._blank is None:
            return texts
        is_blank = tf.equal(tf.strings.length(messages), 0)
        return tf.where(is_blank, self._blank, texts)

    def _check(self, turn):
        """Compares the ids of some messages with those of the whole texts."""
        ids, counts = self(tf.constant(_PROBES), tf.fill([len(_PROBES)], 2**30))
        ids = tf.RaggedTensor.from_tensor(ids, lengths=counts).to_list()
        texts = list(map(turn.text, _PROBES))
        whole = self._tokenizer.tokenize(texts, special_tokens=True)
        for probe, row, expected in zip(_PROBES, ids, whole, strict=True):
            if row != expected:
                raise TokenizerError(
                    "The chat template of a served model must give the same ids in "
                    "parts, split at its special tokens, as in one piece. Received: "
                    f"other ids for the message {shown(probe)}.",
                    path=self._tokenizer.path,
                )
