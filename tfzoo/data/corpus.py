"""A tokenised corpus on disk, read piece by piece so that memory does not grow.

A directory of `tokens.bin` (all ids in a row), `sentences.bin` (the token at which each
sentence starts, then the number of tokens), `documents.bin` (the sentence at which each
document starts, then the number of sentences), their checksums, and `corpus.json`.
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
from tfzoo.files import read_sealed_json, write_sealed_json, written_beside

_VERSION = 2
_OFFSET = np.dtype("<u8")


class Corpus:
    """Random access to the tokens, sentences and documents of a built corpus.

    Attributes:
        num_tokens, num_sentences, num_documents: Counts. No sentence and no document
            is empty.
        fingerprint: Changes with the text, the tokenizer or the options.
        vocabulary_size: Every id is below it.
    """

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        about = read_sealed_json(self.directory / "corpus.json", DataError)
        if about.get("version") != _VERSION:
            raise DataError("Not a corpus of this version.", path=self.directory)
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
        """Tokens at which sentences `first` to `last` start; the one after the last
        sentence "starts" at the number of tokens. A list of last - first + 1."""
        return self._sentences.read(first, last + 1).tolist()

    def document_starts(self, first, last):
        """Sentences at which documents `first` to `last` start, likewise."""
        return self._documents.read(first, last + 1).tolist()

    def document_start(self, document):
        """The token at which a document starts."""
        (sentence,) = self.document_starts(document, document)
        return self.sentence_starts(sentence, sentence)[0]


def build_corpus(
    text, tokenizer, directory=None, *, processes=1, workers=None, progress=True
):
    """Tokenises text into a corpus on disk, or opens the one already there.

    Args:
        text: `RunningText` or `WholeText`: files, and where their documents end.
        tokenizer: A tokenizer with `tokenize(list)`, `vocabulary_size`, `get_config`.
        directory: Where corpora are kept; each gets a folder named by its fingerprint.
            None: in a temporary directory, until the result is dropped.
        processes: How many processes tokenise.
        workers: `Workers` whose state has `tokenize`, to use those.
        progress: Whether to show a bar.

    Returns:
        `Corpus`.

    Raises:
        DataError: a file breaks a rule, or there is no sentence at all; or what
            stands there is damaged, as seen here or when that part is read.
    """
    temporary = _TemporaryDirectory() if directory is None else None
    directory = temporary.path if temporary else directory
    what = [_VERSION, text.contents(), *text.options, tokenizer.get_config()]
    fingerprint = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    place = pathlib.Path(directory) / f"corpus-{fingerprint[:16]}"
    if not place.exists():
        if workers is None:
            with Workers(processes, tokenizer_maker(tokenizer)) as workers:
                _build(text, tokenizer, place, fingerprint, workers, progress)
        else:
            _build(text, tokenizer, place, fingerprint, workers, progress)
    corpus = Corpus(place)
    if corpus.fingerprint != fingerprint:
        raise DataError(
            "The directory holds another text.",
            path=place,
            fix="Remove it, and the same command makes it anew.",
        )
    corpus.temporary = temporary  # lives as long
    return corpus


class _TemporaryDirectory:
    """A directory that goes when this object does, or Python ends."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="tfzoo-corpus-")
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def tokenizer_maker(tokenizer):
    """A picklable function that makes a tokenizer like this one."""
    return functools.partial(type(tokenizer).from_config, tokenizer.get_config())


def _build(text, tokenizer, place, fingerprint, workers, progress):
    token_type = np.dtype("<u2" if tokenizer.vocabulary_size <= 1 << 16 else "<i4")
    with written_beside(place, directory=True) as beside:
        counts = _write(text, beside, token_type, workers, progress)
        if counts[1] == 0:
            names = ", ".join(map(str, text.paths))
            raise DataError(
                f"There is not one token in the input: {names}.",
                fix="Give files that hold text.",
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
    """(ids as bytes, length of each sentence that has any, its document)."""
    sentences, documents, token_type = task
    ids = state.tokenize(sentences)
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    tokens = np.array([token for sentence in ids for token in sentence], token_type)
    kept = lengths > 0
    return tokens.tobytes(), lengths[kept], np.array(documents, np.int64)[kept]
