"""Base class of the tokenizers: named special tokens, and encoding with them."""

import operator

import numpy as np

from tfzoo.errors import TokenizerError, about, printable
from tfzoo.text.layout import ROLES, Layout

# Unicode's White_Space, for regular expressions in Python and RE2
WHITE_SPACE = "[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
AROUND_TEXTS = ("pad", "unknown", "cls", "sep", "mask")


class Tokenizer:
    """Base of the tokenizers.

    A tokenizer has a vocabulary and two engines, a library's and one in TensorFlow
    operations, which return the same ids for every text. Subclasses define
    `get_config`, `graph`, `token_text` and:

        special_names: Names of the special tokens that it may have.
        usual_layout: The default `Layout` of texts.
        _files: The module that reads and writes its files, with `read_preset` and
            `write_preset`.
        _text_of: The text of a list of ids.
        _engine: The library's engine.
    """

    special_names = AROUND_TEXTS
    path = None  # of the preset it was read from, for errors

    def _name_tokens(self, ids, tokens):
        """Sets `pad_token`, `pad_id` and so on.

        Args:
            ids: Dict of token -> id.
            tokens: Dict of name of a special token -> token or None.
        """
        self._ids = ids
        for name in self.special_names:
            setattr(self, f"{name}_token", tokens[name])
            setattr(self, f"{name}_id", ids.get(tokens[name]))

    def _lay_out(self, layout):
        """Sets `layout`, after `_name_tokens`.

        Args:
            layout: A `Layout`, or None for the default.
        """
        if layout is None:
            self.layout = self.usual_layout
            return
        if not isinstance(layout, Layout):
            raise ValueError(f"layout must be a Layout. Received: {layout!r:.80}")
        known = [name for name in ROLES if name in self.special_names]
        for name in layout.tokens:
            if name not in known:
                raise ValueError(
                    "The tokens of a layout must be among "
                    f"{', '.join(map(repr, known))}. Received: {name!r}"
                )
        self.layout = layout
        if layout != self.usual_layout:
            _ = self.layout_ids  # raises if a token is missing

    @property
    def layout_ids(self):
        """The `layout` with ids in place of roles.

        Raises:
            TokenizerError: the vocabulary lacks one of the tokens.
        """
        return self.layout.map(self.required_id)

    @property
    def filling_id(self):
        """Id that fills rows up to a common length: the pad token's.

        Raises:
            TokenizerError: the vocabulary lacks such a token.
        """
        return self.required_id("pad")

    @property
    def begin_id(self):
        """Id from which a decoder predicts the first token of a text.

        It is the first token of the layout, or the end token if the layout has none.
        """
        first = self.layout_ids.first
        return self.required_id("end") if first is None else first

    def with_layout(self, layout):
        """This tokenizer, or a copy with another layout.

        Raises:
            TokenizerError: the vocabulary lacks a special token of the `Layout`.
        """
        if layout == self.layout:
            return self
        with about(self.path):
            copy = self.from_config(
                {**self.get_config(), "layout": layout.get_config()}
            )
        copy.path = self.path
        return copy

    def _layout_config(self):
        """The constructor argument `layout`, unless it is the default."""
        if self.layout == self.usual_layout:
            return {}
        return {"layout": self.layout.get_config()}

    @classmethod
    def from_config(cls, config):
        """Creates a tokenizer from the result of `get_config`."""
        layout = config.get("layout")
        return cls(**config | ({"layout": Layout(**layout)} if layout else {}))

    @classmethod
    def from_preset(cls, directory):
        """Reads the files of a tokenizer; the class says which.

        Args:
            directory: A directory with the files.

        Raises:
            TokenizerError: a file is missing, invalid or of another kind of tokenizer.
        """
        with about(directory, TokenizerError):
            tokenizer = cls(**cls._files.read_preset(directory))
        tokenizer.path = directory
        return tokenizer

    def save_to_preset(self, directory, *, max_sequence_length=None):
        """Writes the files of the tokenizer; the class says which.

        Args:
            directory: An existing directory without any of these files.
            max_sequence_length: Maximum number of tokens that the model reads, which is
                stored for `transformers`.

        Raises:
            OutputError: one of the files exists already, or cannot be written.
        """
        self._files.write_preset(self, directory, max_sequence_length)

    def __reduce__(self):
        return _from_config, (type(self), self.get_config())

    @property
    def vocabulary_size(self):
        """Number of ids V."""
        return len(self.vocabulary)

    @property
    def special(self):
        """bool (V,), True for special tokens."""
        return np.isin(np.arange(self.vocabulary_size), self.special_ids)

    def token_to_id(self, token):
        """Id of a token, or None if the vocabulary lacks it."""
        return self._ids.get(token)

    def id_to_token(self, index):
        """Token of an id, or None if the id has no token."""
        return self.vocabulary[self._checked(index)]

    def required_id(self, name):
        """Id of a special token, given its name, such as "mask".

        Raises:
            TokenizerError: the vocabulary lacks the token.
        """
        if name not in self.special_names:
            names = ", ".join(map(repr, self.special_names))
            raise ValueError(f"name must be one of {names}. Received: {name!r}")
        index, token = getattr(self, f"{name}_id"), getattr(self, f"{name}_token")
        if index is None:
            named = "" if token is None else f" {printable(token, 80)}"
            raise TokenizerError(
                f"The vocabulary must contain the {name} token{named} for this.",
                path=self.path,
                fix=f"Add it to the vocabulary, or pass another token as {name}_token.",
            )
        return index

    def encode(self, text, text_pair=None, *, max_length=None):
        """Encodes one text or pair with the special tokens that the model expects.

        Args:
            text: A text, str or bytes.
            text_pair: None, or a second text.
            max_length: Maximum number of tokens; the longer text is truncated first.

        Returns:
            An `Encoding`: ids, segments, offsets, words.
        """
        texts = [text] if text_pair is None else [text, text_pair]
        return self._engine.encode(texts, max_length)

    def encode_batch(
        self, texts, text_pairs=None, *, max_length=None, mask_token=False
    ):
        """Encodes many texts or pairs, with the same special tokens as `encode`.

        Args:
            texts: Iterable of N texts.
            text_pairs: None, or N second texts.
            max_length: Maximum number of tokens; the longer text is truncated first.
            mask_token: Whether the mask token is recognized in texts.

        Returns:
            An `EncodedBatch`.
        """
        columns = [texts] if text_pairs is None else [texts, text_pairs]
        return self._engine.encode_batch(columns, max_length, mask_token=mask_token)

    def tokenize(self, text):
        """Ids without special tokens.

        Args:
            text: A text (str or bytes), or an iterable of texts.

        Returns:
            List of ids, or list of such lists.
        """
        if isinstance(text, str | bytes):
            return next(self._engine.tokenize([text]))
        return list(self._engine.tokenize(text))

    def detokenize(self, ids):
        """Text of ids, without special tokens around texts and padding.

        Args:
            ids: Ids of one text, or an iterable of these; lists or arrays.

        Returns:
            A text, or a list of texts.
        """
        ids = list(ids)
        if ids and np.ndim(ids[0]):
            return [self.detokenize(row) for row in ids]
        return self._text_of(ids)

    def _checked(self, index):
        index = operator.index(index)
        if not 0 <= index < len(self.vocabulary):
            raise ValueError(
                "An id must be >= 0 and < the vocabulary size. Received: "
                f"id={index}, vocabulary_size={len(self.vocabulary)}"
            )
        return index


def special_texts(tokenizer):
    """List of the special tokens of a tokenizer."""
    tokens = map(tokenizer.id_to_token, tokenizer.special_ids)
    return [token for token in tokens if token]


def _from_config(cls, config):
    return cls.from_config(config)
