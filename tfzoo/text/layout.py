"""The special tokens around texts, and the segment of each token."""

import dataclasses

ROLES = ("cls", "sep", "start", "end")  # special tokens that a layout can have


@dataclasses.dataclass(frozen=True)
class Layout:
    """The special tokens around one or two texts.

    One text is laid out as `first` a `last`, two as `first` a `between` b `last`.
    Tokens are given by their role in a tokenizer, "cls", "sep", "start" or "end"; a
    tokenizer's `layout_ids` has their ids instead. The default is no tokens at all.

    Args:
        first: Token before the first text, or None.
        last: Token after the last text, or None.
        between: Tokens between two texts, in the segment of the first.
        repeats_first: Whether `first` is also put before the second text, in the
            segment of the second.
        second_segment: Segment of the second text and of `last` after it, 0 or 1.
    """

    first: str | int | None = None
    last: str | int | None = None
    between: tuple = ()
    repeats_first: bool = False
    second_segment: int = 1

    def __post_init__(self):
        between, repeats_first = tuple(self.between), self.repeats_first
        if self.second_segment not in (0, 1):
            raise ValueError(
                "second_segment must be 0 or 1. "
                f"Received: second_segment={self.second_segment!r}"
            )
        if repeats_first and self.first is None:
            raise ValueError(
                "repeats_first requires a first token. "
                "Received: first=None, repeats_first=True"
            )
        if repeats_first and not self.second_segment:  # the same layout
            between, repeats_first = (*between, self.first), False
        object.__setattr__(self, "between", between)
        object.__setattr__(self, "repeats_first", repeats_first)

    @property
    def tokens(self):
        """Tuple of the tokens of the layout, each once."""
        found = dict.fromkeys([self.first, *self.between, self.last])
        return tuple(token for token in found if token is not None)

    def map(self, function):
        """The layout with a function applied to every token."""

        def mapped(token):
            return None if token is None else function(token)

        return dataclasses.replace(
            self,
            first=mapped(self.first),
            last=mapped(self.last),
            between=tuple(map(mapped, self.between)),
        )

    def around(self, num_texts):
        """The tokens before, between and after one or two texts.

        Returns:
            List of `num_texts` + 1 lists of (token, segment).
        """
        segment = 0 if num_texts == 1 else self.second_segment
        first = [] if self.first is None else [(self.first, 0)]
        last = [] if self.last is None else [(self.last, segment)]
        if num_texts == 1:
            return [first, last]
        between = [(token, 0) for token in self.between]
        if self.repeats_first:
            between.append((self.first, segment))
        return [first, between, last]

    def num_special(self, num_texts):
        """Number of special tokens around one or two texts."""
        return sum(map(len, self.around(num_texts)))

    def __str__(self):
        """Such as "cls a sep, cls a sep b:1 sep:1", where :1 is the segment."""
        return ", ".join(map(self._written, ("a", "ab")))

    def _written(self, texts):
        around = self.around(len(texts))
        words = [str(token) for token, _ in around[0]]
        for number, text in enumerate(texts):
            mark = f":{self.second_segment}" if number and self.second_segment else ""
            words.append(f"{text}{mark}")
            words += [
                f"{token}:{segment}" if segment else str(token)
                for token, segment in around[number + 1]
            ]
        return " ".join(words)

    def get_config(self):
        """The constructor arguments as JSON values."""
        return {**dataclasses.asdict(self), "between": list(self.between)}
