"""Documents as lists of sentences: read, held out, written."""

import itertools

from tfzoo.data.running_text import RunningText
from tfzoo.errors import DataError
from tfzoo.files import written_beside


def read_documents(paths):
    """The documents of files of running text, split into sentences by punctuation.

    Args:
        paths: Files, as for `RunningText`.

    Returns:
        List of documents, which are lists of sentences.
    """
    batches = RunningText(paths, sentences="punctuation").batches(progress=False)
    pairs = (pair for batch in batches for pair in zip(*batch, strict=True))
    groups = itertools.groupby(pairs, key=lambda pair: pair[1])
    return [[sentence for sentence, _ in group] for _, group in groups]


def hold_out(documents, period):
    """Holds out one in `period` documents or, of fewer, the end of each.

    Returns:
        Two lists of documents: to train on, and held out.

    Raises:
        DataError: no document has two sentences, and there are fewer than `period`.
    """
    if len(documents) >= period:
        held_out = documents[period - 1 :: period]
        return [d for i, d in enumerate(documents, 1) if i % period], held_out
    cuts = [(d, len(d) - -(-len(d) // period)) for d in documents]
    parts = [d[:cut] for d, cut in cuts if cut], [d[cut:] for d, cut in cuts if cut]
    if not parts[0]:
        raise DataError(
            f"The text must have {period} documents, or one of at least two sentences, "
            f"to hold out some of it. Received: {len(documents)} of one sentence."
        )
    return parts


def write_documents(directory, **parts):
    """Writes NAME.txt for each part: a sentence per line, blank lines in between.

    Args:
        directory: Output directory; must not exist yet.
        **parts: Lists of documents.
    """
    with written_beside(directory, directory=True) as beside:
        for name, documents in parts.items():
            text = "\n\n".join("\n".join(sentences) for sentences in documents)
            (beside / f"{name}.txt").write_text(text + "\n", encoding="utf-8")
