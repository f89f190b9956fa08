"""Span corruption: spans of a text are replaced by sentinels, and are the target.

Source: Raffel et al. 2020, section 3.1.4, https://arxiv.org/abs/1910.10683, and
`random_spans_noise_mask` in
https://github.com/google-research/text-to-text-transfer-transformer
"""

import dataclasses

import numpy as np

from tfzoo.errors import TokenizerError, require_whole, shown


@dataclasses.dataclass(frozen=True)
class SpanCorruption:
    """Ids of a text -> (source, target) with its spans divided between both.

    In the source, every dropped span is one sentinel: "Thank you <0> to your party
    <1>"; the target has the spans: "<0> for inviting me <1> last week <2>". Both end in
    the end token. A text begins with a token that stays and ends with a dropped span,
    so that its length determines those of source and target.

    Args:
        sentinel_ids: Ids of the sentinels in the order of their use; of a tokenizer,
            `sentinel_ids(tokenizer)`.
        end_id: Id of the end token.
        density: Fraction of the tokens that are dropped, between 0 and 1.
        mean_span: Mean number of tokens of a dropped span, at least 1.
    """

    sentinel_ids: tuple
    end_id: int
    density: float = 0.15
    mean_span: float = 3.0

    def __post_init__(self):
        if not 0 < self.density < 1:
            raise ValueError(
                f"density must be between 0 and 1. Received: {shown(self.density)}"
            )
        if not self.mean_span >= 1:
            raise ValueError(
                f"mean_span must be at least 1. Received: {shown(self.mean_span)}"
            )

    def lengths(self, num_tokens):
        """Numbers of tokens of source and target, (S, T), of a text of `num_tokens`."""
        dropped, spans = self._counts(num_tokens)
        return num_tokens - dropped + spans + 1, dropped + spans + 2

    def window(self, max_source_length):
        """The largest number of tokens of a text whose source has at most this many."""
        require_whole("max_source_length", max_source_length, self.lengths(2)[0])
        num_tokens = 2
        while self.lengths(num_tokens + 1)[0] <= max_source_length:
            num_tokens += 1
        return num_tokens

    def __call__(self, sentences, *, seed):
        """Corrupts a text, a pure function of the arguments.

        Args:
            sentences: List of int arrays, the ids of its sentences; at least two ids.
            seed: Integers >= 0, for example (seed, epoch, number of the text).

        Returns:
            Source and target, int32 (S,) and (T,).
        """
        ids = np.concatenate(sentences)
        dropped, spans = self._counts(len(ids))
        if spans + 1 > len(self.sentinel_ids):
            raise ValueError(
                f"A text of {len(ids)} tokens requires {spans + 1} sentinels. "
                f"Received: {len(self.sentinel_ids)}"
            )
        random = np.random.default_rng(seed)
        kept = _segments(len(ids) - dropped, spans, random)
        lengths = np.stack([kept, _segments(dropped, spans, random)], axis=1).ravel()
        parts = np.split(ids, np.cumsum(lengths)[:-1])
        sentinels = np.reshape(self.sentinel_ids[: spans + 1], (-1, 1))
        source = [*_alternating(parts[0::2], sentinels), [self.end_id]]
        target = [*_alternating(sentinels, parts[1::2]), sentinels[-1], [self.end_id]]
        return tuple(np.concatenate(x).astype(np.int32) for x in (source, target))

    def _counts(self, num_tokens):
        """Numbers of dropped tokens and of their spans."""
        require_whole("num_tokens", num_tokens, 2)
        dropped = min(max(round(num_tokens * self.density), 1), num_tokens - 1)
        spans = max(round(dropped / self.mean_span), 1)
        return dropped, min(spans, num_tokens - dropped)


def sentinel_ids(tokenizer):
    """Ids of `<extra_id_0>`, `<extra_id_1>`, ... as far as a tokenizer has them.

    Raises:
        TokenizerError: it has none.
    """
    found = []
    while (index := tokenizer.token_to_id(f"<extra_id_{len(found)}>")) is not None:
        found.append(index)
    if not found:
        raise TokenizerError(
            "Span corruption requires a tokenizer with sentinels, <extra_id_0> and so "
            f"on. Received: {tokenizer.description}."
        )
    return tuple(found)


def _segments(count, parts, random):
    """Random lengths >= 1 of `parts` that sum to `count`, all equally likely."""
    cuts = 1 + random.choice(count - 1, parts - 1, replace=False)
    return np.diff([0, *np.sort(cuts), count])


def _alternating(first, second):
    return [x for pair in zip(first, second, strict=False) for x in pair]
