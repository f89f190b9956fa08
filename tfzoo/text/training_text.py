"""Reads the texts to train a tokenizer on."""

import gzip
import os
import zlib

from tfzoo import files
from tfzoo.errors import TokenizerError
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
        source: Iterable of texts, or of `pathlib.Path` of text files (UTF-8; gzip if
            their name ends in .gz).
        join: Function that makes texts from the lines of a file, such as `passages`.

    Raises:
        TokenizerError: a file cannot be read, is not UTF-8 or not a valid gzip file.
    """
    check_source(source)
    for item in source:
        if isinstance(item, os.PathLike):
            yield from join(_lines(files.local_path(item)))
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


def _lines(path):
    """Yields the lines of a text file, which may be gzipped."""
    files.readable_file(path, TokenizerError)
    number = 0
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            for number, line in enumerate(file, 1):
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as e:
        rule = f"The file must be UTF-8: {e.reason}."
        raise TokenizerError(rule, path=path, line=number) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as e:
        raise TokenizerError(
            f"Not a valid gzip file: {e}.", path=path, line=number + 1
        ) from None
    except OSError as e:
        raise TokenizerError(
            f"The file cannot be read: {e.strerror}.", path=path, line=number + 1
        ) from None
