"""Streaming detokenization: ids in, and out the text that can no longer change."""

import codecs


class TextStream:
    """Turns ids into text incrementally, without splitting a character.

    The results of `add` and `end` together equal `detokenize` of all ids.

    Args:
        tokenizer: A `ByteBPETokenizer`.
    """

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, ids):
        """The text that these ids complete; an incomplete character is kept back.

        Args:
            ids: An id or an iterable of ids.
        """
        return self._decoder.decode(self._tokenizer.bytes_of(ids))

    def end(self):
        """The rest, with U+FFFD for an incomplete character; a new text may follow."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return text
