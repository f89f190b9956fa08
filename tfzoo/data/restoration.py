"""Capitals and punctuation: words that label themselves, and the way back to text.

Every text is a training example for restoring what it looks like without capitals and
punctuation, as in the output of speech recognition. A label shows the word it stands
for: `Word,` is a word with a capital and a comma.
"""

import itertools
import re

MARKS = ",.:;?!"


def _capitalized(word):
    """The word with its first letter, which a digit may precede, as a capital."""
    return re.sub(r"[^\W\d_]", lambda letter: letter[0].upper(), word, count=1)


_SHAPES = {"word": str, "Word": _capitalized, "WORD": str.upper}
LABELS = tuple(shape + mark for shape in _SHAPES for mark in ("", *MARKS))
PLAIN = LABELS[0]
IGNORED = -100  # label of a word that has capitals elsewhere, such as "NumPy"
_FROM_LETTER_TO_LETTER = re.compile(r"[^\W_](?:.*[^\W_])?", re.DOTALL)


def bare_words(text):
    """The words of a text without capitals and punctuation, and what was removed.

    A word is what stands between spaces, from its first to its last letter or digit:
    quotes, brackets and dashes around it are dropped for good, and those inside stay.

    Args:
        text: A string.

    Returns:
        The words in lowercase, and for each its label, one of `LABELS`: whether it has
        no capitals, a first one or only capitals, and the first of the `MARKS` behind
        it. The label is `IGNORED` if its capitals are elsewhere.
    """
    words, labels = [], []
    for piece in text.split():
        found = _FROM_LETTER_TO_LETTER.search(piece)
        rest = piece[found.end() :] if found else piece
        mark = next((character for character in rest if character in MARKS), "")
        if found:
            words.append(found[0].lower())
            shape = _shape(found[0])
            labels.append(IGNORED if shape is None else shape + mark)
        elif labels and labels[-1] in _SHAPES:  # "word ," as some corpora write it
            labels[-1] += mark
    return words, labels


def _shape(word):
    lower = word.lower()
    return next((s for s, apply in _SHAPES.items() if apply(lower) == word), None)


def restored(text, tagged):
    """Text without capitals and punctuation -> the text with those of its labels.

    Args:
        text: A string.
        tagged: Dicts with `label` and `start`, its position in the text, as from
            `TokenClassifier.tag` and its SavedModel; those inside a word are ignored.
    """
    labels = {word["start"]: word["label"] for word in tagged}
    return " ".join(
        _applied(labels.get(word.start(), PLAIN), word[0])
        for word in re.finditer(r"\S+", text)
    )


def _applied(label, word):
    shape = label.rstrip(MARKS)
    return _SHAPES[shape](word) + label[len(shape) :]


def capitals_f1(true, found):
    """F1 of the words with capitals: are they found, as `Word` or as `WORD`?

    Args:
        true: Labels of all words in order; `IGNORED` ones do not count.
        found: As many labels.

    Returns:
        2 * right / (words with capitals in `true` + in `found`); 0 if there are none.
    """
    return _f1(true, found, lambda label: label.rstrip(MARKS))


def punctuation_f1(true, found):
    """F1 of the words with a mark behind them: is it the right one?

    Arguments and result are as in `capitals_f1`, with marks in place of capitals.
    """
    return _f1(true, found, lambda label: label[len(label.rstrip(MARKS)) :])


def _f1(true, found, part):
    """F1 of a part of the labels, where it is not that of `PLAIN`."""
    pairs = [
        (part(t), part(f)) for t, f in zip(true, found, strict=True) if t != IGNORED
    ]
    right = sum(t == f != part(PLAIN) for t, f in pairs)
    marked = sum((t != part(PLAIN)) + (f != part(PLAIN)) for t, f in pairs)
    return 2 * right / marked if marked else 0.0


def passages(words, labels, sizes, most_tokens):
    """Cuts a text into passages, in which sentences begin and end anywhere.

    Args:
        words: The words of the text.
        labels: As many labels.
        sizes: As many numbers of tokens.
        most_tokens: Maximum number of tokens of a passage; a larger word is a passage
            of its own.

    Returns:
        For each passage a list of its words; for each a list of their labels.
    """
    bounds, used = [0], 0
    for place, size in enumerate(sizes):
        used += size
        if used > most_tokens and place > bounds[-1]:
            bounds.append(place)
            used = size
    bounds.append(len(words))
    cuts = [slice(*pair) for pair in itertools.pairwise(bounds)]
    return [words[cut] for cut in cuts], [labels[cut] for cut in cuts]
