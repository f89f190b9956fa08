"""Base class of the tokenizers whose ids a decoder may generate."""

import numpy as np

from tfzoo.text.text_stream import ByteDecoder, TextStream
from tfzoo.text.tokenizer import AROUND_TEXTS, Tokenizer


class GenerativeTokenizer(Tokenizer):
    """Base of the tokenizers with a start and an end token.

    Subclasses define, besides what `Tokenizer` asks for:

        _bytes: Sequence of the bytes of every id.
    """

    special_names = (*AROUND_TEXTS, "start", "end")

    @property
    def filling_id(self):
        """The pad token's id; if there is none, the end token's."""
        if self.pad_id is None and self.end_id is not None:
            return self.end_id
        return super().filling_id

    def tokenize(self, text, *, end_token=False, special_tokens=False):
        """Ids without special tokens around the text.

        Args:
            text: A text (str or bytes), or an iterable of texts.
            end_token: Whether the end token is recognized in texts.
            special_tokens: Whether all special tokens are, as chat templates need.

        Returns:
            List of ids, or list of such lists.
        """
        options = dict(end_token=end_token, special_tokens=special_tokens)
        if isinstance(text, str | bytes):
            return next(self._engine.tokenize([text], **options))
        return list(self._engine.tokenize(text, **options))

    def tokenize_batch(self, texts, *, end_token=False):
        """The ids of many texts without special tokens, concatenated.

        Args:
            texts: Iterable of N texts.
            end_token: Whether the end token is recognized in texts.

        Returns:
            A `TokenizedTexts`.
        """
        return self._engine.tokenize_batch(texts, end_token=end_token)

    def bytes_of(self, ids):
        """The bytes of an id or an iterable of ids, which may not be valid UTF-8.

        They are those in the middle of a text, where no space is left out. Special
        tokens have none.
        """
        ids = [ids] if np.ndim(ids) == 0 else ids
        return b"".join(self._bytes[self._checked(index)] for index in ids)

    def continuation(self, before, ids):
        """The text that ids add to that of the ids before them.

        Args:
            before: Ids of the text before.
            ids: Ids of one text.
        """
        del before  # of no effect where each token adds the same text everywhere
        return self.detokenize(ids)

    def stream(self, before=()):
        """A `TextStream`, which decodes ids to text incrementally.

        Args:
            before: Ids of the text that the ids continue, as in `continuation`.
        """
        del before
        return TextStream(ByteDecoder(self.bytes_of))
