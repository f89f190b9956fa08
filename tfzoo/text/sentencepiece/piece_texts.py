"""From single ids to text, as the library of the model does it.

Both engines of decoding that are written here, `piece_decoder` and `graph_decoder`,
follow these rules.
"""

import re

import numpy as np

from tfzoo.text.sentencepiece.json_steps import BYTE_FALLBACK, METASPACE, STRIPPED
from tfzoo.text.sentencepiece.piece_model import SPACE

_BYTE = re.compile(r"<0x(\+?[0-9A-Fa-f]+)>")


class PieceTexts:
    """What each of V ids adds to a text.

    Args:
        tokenizer: `SentencePieceTokenizer`.

    Attributes:
        inside: List of str (V,), the text of an id inside a text.
        first: List of str (V,), the same at the start of a text, where the libraries
            leave out a space.
        values: List of int (V,), the byte that an id stands for instead, or -1.
        is_text: bool (V,), whether an id is more than nothing.
        is_begun: bool (V,), whether text after an id is inside a text.
        strips_space: Whether a space is removed from the start of the decoded text.
        strips: Whether white space around the decoded text is removed.
        needs_whole_runs: Whether a single invalid byte makes all bytes beside it
            U+FFFD; otherwise, those that are not in a character are.
    """

    def __init__(self, tokenizer):
        model, vocabulary = tokenizer.piece_model, tokenizer.vocabulary
        size = range(len(vocabulary))
        self.inside = [_text(tokenizer, index) for index in size]
        self.values = [_byte(tokenizer, index) for index in size]
        self.strips_space = model.decodes == STRIPPED
        self.strips = tokenizer.ids_of_pieces is not None
        self.needs_whole_runs = model.is_tokenizers
        self.first = list(map(_first(model), self.inside))
        self.first[tokenizer.unknown_id] = self.inside[tokenizer.unknown_id]
        is_byte = np.array(self.values) >= 0
        if model.is_tokenizers:
            has_token = [token is not None for token in vocabulary]
            self.is_text = ~tokenizer.special & has_token
            self.is_begun = self.is_text
            return
        self.is_text = np.array(list(map(bool, self.inside))) | is_byte
        self.is_begun = np.array(list(map(bool, self.first))) | is_byte
        if "remove_extra_spaces" not in model.steps:  # only one space is left out
            self.is_begun |= [text.startswith(" ") for text in self.inside]

    def has_begun(self, ids):
        """Whether there is text after which other text is inside a text."""
        return any(self.is_begun[index] for index in ids)

    def bytes_of(self, index):
        """The bytes of an id inside a text."""
        value = self.values[index]
        return self.inside[index].encode() if value < 0 else bytes([value])


def _first(model):
    """The function from the text of a piece to its text at the start of a text."""
    if model.is_tokenizers:
        if model.decodes == METASPACE:
            return lambda text: text.replace(" ", "")
    elif {"dummy_prefix", "remove_extra_spaces"} & {*model.steps}:
        return lambda text: text.removeprefix(" ")
    return str


def _text(tokenizer, index):
    model, token = tokenizer.piece_model, tokenizer.vocabulary[index]
    if index == tokenizer.unknown_id and not model.is_tokenizers:
        return model.unknown_surface
    if token is None or tokenizer.special[index]:
        return ""
    return token.replace(SPACE, " ")


def _byte(tokenizer, index):
    model, token = tokenizer.piece_model, tokenizer.vocabulary[index]
    if token is None or tokenizer.special[index] or len(token) != 6:
        return -1
    if model.is_tokenizers and model.decodes not in (BYTE_FALLBACK, STRIPPED):
        return -1
    if not model.is_tokenizers and not model.byte_fallback:
        return -1
    found = _BYTE.fullmatch(token)
    return int(found[1], 16) if found else -1
