"""Splits a stream of running text into sentences by punctuation.

A sentence ends at `.`, `!`, `?` or an ellipsis (and any closing quotes and brackets) if
whitespace follows, and after it anything but a lowercase letter; and at the full-width
marks of Chinese and Japanese, with or without whitespace. A dot does not end a sentence
after a single letter other than I ("J. Smith") or after one of the abbreviations below.
These are rules, not a model: good enough to cut text into pieces, occasionally wrong.
"""

import re

MAX_SENTENCE_CHARACTERS = 10_000
ABBREVIATIONS = frozenset(
    "adj al apr aug ave bros ca capt cf cmdr co col corp dec dept dr ed eds eg etc "
    "feb fig figs gen gov hon ie inc jan jr lt ltd maj mr mrs ms mt nos nov oct "
    "pp pres prof rep rev sen sep sept sgt sr st vol vols vs".split()
)
_CLOSING = "\"'\u2019\u201d\u00bb)\\]}"
_END = re.compile(
    rf"[.!?\u2026]+[{_CLOSING}]*(?=\s)|[\u3002\uff01\uff1f]+[{_CLOSING}\u300d\u300f]*"
)
_LAST_WORD = re.compile(r"([^\W\d_]+)\.$")


class SentenceSplitter:
    """Takes text in pieces and returns complete sentences.

    Args:
        verbatim: Whether the whitespace between two sentences is the beginning of the
            second, so that all of them together are the text. If not, it is dropped.
    """

    def __init__(self, *, verbatim=False):
        self._text, self._verbatim = "", verbatim

    def feed(self, text):
        """Adds a piece of running text; returns the sentences that end in it."""
        self._text += text
        sentences, begin = [], 0
        for end in _ends(self._text):
            sentences.append(self._text[begin:end])
            begin = end
        rest = self._text[begin:]
        while len(rest) > MAX_SENTENCE_CHARACTERS:
            cut = rest.rfind(" ", 1, MAX_SENTENCE_CHARACTERS)
            cut = MAX_SENTENCE_CHARACTERS if cut < 0 else cut
            sentences.append(rest[:cut])
            rest = rest[cut:]
        self._text = rest
        return self._chosen(sentences)

    def finish(self):
        """Returns the rest as the last sentence, and starts a new text."""
        rest, self._text = self._text, ""
        return self._chosen([rest])

    def _chosen(self, sentences):
        if not self._verbatim:
            sentences = map(str.strip, sentences)
        return [sentence for sentence in sentences if sentence]


def split_sentences(text):
    """Splits a text into sentences, without surrounding whitespace."""
    splitter = SentenceSplitter()
    return splitter.feed(text) + splitter.finish()


def _ends(text):
    for match in _END.finditer(text):
        end = match.end()
        following = re.compile(r"\S").search(text, end)
        if match[0][0] in "\u3002\uff01\uff1f":
            if following:
                yield end
        elif following and not following[0].islower() and not _is_short(text, match):
            yield end


def _is_short(text, match):
    if not match[0].startswith(".") or match[0].startswith(".."):
        return False
    word = _LAST_WORD.search(text, max(0, match.start() - 20), match.start() + 1)
    if word is None:
        return False
    return (len(word[1]) == 1 and word[1] != "I") or word[1].lower() in ABBREVIATIONS
