"""Labels of words as answers to a user.

Shapes: N texts, S tokens, W words, C labels.
"""

import re

import numpy as np

from tfzoo.text.tokenizer import WHITE_SPACE
from tfzoo.training.entities import OUTSIDE, entity_spans

_SPACES = re.compile(f"{WHITE_SPACE}*")


def as_rows(rows, width):
    """Arrays (n, width) of different n as one (N, largest n, width), NaN after them."""
    longest = max(map(len, rows), default=0)
    result = np.full((len(rows), longest, width), np.nan, np.float32)
    for place, row in zip(result, rows, strict=True):
        place[: len(row)] = row
    return result


def tagged_text(text, encoding, logits, labels):
    """The answer to a text, whose words are those of the tokenizer.

    Byte-level BPE has words of white space alone; they are left out.

    Args:
        text: str or bytes.
        encoding: Its `Encoding`.
        logits: (S, C) of its tokens.
        labels: Names of the C labels.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    words, before = [], None
    for token, word in enumerate(encoding.word_ids):
        if word is not None:
            start, end = encoding.offsets[token]
            if word != before:
                label, score = _likeliest(logits[token], labels)
                words.append(dict(label=label, score=score, start=start, end=end))
            words[-1]["end"] = end
        before = word
    for word in words:
        word["word"] = text[word["start"] : word["end"]]
    words = [word for word in words if not _SPACES.fullmatch(word["word"])]
    return _answer(words, labels, lambda start, end: text[start:end])


def tagged_words(words, logits, labels):
    """The answer to a list of words.

    Args:
        words: W strings.
        logits: (W, C), NaN of a word that was not read.
        labels: Names of the C labels.
    """
    places = range(len(words))
    tagged = [
        dict(zip(("label", "score"), _likeliest(row, labels), strict=True))
        | dict(start=i, end=i + 1, word=word)
        for i, row, word in zip(places, logits, words, strict=True)
    ]
    return _answer(tagged, labels, lambda start, end: " ".join(words[start:end]))


def _likeliest(logits, labels):
    """The likeliest label and its probability; (None, 0) of NaN."""
    if np.isnan(logits).any():
        return None, 0.0
    exponentials = np.exp(logits.astype(np.float64) - logits.max())
    best = int(logits.argmax())
    return labels[best], float(exponentials[best] / exponentials.sum())


def _answer(words, labels, text_of):
    if OUTSIDE not in labels:
        return {"words": words}
    entities = []
    for kind, first, last in entity_spans([w["label"] or OUTSIDE for w in words]):
        start, end = words[first]["start"], words[last]["end"]
        scores = [word["score"] for word in words[first : last + 1]]
        entities.append(
            {
                "label": kind,
                "score": float(np.mean(scores)),
                "start": start,
                "end": end,
                "text": text_of(start, end),
            }
        )
    return {"words": words, "entities": entities}
