"""Streaming detokenization: ids in, and out the text that can no longer change."""

import codecs


class TextStream:
    """Turns ids into text incrementally, without splitting a character.

    The results of `add` and `end` together equal the tokenizer's `continuation` with
    all ids.

    Args:
        decoder: Has `add` and `end` as here, for a tokenizer without the following.
        suffix: What marks the end of a word, and becomes a space; "" for nothing.
        strips: Whether white space around the whole text is removed.
        is_inside: Whether the text continues another.
    """

    def __init__(self, decoder, *, suffix="", strips=False, is_inside=False):
        self._decoder, self._suffix, self._strips = decoder, suffix, strips
        self._is_inside, self._held, self._has_begun = is_inside, "", is_inside

    def add(self, ids):
        """The text that these ids complete; an incomplete character is kept back.

        Args:
            ids: An id or an iterable of ids.
        """
        return self._settled(self._decoder.add(ids))

    def end(self):
        """The rest, with U+FFFD for an incomplete character; a new text may follow."""
        text = self._settled(self._decoder.end())
        rest = self._held.rstrip() if self._strips else self._held
        self._held, self._has_begun = "", self._is_inside
        return text + rest

    def _settled(self, text):
        """The text so far that was not yet returned and that nothing can change."""
        text = self._held + text
        if self._suffix:
            text = text.replace(self._suffix, " ")
        if self._strips and not self._has_begun:
            text = text.lstrip()
        self._has_begun |= bool(text)
        size = len(text)
        for part in range(1, len(self._suffix)):  # the start of a suffix
            if text.endswith(self._suffix[:part]):
                size = len(text) - part
        if self._strips:
            size = len(text[:size].rstrip())
        self._held = text[size:]
        return text[:size]


class ByteDecoder:
    """Decodes ids whose bytes form a text in UTF-8, for a `TextStream`.

    Args:
        bytes_of: Function of an id, or an iterable of ids, that returns their bytes.
    """

    def __init__(self, bytes_of):
        self._bytes_of = bytes_of
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, ids):
        """The characters that these ids complete."""
        return self._decoder.decode(self._bytes_of(ids))

    def end(self):
        """U+FFFD for an incomplete character; a new text may follow."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return text
