"""Removes or splits words so long that training on them would take hours.

A tokenizer is trained by merging neighbors within words, and each merge rewrites all
words that contain it: for a word of a megabyte, that is a megabyte for every token.
"""

import functools
import logging
import re

LONGEST_WORD = 1000  # characters; up to this, only the length of the text matters
_PART = 1 << 17  # characters to split at once; Ctrl+C waits for them

logger = logging.getLogger("tfzoo")

_SPACES = " \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_OF_BPE, _OF_WORDPIECE = (
    re.compile(
        rf"(?<![^{space}])[^{space}]{{{LONGEST_WORD + 1}}}"
        rf"|(?<![{space}])[{space}]{{{LONGEST_WORD + 1}}}"
    )
    for space in (f"\t-\r\x85{_SPACES}", f"\t\n\r{_SPACES}")
)


class LongWords:
    """Limits the words of texts to `LONGEST_WORD` characters.

    A text without longer words is unchanged.

    Args:
        split: Function of a text that returns its words, each with its start and end in
            characters, like a pre-tokenizer of `tokenizers`.
    """

    def __init__(self, split):
        self.count, self._split = 0, split

    def cut(self, texts):
        """Yields `texts` with the long words of GPT-2's pattern split into pieces."""
        for text in texts:
            if len(text) <= LONGEST_WORD or not _OF_BPE.search(text):
                yield text
                continue
            for part, inside in _parts(text, self._ends_bpe_word):
                done = 0
                for _, (start, end) in self._split(part):
                    if self._is_long(end - start, inside and not start):
                        yield part[done:start]
                        for place in range(start, end, LONGEST_WORD):
                            yield part[place : min(place + LONGEST_WORD, end)]
                        done = end
                yield part[done:]

    def left_out(self, texts, normalize):
        """Yields `texts` without the long words of BERT, found after `normalize`."""
        for text in texts:
            if len(text) <= LONGEST_WORD or not _OF_WORDPIECE.search(text):
                yield text
                continue
            ends_word = functools.partial(self._ends_bert_word, normalize)
            for part, inside in _parts(text, ends_word):
                words = self._split(normalize(part))
                kept = [
                    word
                    for word, (start, _) in words
                    if not self._is_long(len(word), inside and not start)
                ]
                yield part if len(kept) == len(words) else " ".join(kept)

    def _ends_bpe_word(self, text, i):
        before, after = text[i - 1], text[i]
        if before.isspace() or (before.isalpha() and after.isalpha()):
            return False  # how white space is split depends on what follows
        if before == "'" and (i < 2 or text[i - 2].isalnum() or text[i - 2].isspace()):
            return False  # may begin a word like "'re"
        return len(self._split(before + after)) > 1

    def _ends_bert_word(self, normalize, text, i):
        pair = text[i - 1 : i + 1]
        if pair.isascii() and pair.isalnum():
            return False
        return pair[1] in " \t\n\r" or len(self._split(normalize(pair))) > 1

    def _is_long(self, length, goes_on):
        self.count += length > LONGEST_WORD and not goes_on
        return length > LONGEST_WORD or goes_on

    def tell(self, what):
        """Logs the number of long words and what was done with them."""
        if self.count:
            logger.warning(
                "Words of more than %d characters were %s: %d.",
                LONGEST_WORD,
                what,
                self.count,
            )


def _parts(text, ends_word):
    """Yields parts of a text, split between words, and whether each starts in a word.

    Only a word as long as a part is ever split.

    Args:
        text: str.
        ends_word: Function of the text and an index; whether a word surely ends there.
    """
    start, inside = 0, False
    while start < len(text):
        end = min(start + _PART, len(text))
        is_whole = end == len(text)
        if not is_whole:
            places = range(end, start, -1)
            whole = next((i for i in places if ends_word(text, i)), None)
            is_whole, end = whole is not None, end if whole is None else whole
        yield text[start:end], inside
        start, inside = end, not is_whole
