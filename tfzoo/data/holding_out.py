"""Which rows of a table are held out: by a hash of their text, of every class some.

Not by their position, for rows often stand in turn, or sorted. What is chosen is a
function of (texts, labels, seed) and not of the order of the rows.
"""

import collections
import hashlib
import heapq
import math


def held_out_rows(texts, labels, period, seed=0):
    """Chooses about one of `period` rows, from every label by its share.

    Rows of the same text stay together, so that nothing that is learned is asked for.
    Every label keeps a row to be learned from; one that has a single row is not held
    out. Labels with fewer than `period` rows give one, the most frequent first, as
    long as there are rows to hold out.

    Args:
        texts: N hashable texts, or pairs of texts.
        labels: N sets of labels, of which the rarest decides; empty sets where rows
            are not told apart.
        period: Whole number from 2.
        seed: Whole number.

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
    """The texts, each with how often it stood before, so that no two are equal."""
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
    """Rows of the same text together, in the order of a hash of seed and text."""
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
    """Rows to hold out of each stratum: first one of each, then by their shares.

    That is the method of Adams, https://en.wikipedia.org/wiki/Highest_averages_method
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
    """Groups of a stratum for `seats` rows; `left` counts what each label keeps."""

    def spare(group):
        return all(left[label] > n for label, n in group.labels.items())

    chosen, taken = [], 0
    for group in groups:
        if taken + len(group.rows) <= seats and spare(group):
            chosen.append(group)
            taken += len(group.rows)
            left.subtract(group.labels)
    if seats and not chosen:  # every text stands more often than there are seats
        group = min(groups, key=lambda group: len(group.rows))
        if 2 * len(group.rows) <= size and spare(group):
            chosen.append(group)
            left.subtract(group.labels)
    return chosen
