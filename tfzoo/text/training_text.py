"""Reads the texts to train a tokenizer on."""

import os

from tfzoo.errors import TokenizerError
from tfzoo.text.lines import numbered_lines
from tfzoo.text.rust_engine import as_text

_LONGEST_PASSAGE = 1 << 20  # characters; bounds the memory


def check_source(source):
    """Raises `ValueError` if `source` is a single text or path."""
    if isinstance(source, str | bytes | os.PathLike):
        raise ValueError(
            "source must be an iterable of texts or a list of pathlib.Path. "
            f"Received: {source!r:.80}"
        )


def named_files(source):
    """The paths in a list of them, separated by commas, for errors; otherwise None."""
    paths = isinstance(source, list | tuple) and source
    if not paths or not all(isinstance(item, os.PathLike) for item in paths):
        return None
    return ", ".join(map(str, paths))


def texts_of(source, join=iter):
    """Yields the texts of `source`; lines of files include their line ends.

    Args:
        source: Iterable of texts, or of `pathlib.Path` of text files, as in
            `read_lines`.
        join: Function that makes texts from the lines of a file, such as `passages`.

    Raises:
        TokenizerError: a file is invalid, as in `read_lines`; it may be empty.
    """
    check_source(source)
    for item in source:
        if isinstance(item, os.PathLike):
            lines = numbered_lines(item, TokenizerError)
            yield from join(line for _, line in lines)
        else:
            yield as_text(item)


def passages(lines):
    """Joins lines (with line ends) to texts that have the same words as the whole file.

    A word of GPT-2's pattern extends beyond the end of a line if the next line starts
    with white space; otherwise the line end is a word and belongs to the next text.
    """
    passage, size = [], 0
    for line in lines:
        if passage and (not line[:1].isspace() or size > _LONGEST_PASSAGE):
            last = passage.pop()
            is_ended = last.endswith("\n")
            yield "".join([*passage, last.removesuffix("\n")])
            passage, size = ["\n"] if is_ended else [], 0
        passage.append(line)
        size += len(line)
    if passage:
        yield "".join(passage)
