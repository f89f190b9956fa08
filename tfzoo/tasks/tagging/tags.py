"""Converts logits of tokens to labeled words and entities.

Shapes: N texts, S tokens, W words, C labels.
"""

import re

import numpy as np
import tensorflow as tf

from tfzoo.text.tokenizer import WHITE_SPACE
from tfzoo.training.entities import OUTSIDE, entity_spans

_SPACES = re.compile(f"{WHITE_SPACE}*")


def likeliest_labels(logits):
    """Logits (..., C) -> indices of the most likely labels, int32; their probabilities.

    Used in Python and in served graphs.
    """
    probabilities = tf.nn.softmax(logits)
    indices = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
    return indices, tf.reduce_max(probabilities, axis=-1)


def _labelled(logits, labels):
    """`label` and `score` of each row of logits (N, C); None and 0 for NaN."""
    found = likeliest_labels(logits.astype(np.float64))
    rows = zip(*(x.numpy() for x in found), strict=True)
    unread = np.isnan(logits).any(axis=-1)
    return [
        {"label": None, "score": 0.0}
        if missing
        else {"label": labels[index], "score": float(score)}
        for (index, score), missing in zip(rows, unread, strict=True)
    ]


def tagged_text(text, encoding, logits, labels):
    """The answer for a text, with the words of the tokenizer.

    Words of white space only, which byte-level BPE has, are skipped.

    Args:
        text: str or bytes.
        encoding: Its `Encoding`.
        logits: Logits (S, C) of its tokens.
        labels: Names of the C labels.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    words, before = [], None
    found = _labelled(logits, labels)
    for token, word in enumerate(encoding.word_ids):
        if word is not None:
            start, end = encoding.offsets[token]
            if word != before:
                words.append({**found[token], "start": start, "end": end})
            words[-1]["end"] = end
        before = word
    for word in words:
        word["word"] = text[word["start"] : word["end"]]
    words = [word for word in words if not _SPACES.fullmatch(word["word"])]
    return _answer(words, labels, lambda start, end: text[start:end])


def tagged_words(words, logits, labels):
    """The answer for a list of words.

    Args:
        words: W strings.
        logits: (W, C), NaN for words that were not read.
        labels: Names of the C labels.
    """
    tagged = [
        {**found, "start": i, "end": i + 1, "word": word}
        for i, (found, word) in enumerate(
            zip(_labelled(logits, labels), words, strict=True)
        )
    ]
    return _answer(tagged, labels, lambda start, end: " ".join(words[start:end]))


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
