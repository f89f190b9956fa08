"""Pairs of segments for next-sentence prediction.

The algorithm is BERT's (Devlin et al. 2018, A.2), as in Google's
create_pretraining_data.py (https://github.com/google-research/bert): consecutive
sentences are taken until they reach the target length, and split in two at random; half
the time the second part is replaced by text from another document, and the next pair
begins where the first part ended; a pair that is too long loses tokens from its longer
part, each from the front or the back at random. There are two differences: the target
length is drawn for every pair, not once per document, so that a long document does not
have only short pairs; and the other document is never the same one.

Nothing is copied: a pair is two ranges of the corpus's tokens.
"""

import bisect
import random
from typing import NamedTuple

from tfzoo.errors import DataError

_SENTENCES_AT_ONCE = 4096
_DOCUMENTS_AT_ONCE = 4096


class Pair(NamedTuple):
    """Two token ranges of a corpus: [a_start, a_start + a_length), and likewise b.

    `is_random` is 1 if b is from another document, 0 if it follows a. A single segment
    has b_length 0.
    """

    a_start: int
    a_length: int
    b_start: int
    b_length: int
    is_random: int


def sentence_pairs(
    corpus,
    *,
    max_sequence_length,
    short_sequence_fraction=0.1,
    next_sentence=True,
    seed=0,
    epoch=0,
):
    """Yields the pairs of one pass over the corpus, in order.

    A pure function of the corpus and the arguments; each document has its own random
    numbers.

    Args:
        corpus: A `Corpus`.
        max_sequence_length: Maximum number of tokens of [CLS] a [SEP] b [SEP].
        short_sequence_fraction: Fraction of pairs with a random, smaller target length.
        next_sentence: Whether examples have two segments. If not, each is [CLS] a
            [SEP], a contiguous part of a document; every token is used exactly once.
        seed: Integer >= 0.
        epoch: Number of the pass, starting at 0.

    Raises:
        DataError: `next_sentence` is True and the corpus has a single document.
    """
    special = 3 if next_sentence else 2
    if max_sequence_length < special + 2:
        raise ValueError(
            f"max_sequence_length must be >= {special + 2}. "
            f"Received: max_sequence_length={max_sequence_length}"
        )
    if not 0 <= short_sequence_fraction <= 1:
        raise ValueError(
            "short_sequence_fraction must be in [0, 1]. "
            f"Received: short_sequence_fraction={short_sequence_fraction}"
        )
    if seed < 0 or epoch < 0:
        raise ValueError(
            f"seed and epoch must be >= 0. Received: seed={seed}, epoch={epoch}"
        )
    if next_sentence and corpus.num_documents < 2:
        raise DataError(
            "Next-sentence prediction requires at least two documents, so that a "
            "random next sentence can come from another one. Received: 1.",
            fix="Separate documents by blank lines, give more files, or train without "
            "next-sentence prediction (--no-next-sentence).",
        )
    target = _Target(max_sequence_length - special, short_sequence_fraction)
    make = _pairs_of if next_sentence else _stretches_of
    for block in range(0, corpus.num_documents, _DOCUMENTS_AT_ONCE):
        stop = min(block + _DOCUMENTS_AT_ONCE, corpus.num_documents)
        starts = corpus.document_starts(block, stop)
        for document in range(block, stop):
            numbers = random.Random(((seed << 32 | epoch) << 64) | document)
            first, last = starts[document - block], starts[document - block + 1]
            yield from make(corpus, document, first, last, target, numbers)


class _Target(NamedTuple):
    longest: int
    short_fraction: float

    def draw(self, numbers):
        if self.short_fraction and numbers.random() < self.short_fraction:
            return _between(numbers, 2, self.longest)
        return self.longest


def _pairs_of(corpus, document, first, last, target, numbers):
    longest, i = target.longest, first
    begin, starts = first, []
    while i < last:
        if begin + len(starts) - 1 < min(last, i + longest):
            begin = i
            starts = corpus.sentence_starts(i, min(last, i + _window(longest)))
        at = i - begin
        wanted = target.draw(numbers)
        end = bisect.bisect_left(starts, starts[at] + wanted, at + 1)
        end = min(end, len(starts) - 1)
        middle = at + 1 if end == at + 1 else at + _between(numbers, 1, end - at - 1)
        a = (starts[at], starts[middle] - starts[at])
        is_random = end == at + 1 or numbers.random() < 0.5
        if is_random:
            b = _elsewhere(corpus, document, wanted - a[1], numbers)
            i = begin + middle
        else:
            b = (starts[middle], starts[end] - starts[middle])
            i = begin + end
        yield _truncated(*a, *b, longest, numbers, int(is_random))


def _elsewhere(corpus, document, wanted, numbers):
    """(start, length) of sentences of another document, beginning at a random one."""
    other = _between(numbers, 0, corpus.num_documents - 2)
    other += other >= document
    first, last = corpus.document_starts(other, other + 1)
    begin = _between(numbers, first, last - 1)
    wanted = max(wanted, 1)
    starts = corpus.sentence_starts(begin, min(last, begin + wanted))
    end = min(bisect.bisect_left(starts, starts[0] + wanted, 1), len(starts) - 1)
    return starts[0], starts[end] - starts[0]


def _truncated(a_start, a_length, b_start, b_length, longest, numbers, is_random):
    """Removes tokens from the longer segment (b, if equal) until both fit."""
    excess = a_length + b_length - longest
    if excess > 0:
        from_a = min(excess, max(a_length - b_length, 0))
        from_b = min(excess, max(b_length - a_length, 0))
        rest = excess - from_a - from_b
        from_a, from_b = from_a + rest // 2, from_b + rest - rest // 2
        a_start += _heads(numbers, from_a)
        b_start += _heads(numbers, from_b)
        a_length, b_length = a_length - from_a, b_length - from_b
    return Pair(a_start, a_length, b_start, b_length, is_random)


def _stretches_of(corpus, document, first, last, target, numbers):
    start = corpus.sentence_starts(first, first)[0]
    end = corpus.sentence_starts(last, last)[0]
    while start < end:
        length = min(target.draw(numbers), end - start)
        yield Pair(start, length, 0, 0, 0)
        start += length


def _window(longest):
    return max(_SENTENCES_AT_ONCE, 2 * longest)


def _between(numbers, low, high):
    """A random integer in [low, high], the same in every version of Python."""
    return low + int(numbers.random() * (high - low + 1))


def _heads(numbers, tosses):
    return numbers.getrandbits(tosses).bit_count() if tosses else 0
