"""Reads files as sentences of documents, in batches of bounded size."""

import hashlib
import json

from tqdm import tqdm

from tfzoo.data import hugging_face
from tfzoo.data.readers import (
    expanded,
    file_kind,
    is_data_set,
    read_records,
)
from tfzoo.data.records import tell_header
from tfzoo.data.sentences import SentenceSplitter
from tfzoo.errors import DataError, shown
from tfzoo.files import readable_file
from tfzoo.text.lines import read_lines

SENTENCES = ("lines", "punctuation")
DOCUMENTS = ("auto", "blank_line", "file", "record")
_BATCH_CHARACTERS = 1 << 18
_BATCH_SENTENCES = 1 << 13


class TextFiles:
    """Base of the readers of files: their paths, and what ends their documents.

    A reader defines `of_text`, the meaning of `documents="auto"` for a `.txt` file, and
    `_numbered()`, which yields (document number, text).
    """

    def __init__(self, paths, documents, text_column, header):
        if documents not in DOCUMENTS:
            raise ValueError(
                f"documents must be one of {DOCUMENTS}. Received: {documents!r}"
            )
        if isinstance(paths, str) or hugging_face.is_table(paths) or not paths:
            raise ValueError(f"paths must be a list of files. Received: {paths!r}")
        self.paths = [*map(expanded, paths)]
        self.documents, self.text_column = documents, text_column
        self.header, self._told = header, set()
        for path in self.paths:
            self._ending(path)

    def contents(self):
        """A hash of each file."""
        return [self._content(path) for path in self.paths]

    @property
    def reading(self):
        """The options that decide which texts the files have."""
        options = [self.documents, self.text_column]
        return options if self.header else [*options, "no header"]

    def batches(self, *, progress):
        """Yields (list of texts, list of their document numbers)."""
        return in_batches(self._numbered(), progress=progress)

    def _content(self, path):
        if not hugging_face.is_table(path):
            return content_hash(path)
        texts = json.dumps([*self.texts(path)])
        return hashlib.sha256(texts.encode()).hexdigest()

    def texts(self, path):
        """Yields the text of each record."""
        for record in read_records(path, header=self.header):
            if self.header and record.path not in self._told:
                tell_header(record, self.text_column)
                self._told.add(record.path)
            yield record_text(record, self.text_column)

    def _ending(self, path):
        return document_ending(path, self.documents, of_text=self.of_text)


class RunningText(TextFiles):
    """The sentences of files, with the document each belongs to.

    Args:
        paths: Files that `read_records` can read, or `tfds:...`.
        sentences: "lines": each line is a sentence. "punctuation": a document is
            running text (line breaks are spaces) and is split at punctuation.
        documents: What ends a document: "blank_line" (`.txt` only), "file", "record",
            or "auto", which is "blank_line" for `.txt` and "record" otherwise. A line
            of whitespace counts as blank.
        text_column: Column of the text in files with columns.
        header: Whether line 1 of a `.tsv` or `.csv` has the column names.
    """

    of_text = "blank_line"

    def __init__(
        self,
        paths,
        sentences="lines",
        documents="auto",
        text_column="text",
        *,
        header=True,
    ):
        if sentences not in SENTENCES:
            raise ValueError(
                f"sentences must be one of {SENTENCES}. Received: {sentences!r}"
            )
        super().__init__(paths, documents, text_column, header)
        self.sentences = sentences

    @property
    def options(self):
        """The options that affect the sentences."""
        return [self.sentences, *self.reading]

    def _numbered(self):
        splitter = SentenceSplitter() if self.sentences == "punctuation" else None
        document = 0
        for path in self.paths:
            for line in self._lines(path):
                if line is None:
                    if splitter:
                        for sentence in splitter.finish():
                            yield document, sentence
                    document += 1
                elif splitter:
                    for sentence in splitter.feed(line + " "):
                        yield document, sentence
                else:
                    yield document, line

    def _lines(self, path):
        """Yields the lines that are not blank; None where a document ends."""
        ending = self._ending(path)
        if ending == "blank_line":
            for _, line in read_lines(path):
                line = line.strip()
                yield line if line else None
        else:
            for text in self.texts(path):
                yield from (line for line in map(str.strip, text.split("\n")) if line)
                if ending == "record":
                    yield None
        yield None


def document_ending(path, documents, *, of_text):
    """Resolves what ends the documents of a file: "blank_line", "file" or "record".

    Args:
        path: The file, or `tfds:...`.
        documents: One of `DOCUMENTS`.
        of_text: Meaning of "auto" for a `.txt` file; for others it is "record".

    Raises:
        DataError: "blank_line" is given for a file that is not `.txt`.
    """
    is_text = not is_data_set(path) and file_kind(path) == ".txt"
    if documents == "auto":
        return of_text if is_text else "record"
    if documents == "blank_line" and not is_text:
        raise DataError(
            'documents="blank_line" is for .txt files only.',
            path=path,
            fix='Use documents="record" or documents="file".',
        )
    return documents


def in_batches(numbered, *, progress):
    """Yields (list of texts, list of their document numbers), of bounded size.

    Args:
        numbered: Iterable of (document number, text).
        progress: Whether to show a progress bar, if stderr is a terminal.
    """
    texts, documents, characters = [], [], 0
    with tqdm(
        desc="tokenizing", unit="B", unit_scale=True, disable=None if progress else True
    ) as bar:
        for document, text in numbered:
            texts.append(text)
            documents.append(document)
            characters += len(text)
            if characters >= _BATCH_CHARACTERS or len(texts) >= _BATCH_SENTENCES:
                bar.update(characters)
                yield texts, documents
                texts, documents, characters = [], [], 0
        bar.update(characters)
        if texts:
            yield texts, documents


def record_text(record, column):
    """Returns the text of a record; a lone column `text` needs no column name."""
    only = record.names == ("text",)  # as in a .txt file
    text = record.value("text" if only else column)
    if not isinstance(text, str):
        raise record.error(f"Column {column!r} must be text. Received: {shown(text)}.")
    return text


def content_hash(path):
    """SHA-256 of the file's bytes, or the full name of a TFDS dataset."""
    if is_data_set(path):
        from tfzoo.data.example_records import tfds_full_name

        return tfds_full_name(str(path))
    with open(readable_file(path, DataError), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
