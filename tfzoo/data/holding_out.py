"""Selects the rows to hold out, stratified by label, by a hash of their text.

The position of a row plays no part, as rows are often sorted or interleaved. The
selection is a function of (texts, labels, seed), not of the order of the rows.
"""

import collections
import hashlib
import heapq
import math
import sys

from tfzoo.errors import DataError, require_whole

VALIDATION = "Give more examples, or a separate validation file (--validation)."


def rows_to_hold_out(texts, labels, period, seed, *, spec):
    """As `held_out_rows`, of which there must be some.

    If every text occurs too often to be held out, rows are taken regardless of their
    text, with a warning.

    Args:
        texts: As in `held_out_rows`.
        labels: As in `held_out_rows`.
        period: As in `held_out_rows`.
        seed: As in `held_out_rows`.
        spec: Source of the rows, for messages.

    Raises:
        DataError: there are fewer rows than `period`, or none can be held out.
    """
    require_whole("period", period, 2)
    if len(texts) < period:
        raise DataError(
            f"There must be at least {period} examples to hold out one in {period}. "
            f"Received: {len(texts)}.",
            path=spec,
            fix=VALIDATION,
        )
    rows = held_out_rows(texts, labels, period, seed)
    if not rows and len(set(texts)) < len(texts):
        rows = held_out_rows(numbered(texts), labels, period, seed)
        print(
            f"warning: {spec}: every text occurs too often to be held out entirely, so "
            f"the held-out texts are also in the training data. {VALIDATION}",
            file=sys.stderr,
        )
    if not rows:
        raise DataError(
            "Every class must keep at least one training example. Received: "
            f"{len(texts)} examples, none of which can be held out.",
            path=spec,
            fix=VALIDATION,
        )
    return rows


def held_out_rows(texts, labels, period, seed=0):
    """Selects about one in `period` rows, from every label in proportion.

    Rows with the same text stay together, so that no held-out text is trained on. Every
    label keeps a row for training; a label with a single row is not held out. Labels
    with fewer than `period` rows contribute one, the most frequent first, as long as
    the total allows.

    Args:
        texts: N hashable texts, or pairs of texts.
        labels: N sets of labels, of which the rarest determines the stratum; empty
            sets for no stratification.
        period: Integer >= 2.
        seed: Integer.

    Returns:
        Sorted list of row numbers; may be empty.
    """
    frequency = collections.Counter(label for row in labels for label in row)
    groups = _groups(texts, labels, seed)
    strata = collections.defaultdict(list)
    for group in groups:
        strata[_rarest(group.labels, frequency)].append(group)
    sizes = {c: sum(len(g.rows) for g in members) for c, members in strata.items()}
    several = sum(size > 1 for size in sizes.values())
    seats = _seats(sizes, max(len(texts) // period, min(2, several)))
    left = frequency.copy()
    return sorted(
        row
        for stratum in sorted(strata)
        for group in _chosen(strata[stratum], sizes[stratum], seats[stratum], left)
        for row in group.rows
    )


def numbered(texts):
    """Pairs each text with the number of its earlier occurrences: all are distinct."""
    before = collections.Counter()
    found = []
    for text in texts:
        found.append((text, before[text]))
        before[text] += 1
    return found


class _Group:
    """The rows of one text."""

    def __init__(self, order):
        self.order, self.rows, self.labels = order, [], collections.Counter()


def _groups(texts, labels, seed):
    """Groups rows by text, in the order of a hash of seed and text."""
    groups = {}
    for row, (text, names) in enumerate(zip(texts, labels, strict=True)):
        if text not in groups:
            content = repr((seed, text)).encode("utf-8", "surrogatepass")
            groups[text] = _Group(hashlib.sha256(content).digest())
        groups[text].rows.append(row)
        groups[text].labels.update(set(names))
    return sorted(groups.values(), key=lambda group: group.order)


def _rarest(labels, frequency):
    return min(labels, key=lambda label: (frequency[label], label), default="")


def _seats(sizes, total):
    """Number of rows to hold out per stratum: first one each, then in proportion.

    This is Adams's method, https://en.wikipedia.org/wiki/Highest_averages_method
    """
    seats = dict.fromkeys(sizes, 0)
    waiting = [(-math.inf, -n, name) for name, n in sizes.items() if n > 1]
    heapq.heapify(waiting)
    while waiting and total:
        _, size, name = heapq.heappop(waiting)
        seats[name] += 1
        total -= 1
        if seats[name] < -size - 1:
            heapq.heappush(waiting, (size / seats[name], size, name))
    return seats


def _chosen(groups, size, seats, left):
    """Selects groups of a stratum for `seats` rows; `left` counts each label's rest."""

    def spare(group):
        return all(left[label] > n for label, n in group.labels.items())

    chosen, taken = [], 0
    for group in groups:
        if taken + len(group.rows) <= seats and spare(group):
            chosen.append(group)
            taken += len(group.rows)
            left.subtract(group.labels)
    if seats and not chosen:  # every text occurs more often than there are seats
        group = min(groups, key=lambda group: len(group.rows))
        if 2 * len(group.rows) <= size and spare(group):
            chosen.append(group)
            left.subtract(group.labels)
    return chosen
