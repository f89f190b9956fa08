"""Denoising: a noisy text is the source, and the text itself the target.

Letters: N tokens of a text, S tokens of the noisy one, at most N.

Source: Lewis et al. 2019, section 2.2, https://arxiv.org/abs/1910.13461
"""

import dataclasses

import numpy as np

from tfzoo.errors import require_flags, require_whole, shown


@dataclasses.dataclass(frozen=True)
class Denoising:
    """Ids of a text -> (source, target), of which the target is the text.

    Every kind of noise can be combined; they are applied in the order of the arguments.
    The defaults are those of the paper's large models (section 5.1).

    Args:
        mask_id: Id of the mask token.
        end_id: Id of the token that ends source and target.
        begin_id: Id of the token that begins them, or None.
        permuted: Whether sentences are put in random order.
        deleted: Fraction of the tokens to delete.
        infilled: Fraction of the tokens in spans that become one mask each.
        mean_span: Mean number of tokens of these spans.
        masked: Fraction of the tokens, of those left, that become a mask each.
        rotated: Whether the text begins at a random token, followed from its end by its
            beginning.
    """

    mask_id: int
    end_id: int
    begin_id: int | None = None
    permuted: bool = True
    deleted: float = 0.0
    infilled: float = 0.3
    mean_span: float = 3.0
    masked: float = 0.0
    rotated: bool = False

    def __post_init__(self):
        require_flags(permuted=self.permuted, rotated=self.rotated)
        for name in ("deleted", "infilled", "masked"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1]. Received: {shown(value)}")
        if not self.mean_span > 0:
            raise ValueError(
                f"mean_span must be > 0. Received: {shown(self.mean_span)}"
            )

    def lengths(self, num_tokens):
        """Maximum numbers of tokens of source and target of a text of `num_tokens`."""
        return (num_tokens + self._num_special,) * 2

    def window(self, max_source_length):
        """The largest number of tokens of a text whose source has at most this many."""
        least = self._num_special + 1
        require_whole("max_source_length", max_source_length, least)
        return max_source_length - self._num_special

    def __call__(self, sentences, *, seed):
        """Adds noise to a text, a pure function of the arguments.

        Args:
            sentences: List of int arrays, the ids of its sentences.
            seed: Integers >= 0, for example (seed, epoch, number of the text).

        Returns:
            Source and target, int32.
        """
        random = np.random.default_rng(seed)
        ids = np.concatenate(sentences)
        noisy = permuted_sentences(sentences, random) if self.permuted else ids
        if self.deleted:
            noisy = deleted_tokens(noisy, self.deleted, random)
        if self.infilled:
            noisy = infilled_spans(
                noisy, self.infilled, self.mean_span, self.mask_id, random
            )
        if self.masked:
            noisy = masked_tokens(noisy, self.masked, self.mask_id, random)
        if self.rotated:
            noisy = rotated_text(noisy, random)
        return self._around(noisy), self._around(ids)

    @property
    def _num_special(self):
        return 1 + (self.begin_id is not None)

    def _around(self, ids):
        begin = [] if self.begin_id is None else [self.begin_id]
        return np.concatenate([begin, ids, [self.end_id]]).astype(np.int32)


def permuted_sentences(sentences, random):
    """The ids of sentences in random order, (N,).

    Args:
        sentences: List of int arrays.
        random: A `np.random.Generator`.
    """
    return np.concatenate([sentences[i] for i in random.permutation(len(sentences))])


def deleted_tokens(ids, fraction, random):
    """Ids (N,) without a random fraction of them, (S,); at least one is left.

    Args:
        ids: (N,).
        fraction: Fraction of the ids.
        random: A `np.random.Generator`.
    """
    count = min(round(len(ids) * fraction), len(ids) - 1)
    return np.delete(ids, random.choice(len(ids), count, replace=False))


def masked_tokens(ids, fraction, mask_id, random):
    """Ids (N,) with the mask in place of a random fraction of them, (N,).

    Args:
        ids: (N,).
        fraction: Fraction of the ids.
        mask_id: Id of the mask.
        random: A `np.random.Generator`.
    """
    masked = ids.copy()
    count = round(len(ids) * fraction)
    masked[random.choice(len(ids), count, replace=False)] = mask_id
    return masked


def infilled_spans(ids, fraction, mean_span, mask_id, random):
    """Ids (N,) with one mask in place of each of some spans, (S,).

    The lengths of spans have a Poisson distribution; a span of length 0 inserts a mask.
    The last span is cut so that together they have the given fraction of the tokens.
    There are at most as many masks as tokens that they replace; of more, which short
    texts may have, spans of length 0 are left out.

    Args:
        ids: (N,).
        fraction: Fraction of the ids in spans.
        mean_span: Mean length of a span.
        mask_id: Id of the mask.
        random: A `np.random.Generator`.
    """
    total = round(len(ids) * fraction)
    lengths = _span_lengths(total, mean_span, random)
    count = len(lengths)
    # Spans and other tokens in random order
    kept = len(ids) - total
    is_span = np.zeros(kept + count, bool)
    is_span[random.choice(kept + count, count, replace=False)] = True
    widths = np.ones(kept + count, np.int64)
    widths[is_span] = lengths
    starts = np.cumsum(widths) - widths
    # A span of length 0 at the end starts behind the last token
    return np.where(is_span, mask_id, ids[np.minimum(starts, len(ids) - 1)])


def rotated_text(ids, random):
    """Ids (N,) rotated to begin at a random one, (N,).

    Args:
        ids: (N,).
        random: A `np.random.Generator`.
    """
    return np.roll(ids, -random.integers(len(ids)))


def _span_lengths(total, mean, random):
    """Lengths of spans that sum to `total`, at most that many."""
    lengths = np.zeros(0, np.int64)
    while (sum_before := lengths.sum()) < total:
        more = random.poisson(mean, 1 + int((total - sum_before) / mean))
        lengths = np.concatenate([lengths, more])
    ends = np.minimum(np.cumsum(lengths), total)
    last = np.searchsorted(ends, total) + 1 if total else 0
    lengths = np.diff(ends[:last], prepend=0)
    superfluous = max(len(lengths) - total, 0)
    return np.delete(lengths, np.flatnonzero(lengths == 0)[:superfluous])
