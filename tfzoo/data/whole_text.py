"""Reads files or texts as verbatim documents, in pieces of bounded size.

A language model also learns line breaks and spaces, so nothing is stripped, and a long
document is only cut where no tokenizer word can span the cut.
"""

import hashlib
import json

from tfzoo.data.readers import is_data_set
from tfzoo.data.running_text import TextFiles, in_batches
from tfzoo.data.sentences import SentenceSplitter
from tfzoo.text.lines import read_lines

_PIECE = 1 << 13  # characters after which a piece ends at the next opportunity
_LONGEST = 1 << 24  # characters after which it ends in any case


class WholeText(TextFiles):
    """The documents of files, verbatim.

    Args:
        paths: Files that `read_records` can read, or `tfds:...`.
        documents: What ends a document: "file", "record" (in a `.txt`, a line), or
            "blank_line" (`.txt` only; lines of whitespace are dropped, with the line
            break before them). "auto" is "file" for `.txt` and "record" otherwise.
        text_column: Column of the text in files with columns.
        header: Whether line 1 of a `.tsv` or `.csv` has the column names.
    """

    of_text = "file"

    def __init__(self, paths, documents="auto", text_column="text", *, header=True):
        super().__init__(paths, documents, text_column, header)

    @property
    def options(self):
        """The options that affect the documents."""
        return ["whole", *self.reading]

    def _numbered(self):
        documents = (d for path in self.paths for d in self._documents(path))
        for number, lines in enumerate(documents):
            for piece in pieces(lines):
                yield number, piece

    def _documents(self, path):
        """Yields documents as iterables of lines with their line breaks."""
        ending = self._ending(path)
        if ending == "blank_line":
            yield from _paragraphs(path)
        elif ending == "record":
            for text in self.texts(path):
                yield text.splitlines(keepends=True)
        elif is_data_set(path) or not _is_lines(path):
            yield (
                line
                for text in self.texts(path)
                for line in (*text.splitlines(keepends=True), "\n")
            )
        else:
            yield (line for _, line in read_lines(path, keep_ends=True))


class WholeSentences(WholeText):
    """The documents of files, verbatim, of which each sentence is a piece.

    For objectives that need sentences, with a byte-level BPE: the whitespace between
    two sentences is part of the second one's first word. (For a SentencePiece
    tokenizer, which begins every text with a space, there is `RunningText`.) The
    arguments are those of `WholeText`.
    """

    @property
    def options(self):
        """The options that affect the sentences."""
        return ["whole sentences", *self.reading]

    def _numbered(self):
        splitter = SentenceSplitter(verbatim=True)
        documents = (d for path in self.paths for d in self._documents(path))
        for number, lines in enumerate(documents):
            for line in lines:
                yield from ((number, sentence) for sentence in splitter.feed(line))
            yield from ((number, sentence) for sentence in splitter.finish())


class TextList:
    """In-memory texts, each a document, with the interface of `WholeText`.

    Args:
        texts: str, or bytes that are decoded as UTF-8 with replacement.
    """

    paths = ("the texts given",)
    options = ("list",)

    def __init__(self, texts):
        self.texts = [
            text.decode("utf-8", "replace") if isinstance(text, bytes) else text
            for text in texts
        ]

    def contents(self):
        """A list with one hash of all texts."""
        return [hashlib.sha256(json.dumps(self.texts).encode()).hexdigest()]

    def batches(self, *, progress):
        """Yields (list of pieces, list of their document numbers)."""
        return in_batches(
            (
                (number, piece)
                for number, text in enumerate(self.texts)
                for piece in pieces(text.splitlines(keepends=True))
            ),
            progress=progress,
        )


def pieces(lines):
    """Joins lines into pieces that can be tokenized separately.

    Pieces are cut before a line break that follows a character other than whitespace:
    byte-level BPE ends a word there whatever comes next, so the ids equal those of the
    whole text. (Unless there is no such place within 16 million characters.)

    Args:
        lines: Iterable of lines with their line breaks.
    """
    held, size = [], 0
    for line in lines:
        body = line.rstrip("\r\n")
        held.append(line)
        size += len(line)
        if size >= _LONGEST:
            yield "".join(held)
            held, size = [], 0
        elif size >= _PIECE and body and not body[-1].isspace():
            held[-1] = body
            yield "".join(held)
            held = [line[len(body) :]]
            size = len(held[0])
    if size:
        yield "".join(held)


def _is_lines(path):
    name = str(path).lower().removesuffix(".gz")
    return name.endswith(".txt")


def _paragraphs(path):
    held = []
    for _, line in read_lines(path, keep_ends=True):
        if line.strip():
            held.append(line)
        elif held:
            yield _without_last_end(held)
            held = []
    if held:
        yield _without_last_end(held)


def _without_last_end(lines):
    return [*lines[:-1], lines[-1].rstrip("\r\n")]
