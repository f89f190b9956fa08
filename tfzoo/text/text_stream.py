"""Text as it comes: ids in, and out what of their text can no longer change."""

import codecs


class TextStream:
    """Turns ids into text bit by bit, never cutting a character in two.

    What `add` and then `end` return is together what `detokenize` gives of all ids.

    Args:
        tokenizer: A `ByteBPETokenizer`.
    """

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, ids):
        """The text that these ids complete; the start of a character waits.

        Args:
            ids: An id or an iterable of ids.
        """
        return self._decoder.decode(self._tokenizer.bytes_of(ids))

    def end(self):
        """What is left, a character cut short as U+FFFD; then a new text can start."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return text
