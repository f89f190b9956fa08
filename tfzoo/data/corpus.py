"""A tokenized corpus on disk, read in pieces so that memory use stays constant.

It is a directory of `tokens.bin` (all ids), `sentences.bin` (the index of each
sentence's first token, then the number of tokens), `documents.bin` (the index of each
document's first sentence, then the number of sentences), with checksums, and
`corpus.json`.
"""

import functools
import hashlib
import json
import pathlib
import shutil
import tempfile
import weakref

import numpy as np

from tfzoo.data.flat_files import FlatFile, FlatWriter
from tfzoo.data.workers import Workers
from tfzoo.errors import DataError
from tfzoo.files import (
    local_path,
    read_sealed_json,
    write_sealed_json,
    written_beside,
)

_VERSION = 2
_OFFSET = np.dtype("<u8")


class Corpus:
    """Random access to the tokens, sentences and documents of a built corpus.

    Attributes:
        num_tokens, num_sentences, num_documents: Counts. No sentence or document is
            empty.
        fingerprint: Hash of the text, the tokenizer and the options.
        vocabulary_size: Upper bound of the ids, exclusive.
    """

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        about = read_sealed_json(self.directory / "corpus.json", DataError)
        if about.get("version") != _VERSION:
            raise DataError(
                f"The corpus must have format version {_VERSION}. "
                f"Received: {about.get('version')!r}.",
                path=self.directory,
            )
        self.fingerprint = about["fingerprint"]
        self.vocabulary_size = about["vocabulary_size"]
        self._tokens = FlatFile(self.directory / "tokens.bin", about["token_type"])
        self._sentences = FlatFile(self.directory / "sentences.bin", _OFFSET)
        self._documents = FlatFile(self.directory / "documents.bin", _OFFSET)
        self.num_tokens = len(self._tokens)
        self.num_sentences = len(self._sentences) - 1
        self.num_documents = len(self._documents) - 1

    def tokens(self, start, stop):
        """Ids [start, stop), int32."""
        return self._tokens.read(start, stop).astype(np.int32)

    def sentence_starts(self, first, last):
        """Indices of the first tokens of sentences `first` to `last`, inclusive.

        A list; the sentence after the last one "starts" at the number of tokens.
        """
        return self._sentences.read(first, last + 1).tolist()

    def document_starts(self, first, last):
        """Indices of the first sentences of documents `first` to `last`, likewise."""
        return self._documents.read(first, last + 1).tolist()

    def document_start(self, document):
        """Index of the first token of a document."""
        (sentence,) = self.document_starts(document, document)
        return self.sentence_starts(sentence, sentence)[0]


def build_corpus(
    text, tokenizer, directory=None, *, processes=1, workers=None, progress=True
):
    """Tokenizes text into a corpus on disk, or opens it if it already exists.

    Args:
        text: `RunningText` or `WholeText`: files, and where their documents end.
        tokenizer: A tokenizer with `tokenize(list)`, `vocabulary_size`, `get_config`.
        directory: Cache directory; each corpus gets a folder named by its fingerprint.
            None for a temporary directory that lives as long as the result.
        processes: Number of tokenizing processes.
        workers: `Workers` to use instead, whose state has `tokenize`.
        progress: Whether to show a progress bar, if stderr is a terminal.

    Returns:
        `Corpus`.

    Raises:
        DataError: a file is invalid; there are no tokens at all; or the existing corpus
            is damaged, which may only be noticed when the damaged part is read.
    """
    temporary = _TemporaryDirectory() if directory is None else None
    directory = temporary.path if temporary else directory
    what = [_VERSION, text.contents(), *text.options, tokenizer.get_config()]
    fingerprint = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    place = local_path(directory) / f"corpus-{fingerprint[:16]}"
    if not place.exists():
        if workers is None:
            with Workers(processes, tokenizer_maker(tokenizer)) as workers:
                _build(text, tokenizer, place, fingerprint, workers, progress)
        else:
            _build(text, tokenizer, place, fingerprint, workers, progress)
    corpus = Corpus(place)
    if corpus.fingerprint != fingerprint:
        raise DataError(
            "The directory contains the corpus of another text.",
            path=place,
            fix="Remove it and run the same command again to recreate it.",
        )
    corpus.temporary = temporary  # keeps the directory while the corpus is in use
    return corpus


class _TemporaryDirectory:
    """A directory that is removed with this object, or when Python exits."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="tfzoo-corpus-")
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def tokenizer_maker(tokenizer):
    """A picklable function that recreates this tokenizer."""
    return functools.partial(type(tokenizer).from_config, tokenizer.get_config())


def _build(text, tokenizer, place, fingerprint, workers, progress):
    token_type = np.dtype("<u2" if tokenizer.vocabulary_size <= 1 << 16 else "<i4")
    with written_beside(place, directory=True) as beside:
        counts = _write(text, beside, token_type, workers, progress)
        if counts[1] == 0:
            names = ", ".join(map(str, text.paths))
            raise DataError(
                f"The input must have at least one token. Received none from: {names}.",
                fix="Give files that contain text.",
            )
        write_sealed_json(
            beside / "corpus.json",
            {
                "version": _VERSION,
                "fingerprint": fingerprint,
                "vocabulary_size": tokenizer.vocabulary_size,
                "token_type": token_type.str,
            },
        )


def _write(text, beside, token_type, workers, progress):
    num_tokens = num_sentences = 0
    last_document = None
    tasks = (
        (sentences, documents, token_type.str)
        for sentences, documents in text.batches(progress=progress)
    )
    with (
        FlatWriter(beside / "tokens.bin") as token_file,
        FlatWriter(beside / "sentences.bin") as sentence_file,
        FlatWriter(beside / "documents.bin") as document_file,
    ):
        for tokens, lengths, documents in workers.map(_tokenised, tasks):
            ends = num_tokens + np.cumsum(lengths, dtype=np.int64)
            first = np.flatnonzero(np.diff(documents, prepend=-1))
            if len(documents) and documents[0] == last_document:
                first = first[1:]
            token_file.write(tokens)
            sentence_file.write((ends - lengths).astype(_OFFSET).tobytes())
            document_file.write((first + num_sentences).astype(_OFFSET).tobytes())
            num_tokens += int(lengths.sum())
            num_sentences += len(lengths)
            last_document = documents[-1] if len(documents) else last_document
        sentence_file.write(_OFFSET.type(num_tokens).tobytes())
        document_file.write(_OFFSET.type(num_sentences).tobytes())
    return num_tokens, num_sentences


def _tokenised(state, task):
    """(ids as bytes, length of each sentence that is not empty, its document)."""
    sentences, documents, token_type = task
    ids = state.tokenize(sentences)
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    tokens = np.array([token for sentence in ids for token in sentence], token_type)
    kept = lengths > 0
    return tokens.tobytes(), lengths[kept], np.array(documents, np.int64)[kept]
