"""From ids to text incrementally, as the library of the model does it at once."""

import codecs
import re

import numpy as np

_INVALID = re.compile("[\udc80-\udcff]")  # a byte that Python could not decode


class PieceDecoder:
    """Decodes ids for a `TextStream`.

    Args:
        texts: `PieceTexts`.
        checked: Function of an id that returns it, or raises if it is invalid.
        is_inside: Whether the ids are inside a text.
    """

    def __init__(self, texts, checked, *, is_inside):
        self._texts, self._checked, self._is_inside = texts, checked, is_inside
        self._bytes = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._start()

    def _start(self):
        self._has_begun = self._is_inside
        self._strips_space = self._texts.strips_space and not self._is_inside
        self._run = ""  # the text of adjacent bytes

    def add(self, ids):
        """The text that an id, or an iterable of ids, completes."""
        ids = map(self._checked, [ids] if np.ndim(ids) == 0 else ids)
        return self._stripped("".join(map(self._text_of, ids)))

    def end(self):
        """The rest; a new text may follow."""
        text = self._stripped(self._end_of_run())
        self._start()
        return text

    def _text_of(self, index):
        texts = self._texts
        if not texts.is_text[index]:
            return ""
        has_begun = self._has_begun
        self._has_begun |= bool(texts.is_begun[index])
        value = texts.values[index]
        if value >= 0:
            self._run += self._bytes.decode(bytes([value]))
            return "" if texts.needs_whole_runs else self._of_run()
        return self._end_of_run() + (texts.inside if has_begun else texts.first)[index]

    def _end_of_run(self):
        self._run += self._bytes.decode(b"", final=True)
        self._bytes.reset()
        return self._of_run()

    def _of_run(self):
        """The text of the bytes so far, of which no more is kept."""
        run, self._run = self._run, ""
        if self._texts.needs_whole_runs and _INVALID.search(run):
            run = "\ufffd" * len(run.encode("utf-8", "surrogateescape"))
        return _INVALID.sub("\ufffd", run)

    def _stripped(self, text):
        if self._strips_space and text:
            self._strips_space = False
            return text.removeprefix(" ")
        return text
