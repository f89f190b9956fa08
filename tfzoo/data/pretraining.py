"""Text or prepared records -> batches for `BertPretrainer`."""

import pathlib

from tfzoo.data.corpus import build_corpus
from tfzoo.data.pretraining_records import RecordSource
from tfzoo.data.pretraining_text import TextSource
from tfzoo.data.readers import file_kind, is_data_set
from tfzoo.data.running_text import RunningText
from tfzoo.errors import DataError


def open_pretraining_data(
    paths,
    tokenizer,
    *,
    cache_directory=None,
    max_sequence_length=128,
    max_predictions=20,
    masked_fraction=0.15,
    short_sequence_fraction=0.1,
    whole_word=False,
    next_sentence=True,
    sentences="lines",
    documents="auto",
    text_column="text",
    seed=0,
    processes=1,
    progress=True,
):
    """Opens text, whose pairs and masks are made on the fly, or prepared TFRecords.

    Args:
        paths: Text files (or `tfds:...`); or TFRecord files and directories that
            `prepare_pretraining_data` wrote. Not both.
        tokenizer: The tokenizer.
        cache_directory: Where the tokenised text is kept. None: in a temporary
            directory, until the result is dropped.
        max_sequence_length: S of text's batches; the most that the records' may be.
        max_predictions: M, likewise.
        masked_fraction: Share of the tokens to choose; text only.
        short_sequence_fraction: Share of shorter pairs; text only.
        whole_word: Whether whole words are chosen; text only.
        next_sentence: Whether examples are pairs with a label.
        sentences: Where sentences end, as of `build_corpus`; text only.
        documents: Where documents end, as of `build_corpus`; text only.
        text_column: Column of the text in files with columns.
        seed: Names all random choices. Whole number from 0.
        processes: How many processes tokenise.
        progress: Whether to show bars.

    Returns:
        `TextSource` or `RecordSource`: both have `num_examples`, `fingerprint`,
        `batches(batch_size, start_step=)` and `validation_batches(batch_size)`.

    Raises:
        DataError: the data breaks a rule.
    """
    paths = list(paths)
    if not paths:
        raise ValueError("paths must name at least one file.")
    if _are_records(paths):
        return RecordSource(
            paths,
            tokenizer,
            max_sequence_length=max_sequence_length,
            max_predictions=max_predictions,
            next_sentence=next_sentence,
            seed=seed,
        )
    corpus = build_corpus(
        RunningText(paths, sentences, documents, text_column),
        tokenizer,
        cache_directory,
        processes=processes,
        progress=progress,
    )
    return TextSource(
        corpus,
        tokenizer,
        max_sequence_length=max_sequence_length,
        max_predictions=max_predictions,
        masked_fraction=masked_fraction,
        short_sequence_fraction=short_sequence_fraction,
        whole_word=whole_word,
        next_sentence=next_sentence,
        seed=seed,
    )


def pretraining_dataset(
    paths,
    tokenizer,
    *,
    batch_size,
    start_step=0,
    validation=False,
    max_examples=None,
    **options,
):
    """A `tf.data.Dataset` of (inputs, targets, weights) for `BertPretrainer`.

    Args:
        paths: As of `open_pretraining_data`.
        tokenizer: The tokenizer.
        batch_size: B; every batch has that many rows.
        start_step: The first step: what an iteration from 0 gives after that many.
        validation: Finite and always the same, instead of endless.
        max_examples: The most examples of a validation.
        **options: The other arguments of `open_pretraining_data`.

    Returns:
        inputs: `token_ids`, `segment_ids`, `padding_mask` int32 (B, S) and
        `mask_positions` int32 (B, M). targets: `masked_words` int32 (B, M) and
        `next_sentence` int32 (B,), 1 where the next sentence is a random one. weights:
        float32, of the targets' names and shapes, 0 where nothing is to be learned.
    """
    source = open_pretraining_data(paths, tokenizer, **options)
    if validation:
        return source.validation_batches(batch_size, max_examples=max_examples)
    return source.batches(batch_size, start_step=start_step)


def _are_records(paths):
    kinds = {_is_record(path) for path in paths}
    if len(kinds) > 1:
        raise DataError(
            "The input must be text files or TFRecord files, not both. Received: "
            f"{', '.join(map(str, paths))}."
        )
    return kinds.pop()


def _is_record(path):
    if is_data_set(path):
        return False
    return pathlib.Path(path).is_dir() or file_kind(path) == "tfrecord"
