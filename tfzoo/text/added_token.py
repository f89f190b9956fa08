"""A token that is recognized in texts."""

import typing
from collections.abc import Mapping


class AddedToken(typing.NamedTuple):
    """A token that is recognized in texts.

    Where several could be, the leftmost is recognized, and the longest of these.

    Attributes:
        content: The token.
        lstrip: Whether it includes the white space before it.
        rstrip: Whether it includes the white space after it.
        normalized: Whether it is looked for in the normalized text, between those that
            are looked for in the text itself.
    """

    content: str
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False

    @classmethod
    def of(cls, value):
        """The token given as itself, a str or a mapping of its attributes."""
        if isinstance(value, str):
            return cls(value)
        return cls(**value) if isinstance(value, Mapping) else value
